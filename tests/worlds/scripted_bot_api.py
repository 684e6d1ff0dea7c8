"""A Bot API that keeps each form as its bytes came and answers what a test says, and pictures to send with a file."""

from __future__ import annotations

import email.parser
import email.policy
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import trio
from attrs import Factory, define, frozen

from tests.worlds.http_sink import Connection, serving

TAKEN = {"file_id": "AgAC", "file_unique_id": "u"}


@frozen
class FilePart:
    """A file of a form: the name and type that its part gives, and its bytes."""

    name: str
    content_type: str
    content: bytes


@frozen
class Sent:
    """A whole request. `length` is its Content-Length, `body_bytes` what came."""

    method: str
    length: int
    body_bytes: int
    fields: dict[str, str]
    files: dict[str, FilePart]
    order: list[str]


@define(eq=False)
class ScriptedBotApi:
    """Answers every send with a message that has `file`, under the asked kind or `kind`.

    With `closes_after`, the first connection is closed once that many bytes of a body have come. With `refuses`, every
    send is answered with 400 and these words.
    """

    file: dict[str, Any] = Factory(lambda: dict(TAKEN))
    kind: str | None = None
    closes_after: int | None = None
    refuses: str | None = None
    sent: list[Sent] = Factory(list)
    begun: int = 0
    port: int = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, stream: trio.SocketStream) -> None:
        connection = Connection(stream)
        while (request := await connection.request()) is not None:
            self.begun += 1
            limit, self.closes_after = self.closes_after, None
            body = bytearray()
            while piece := await connection.piece():
                body += piece
                if limit is not None and len(body) > limit:
                    return
            headers = {name.decode(): value.decode() for name, value in request.headers}
            method = request.target.decode().rpartition("/")[2]
            self.sent.append(_read(method, headers, bytes(body)))
            if self.refuses is not None:
                refusal = {"ok": False, "error_code": 400, "description": self.refuses}
                await connection.answer(400, _JSON, json.dumps(refusal).encode())
                continue
            kind = self.kind or _KINDS[method]
            file = [self.file] if kind == "photo" else self.file
            result = {"message_id": 7, "chat": {"id": -1001}, kind: file}
            answer = json.dumps({"ok": True, "result": result}).encode()
            await connection.answer(200, _JSON, answer)


_JSON = [("Content-Type", "application/json")]
_KINDS = {
    "sendPhoto": "photo",
    "sendVideo": "video",
    "sendAudio": "audio",
    "sendDocument": "document",
    "sendAnimation": "animation",
    "sendVoice": "voice",
    "sendVideoNote": "video_note",
}


def _read(method: str, headers: dict[str, str], body: bytes) -> Sent:
    length, content_type = int(headers["content-length"]), headers["content-type"]
    if not content_type.startswith("multipart/"):
        fields = {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}
        return Sent(method, length, len(body), fields, {}, list(fields))
    fields, files, order = {}, {}, []
    boundary = b"--" + content_type.partition("boundary=")[2].encode()
    head, *parts, tail = (b"\r\n" + body).split(b"\r\n" + boundary)
    assert (head, tail) == (b"", b"--\r\n")
    for part in parts:
        front, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        told = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(front + b"\r\n\r\n")
        name = str(told.get_param("name", header="content-disposition"))
        order.append(name)
        if (file_name := told.get_filename()) is not None:
            files[name] = FilePart(file_name, told.get_content_type(), content)
        else:
            fields[name] = content.decode()
    return Sent(method, length, len(body), fields, files, order)


@asynccontextmanager
async def scripted_bot_api(**script: Any) -> AsyncIterator[ScriptedBotApi]:
    server = ScriptedBotApi(**script)
    async with serving(server):
        yield server


def jpeg(width: int, height: int, size_bytes: int = 5000) -> bytes:
    """A JPEG that shows this size, as long as asked."""
    front = b"\xff\xd8\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0"
    front += b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\1\x11\0" + b"\xff\xda\x00\x02"
    return front + b"p" * (size_bytes - len(front) - 2) + b"\xff\xd9"
