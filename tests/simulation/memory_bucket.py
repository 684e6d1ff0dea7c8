"""An object store in memory, as much of S3 as the service uses for objects of one part."""

from __future__ import annotations

import hashlib
from urllib.parse import parse_qs, unquote, urlsplit

import h11
from attrs import define, field

from tests.worlds.http_sink import Connection

PIECE_BYTES = 16 * 1024

_EMPTY_LIST = b'<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>'


@define(eq=False)
class MemoryBucket:
    """Objects by key. It trusts every signature. While it `is_down`, it answers 503 to everything."""

    name: str
    objects: dict[str, bytes] = field(factory=dict)
    is_down: bool = False

    async def serve(self, connection: Connection) -> None:
        while (request := await connection.request()) is not None:
            body = bytearray()
            while piece := await connection.piece():
                body += piece
            await self._answer(connection, request, bytes(body))

    async def _answer(self, connection: Connection, request: h11.Request, body: bytes) -> None:
        target = urlsplit(request.target.decode())
        key = unquote(target.path.removeprefix(f"/{self.name}").removeprefix("/"))
        if self.is_down:
            await connection.answer(503, [], b"<Error><Code>ServiceUnavailable</Code></Error>")
        elif request.method == b"PUT":
            self.objects[key] = body
            await connection.answer(200, [("ETag", _etag(body))])
        elif "list-type" in parse_qs(target.query):
            await connection.answer(200, [("Content-Type", "application/xml")], _EMPTY_LIST)
        elif key not in self.objects:
            await connection.answer(404, [], b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            await self._give(connection, request, self.objects[key])

    async def _give(self, connection: Connection, request: h11.Request, content: bytes) -> None:
        sent = {name.decode(): value.decode() for name, value in request.headers}
        start = int(sent["range"].removeprefix("bytes=").rstrip("-")) if "range" in sent else 0
        headers = [("ETag", _etag(content)), ("Content-Type", "application/octet-stream")]
        if start:
            headers.append(("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"))
        if request.method == b"HEAD":
            await connection.answer(200, headers, length_bytes=len(content))
            return
        await connection.answer(206 if start else 200, headers, content[start:])


def _etag(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
