"""Serves a peer's pure core over streams: reads requests, lets the core answer, and does on the wire what goes wrong.

A core (`bucket.py`, `telegram.py`) has no stream and never waits. When a request's head has come, it says what goes
wrong (`mishap`); when the body has, it says the answer (`answer`), unless the mishap did.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit

import h11
import trio
from attrs import define, field, frozen

from tests.simulation.network import MemoryStream

LINGER_S = 1.0
"""How long what a client still sends is read after an early refusal, in seconds: it must be able to read the answer."""


@frozen
class Request:
    """Header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> Mapping[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)


@frozen
class Answer:
    """`length_bytes`: the length told to a HEAD. `is_unsized`: chunked, and a HEAD is told no length."""

    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    length_bytes: int | None = None
    is_unsized: bool = False


@frozen
class Mishap:
    """What goes wrong on the wire with one request. Shares are of the bytes of the upload or the answer, 0 to 1."""

    upload_cut: float | None = None
    upload_stall_s: float = 0.0
    upload_refusal: Answer | None = None
    """Sent in the middle of the upload; then the connection ends."""
    answer: Callable[[bytes], Answer] | None = None
    """Answers in place of the core, given the body."""

    late_s: float = 0.0
    """How long the answer waits, in seconds, once the core has given it."""
    answer_cut: float | None = None
    answer_stall_s: float = 0.0


FINE = Mishap()


class Peer(Protocol):
    def mishap(self, request: Request) -> Mishap: ...

    def answer(self, request: Request, body: bytes) -> Answer: ...


class _Ended(Exception):
    """The connection is to end here."""


@define(eq=False)
class Served:
    """One peer and what is under way with it: `uploads` are the requests whose body has not come whole."""

    peer: Peer
    uploads: int = 0
    open: set[trio.abc.Stream] = field(factory=set)

    async def serve(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Answer one connection's requests until it ends. Whatever the client does, nothing is raised."""
        self.open.add(stream)
        connection = h11.Connection(h11.SERVER)
        try:
            async with stream:
                while await self._serve_one(stream, connection):
                    connection.start_next_cycle()
        except (_Ended, h11.RemoteProtocolError, h11.LocalProtocolError):
            pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self.open.discard(stream)

    async def _serve_one(self, stream: trio.abc.Stream, connection: h11.Connection) -> bool:
        event = await _next(stream, connection)
        if not isinstance(event, h11.Request):
            return False
        headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
        request = Request(event.method.decode(), event.target.decode(), headers)
        mishap = self.peer.mishap(request)
        with self._uploading():
            body = b"".join([piece async for piece in self._body(stream, connection, request, mishap)])
        answer = mishap.answer(body) if mishap.answer is not None else self.peer.answer(request, body)
        if mishap.late_s:
            await trio.sleep(mishap.late_s)
        await _send(stream, _wire(connection, request, answer), mishap)
        return connection.our_state is h11.DONE

    @contextmanager
    def _uploading(self) -> Iterator[None]:
        self.uploads += 1
        try:
            yield
        finally:
            self.uploads -= 1

    async def _body(
        self, stream: trio.abc.Stream, connection: h11.Connection, request: Request, mishap: Mishap
    ) -> AsyncIterator[bytes]:
        length = int(request.headers.get("content-length", "0"))
        received = 0
        stalled = False
        while isinstance(event := await _next(stream, connection), h11.Data):
            received += len(event.data)
            if mishap.upload_cut is not None and received >= mishap.upload_cut * length:
                raise _Ended
            if received * 2 >= length and mishap.upload_refusal is not None:
                await stream.send_all(_wire(connection, request, mishap.upload_refusal))
                await trio.sleep(LINGER_S)
                raise _Ended
            if received * 2 >= length and mishap.upload_stall_s and not stalled:
                stalled = True
                await trio.sleep(mishap.upload_stall_s)
                if isinstance(stream, MemoryStream) and stream.is_abandoned:
                    raise _Ended  # a message that comes long after its client's death is in nobody's budget
            yield bytes(event.data)


async def _next(stream: trio.abc.Stream, connection: h11.Connection) -> object:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await stream.receive_some(65_536))
    return event


def _wire(connection: h11.Connection, request: Request, answer: Answer) -> bytes:
    is_head = request.method == "HEAD"
    length = len(answer.body) if answer.length_bytes is None else answer.length_bytes
    framing = ("Transfer-Encoding", "chunked") if answer.is_unsized else ("Content-Length", str(length))
    wire = connection.send(h11.Response(status_code=answer.status, headers=[*answer.headers, framing])) or b""
    if not is_head and answer.body:
        wire += connection.send(h11.Data(data=answer.body)) or b""
    return wire + (connection.send(h11.EndOfMessage()) or b"")


async def _send(stream: trio.abc.Stream, wire: bytes, mishap: Mishap) -> None:
    if mishap.answer_cut is not None:
        await stream.send_all(wire[: int(len(wire) * mishap.answer_cut)])
        raise _Ended
    if mishap.answer_stall_s:
        half = len(wire) // 2
        await stream.send_all(wire[:half])
        await trio.sleep(mishap.answer_stall_s)
        wire = wire[half:]
    await stream.send_all(wire)
