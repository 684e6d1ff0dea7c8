"""A bucket that misbehaves on purpose, over real sockets: a raw server that does what each test scripts."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import httpx
import pytest
import trio
from attrs import Factory, define, frozen
from trio.testing import MockClock

from streamwarm.errors import SourceError
from streamwarm.fetch.credentials import Bucket
from streamwarm.fetch.r2 import R2Source
from streamwarm.net.pool import open_client
from streamwarm.s3.sigv4 import SigningKeys
from streamwarm.watch.observations import Observation, SourceReopened

CANARY = "canary-secret-do-not-show"
NOW = 1_772_366_405.0
ETAG = '"etag-1"'
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Never used, for the bucket speaks plain HTTP; it saves loading the system's roots for every test."""


@frozen
class Asked:
    """A request as it came: the target's bytes untouched, header names in lower case."""

    method: str
    target: bytes
    headers: dict[str, str]

    @property
    def offset(self) -> int | None:
        """Where an asked range starts."""
        asked = self.headers.get("range")
        return int(asked.removeprefix("bytes=").removesuffix("-")) if asked else None


Script = Callable[[Asked, trio.SocketStream], Awaitable[None]]
"""Answers one request. A connection is kept open after it; a script closes it by `stream.aclose`."""


@define(eq=False)
class ScriptedBucket:
    """Answers every request with `script`, and remembers what was asked."""

    script: Script
    asked: list[Asked] = Factory(list)
    first_asked: trio.Event = Factory(trio.Event)
    connections: int = 0
    _open_connections: int = 0
    _none_open: trio.Event = Factory(trio.Event)

    async def serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        self._open_connections += 1
        try:
            while (request := await _read_request(stream)) is not None:
                self.asked.append(request)
                self.first_asked.set()
                await self.script(request, stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self._open_connections -= 1
            if not self._open_connections:
                self._none_open.set()
                self._none_open = trio.Event()

    async def all_closed(self) -> None:
        with trio.fail_after(10):
            while self._open_connections:
                await self._none_open.wait()


async def _read_request(stream: trio.SocketStream) -> Asked | None:
    received = b""
    while b"\r\n\r\n" not in received:
        more = await stream.receive_some()
        if not more:
            return None
        received += more
    line, *lines = received.partition(b"\r\n\r\n")[0].split(b"\r\n")
    method, target, _ = line.split(b" ")
    pairs = (header.decode("latin-1").partition(":") for header in lines)
    return Asked(method.decode(), target, {name.lower(): value.strip() for name, _, value in pairs})


def head(status: int, **headers: object) -> bytes:
    lines = [
        f"HTTP/1.1 {status} X",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def answering(status: int, body: bytes = b"", **headers: object) -> Script:
    """The same answer to everything."""

    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        sent = b"" if asked.method == "HEAD" else body
        await stream.send_all(head(status, content_length=len(body), **headers) + sent)

    return script


def holding(body: bytes, *, cuts: list[int], etag: str | None = ETAG) -> Script:
    """Well-behaved but for this: answer i breaks off after `cuts[i]` bytes; later ones are whole."""
    left = list(cuts)

    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        tag = {} if etag is None else {"etag": etag}
        start = asked.offset or 0
        rest = body[start:]
        span = {} if asked.offset is None else {"content_range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
        await stream.send_all(head(206 if span else 200, content_length=len(rest), **tag, **span))
        if asked.method == "HEAD":
            return
        if left:
            await stream.send_all(rest[: left.pop(0)])
            await stream.aclose()
        else:
            await stream.send_all(rest)

    return script


def chunked(body: bytes, *pieces: bytes, ends: bool = True, etag: str = ETAG, pause_s: float = 0.0) -> Script:
    """A GET without a length, in these chunks, and a HEAD that says the object is `body`."""

    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        if asked.method == "HEAD":
            await stream.send_all(head(200, etag=ETAG, content_length=len(body)))
            return
        await stream.send_all(head(200, etag=etag, transfer_encoding="chunked"))
        for number, piece in enumerate(pieces):
            if number:
                await trio.sleep(pause_s)
            await stream.send_all(b"%x\r\n%s\r\n" % (len(piece), piece))
        if ends:
            await stream.send_all(b"0\r\n\r\n")

    return script


def first_then(first: Script, then: Script) -> Script:
    """One script for the first request, another for all that follow."""
    count = 0

    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        nonlocal count
        count += 1
        await (first if count == 1 else then)(asked, stream)

    return script


@frozen
class Rig:
    """A source, the bucket it reads from, and what was observed."""

    source: R2Source
    bucket: ScriptedBucket
    observed: list[Observation]
    endpoint_url: str

    @property
    def reopened_at(self) -> list[int]:
        return [event.offset for event in self.observed if isinstance(event, SourceReopened)]

    async def read(self, r2_key: str = "media/a.mp4", *, sha256: str | None = None) -> bytes:
        async with self.source.open_object(r2_key, sha256=sha256) as source_object:
            return b"".join([bytes(piece) async for piece in source_object.pieces()])


def pooled_client(connections: int = 4) -> httpx.AsyncClient:
    return open_client(connections=connections, ssl_context=NO_TLS)


def plain_client() -> httpx.AsyncClient:
    """httpx as it comes."""
    return httpx.AsyncClient(trust_env=False, verify=NO_TLS)


@asynccontextmanager
async def rig(script: Script, *, open_http: Callable[[], httpx.AsyncClient] = pooled_client) -> AsyncIterator[Rig]:
    """A served script and a source that reads from it; both are gone at the end."""
    bucket = ScriptedBucket(script)
    observed: list[Observation] = []
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, bucket.serve, 0)
        endpoint_url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        async with open_http() as client:
            source = R2Source(
                client,
                Bucket(endpoint_url, "media", "auto", "canary-id", CANARY),
                signing_keys=SigningKeys(),
                now=lambda: NOW,
                observe=observed.append,
                uniform=lambda: 0.0,
            )
            yield Rig(source, bucket, observed, endpoint_url)
        nursery.cancel_scope.cancel()


def patient_clock() -> MockClock:
    """Virtual time that leaps only once the sockets have been quiet for a moment of real time."""
    return MockClock(autojump_threshold=0.01)


async def refusal(script: Script, r2_key: str = "media/a.mp4") -> SourceError:
    """The error of an object that cannot be read, which holds no secret."""
    async with rig(script) as broken:
        with pytest.raises(SourceError) as caught:
            await broken.read(r2_key)
        assert CANARY not in f"{caught.value!r} {caught.value} {caught.value.message}"
    return caught.value


def s3_error(code: str, message: str = "no") -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


def by_path(scripts: Mapping[str, Script]) -> Script:
    """A script for each object, by the end of its path; `?` stands for a listing."""

    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        path = asked.target.decode()
        found = scripts["?"] if "list-type" in path else next(s for end, s in scripts.items() if path.endswith(end))
        await found(asked, stream)

    return script
