"""An endpoint that keeps what it receives, and a proxy to any HTTP server that injects the faults a test chooses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol

import h11
import trio
from attrs import Factory, define, frozen


@frozen
class Received:
    """A complete request. `target` is as it was sent. Header names are in lower case, and a repeated header has its
    values joined by commas."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@define(eq=False)
class HttpSink:
    """Answers `status` to every complete request, or that of `refused` for its target, with `answer_headers`."""

    answer_headers: list[tuple[str, str]] = Factory(list)
    status: int = 201
    received: list[Received] = Factory(list)
    port: int = 0
    refused: dict[str, int] = Factory(dict)

    async def serve(self, stream: trio.SocketStream) -> None:
        connection = Connection(stream)
        while (request := await connection.request()) is not None:
            body = bytearray()
            while piece := await connection.piece():
                body += piece
            headers: dict[str, str] = {}
            for name, value in request.headers:
                before = headers.get(name.decode())
                headers[name.decode()] = f"{before}, {value.decode()}" if before else value.decode()
            self.received.append(Received(request.method.decode(), request.target.decode(), headers, bytes(body)))
            await connection.answer(self.refused.get(request.target.decode(), self.status), self.answer_headers)


@define(eq=False)
class Connection:
    """A server's end of a connection, as far as tests need it. A request that breaks off ends the task."""

    stream: trio.abc.Stream
    _h11: h11.Connection = Factory(lambda: h11.Connection(h11.SERVER))

    async def request(self) -> h11.Request | None:
        """The next request's head; None once the client has closed."""
        if self._h11.our_state is h11.MUST_CLOSE:
            return None
        if self._h11.our_state is h11.DONE:
            self._h11.start_next_cycle()
        event = await self._next()
        return event if isinstance(event, h11.Request) else None

    async def piece(self) -> bytes:
        """More of its body; empty at the end."""
        event = await self._next()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes = b"", *, length_bytes: int | None = None
    ) -> None:
        """`length_bytes`: the length announced to a HEAD, which gets no body."""
        length = [] if status == 204 else [("Content-Length", str(length_bytes or len(body)))]
        head = self._h11.send(h11.Response(status_code=status, headers=[*headers, *length])) or b""
        rest = (self._h11.send(h11.Data(data=body)) or b"") + (self._h11.send(h11.EndOfMessage()) or b"")
        await self.stream.send_all(head + rest)

    async def _next(self) -> object:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            self._h11.receive_data(await self.stream.receive_some(65536))
        return event


@frozen
class Fault:
    """What goes wrong with one upload.

    With `at_byte`, nothing is read after that many bytes of its body and nothing is passed on. Without it, the whole
    upload is passed on and only the answer is lost. Then `answer` is sent as it is. The connection is closed, or left
    open if the server `stays`.
    """

    at_byte: int | None = None
    answer: bytes | Callable[[h11.Request], bytes] = b""
    stays: bool = False


FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})


def refusal(status: int, body: bytes = b"", **headers: object) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{''.join(lines)}\r\n".encode() + body


@define(eq=False)
class FaultProxy:
    """Passes requests on to the server at `behind_port`; each of `faults` happens to one that `applies` to."""

    behind_port: int
    applies: Callable[[h11.Request], bool] = lambda request: request.method in {b"PUT", b"POST"}
    faults: list[Fault] = Factory(list)
    requests: list[str] = Factory(list)
    """Method and target of every request that came."""
    port: int = 0
    _open: set[trio.SocketStream] = Factory(set)

    async def close_idle(self) -> None:
        """Close every connection that is open, as a server does with those that have been idle for long."""
        for stream in list(self._open):
            await stream.aclose()

    async def serve(self, stream: trio.SocketStream) -> None:
        self._open.add(stream)
        try:
            await self._serve(stream)
        finally:
            self._open.discard(stream)

    async def _serve(self, stream: trio.SocketStream) -> None:
        connection = Connection(stream)
        behind = await trio.open_tcp_stream("127.0.0.1", self.behind_port)
        async with behind:
            while (request := await connection.request()) is not None:
                self.requests.append(f"{request.method.decode()} {request.target.decode()}")
                fault = self.faults.pop(0) if self.faults and self.applies(request) else None
                if fault is not None:
                    await self._go_wrong(fault, request, connection, behind)
                    return
                status, headers, body = await self._pass_on(request, connection, behind)
                # What a HEAD tells is the length of a body that does not come.
                lengths = [int(value) for name, value in headers if name.lower() == "content-length"]
                rest = [(name, value) for name, value in headers if name.lower() not in FRAMING]
                told = lengths[0] if lengths and request.method == b"HEAD" else None
                await connection.answer(status, rest, body, length_bytes=told)

    async def _go_wrong(
        self, fault: Fault, request: h11.Request, connection: Connection, behind: trio.abc.Stream
    ) -> None:
        if fault.at_byte is None:
            await self._pass_on(request, connection, behind)
        else:
            left = fault.at_byte
            while left > 0 and (piece := await connection.piece()):
                left -= len(piece)
        if fault.answer:
            await connection.stream.send_all(fault.answer if isinstance(fault.answer, bytes) else fault.answer(request))
        if fault.stays:
            await trio.sleep_forever()

    async def _pass_on(
        self, request: h11.Request, connection: Connection, behind: trio.abc.Stream
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Send it on as it came and return the answer."""
        client = h11.Connection(h11.CLIENT)
        await behind.send_all(client.send(request) or b"")
        while piece := await connection.piece():
            await behind.send_all(client.send(h11.Data(data=piece)) or b"")
        await behind.send_all(client.send(h11.EndOfMessage()) or b"")
        status, headers, body = 0, [], b""
        while not isinstance(event := client.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                client.receive_data(await behind.receive_some(65536))
            elif isinstance(event, h11.Response):
                status = event.status_code
                headers = [(name.decode(), value.decode("latin-1")) for name, value in event.headers]
            elif isinstance(event, h11.Data):
                body += event.data
        return status, headers, body


class Served(Protocol):
    """What serves each connection of a port."""

    port: int

    async def serve(self, stream: trio.SocketStream) -> None: ...


@asynccontextmanager
async def serving(server: Served) -> AsyncIterator[None]:
    """Serve on a free port of loopback inside this block."""

    async def serve(stream: trio.SocketStream) -> None:
        try:
            await server.serve(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError, h11.LocalProtocolError):
            pass  # uploads are cut on purpose
        finally:
            await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        server.port = listeners[0].socket.getsockname()[1]
        yield
        nursery.cancel_scope.cancel()
