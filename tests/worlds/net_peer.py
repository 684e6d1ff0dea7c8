"""Servers for the client: scripted ones over loopback or TLS, and in-memory ones for virtual time."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import trio
from attrs import define, field
from trio.testing import memory_stream_pair

from streamwarm.net.backend import Stream

Handler = Callable[["Peer"], Awaitable[None]]


@define(eq=False)
class Peer:
    """A server's end of one connection, with as much HTTP as a test needs. `number` counts them from 1."""

    stream: trio.abc.Stream
    number: int
    received: bytearray = field(factory=bytearray)

    async def head(self) -> bytes:
        """The next request's head; `b""` if the client closed instead."""
        while b"\r\n\r\n" not in self.received:
            piece = await self.stream.receive_some(65536)
            if not piece:
                return b""
            self.received += piece
        head, _, rest = bytes(self.received).partition(b"\r\n\r\n")
        self.received[:] = rest
        return head

    async def body(self, size: int) -> bytes:
        while len(self.received) < size:
            piece = await self.stream.receive_some(65536)
            if not piece:
                break
            self.received += piece
        body = bytes(self.received[:size])
        del self.received[:size]
        return body

    async def request(self) -> tuple[bytes, bytes]:
        """A whole request with a Content-Length or without a body."""
        head = await self.head()
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return head, await self.body(int(line.partition(b":")[2]))
        return head, b""

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def answer(self, body: bytes = b"", status: bytes = b"200 OK", extra: bytes = b"") -> None:
        await self.send(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(body), extra, body))


@define(eq=False)
class Server:
    """A server; `open` counts its connections that are open now, `opened` those that ever were."""

    handler: Handler
    port: int = 0
    open: int = 0
    opened: int = 0
    changed: trio.Event = field(factory=trio.Event)

    async def serve_connection(self, stream: trio.abc.Stream) -> None:
        self.open += 1
        self.opened += 1
        try:
            await self.handler(Peer(stream, self.opened))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # tests cut connections on purpose, from the client's side too
        finally:
            self.open -= 1
            self.changed.set()
            self.changed = trio.Event()
            await trio.aclose_forcefully(stream)

    async def serve_tls(self, context: ssl.SSLContext, stream: trio.abc.Stream) -> None:
        await self.serve_connection(trio.SSLStream(stream, context, server_side=True, https_compatible=True))

    async def wait_until_empty(self) -> None:
        with trio.fail_after(5):
            while self.open:
                await self.changed.wait()


@define(eq=False)
class MemoryStream:
    _stream: trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream]

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        try:
            with trio.fail_after(float("inf") if timeout is None else timeout):
                return bytes(await self._stream.receive_some(max_bytes))
        except trio.TooSlowError:
            raise httpx.ReadTimeout("nothing came") from None

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._stream.send_all(buffer)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> object:
        return False


@define(eq=False)
class MemoryNetwork:
    """Connects to a server without sockets, so that virtual time sees every wait."""

    side: Server
    _nursery: trio.Nursery

    @classmethod
    def to(cls, handler: Handler, nursery: trio.Nursery) -> MemoryNetwork:
        return cls(Server(handler), nursery)

    async def connect_tcp(self, *_: object, **__: object) -> Stream:
        ours, theirs = memory_stream_pair()
        await trio.lowlevel.checkpoint()
        self._nursery.start_soon(self.side.serve_connection, theirs)
        return MemoryStream(ours)


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    """A body that comes in these pieces."""
    for part in parts:
        yield part


async def echo(peer: Peer) -> None:
    """Answer every request with its own body."""
    while True:
        head, body = await peer.request()
        if not head:
            return
        await peer.answer(body)
