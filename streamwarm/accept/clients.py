"""Connections from strangers: each in a task of its own that cannot hurt the others, each with an end.

Both interfaces stand on this. A client may send garbage, stop reading, stop sending or vanish, and the
libraries above (trio-websocket, hypercorn) each have a place where that raises through everything or waits
for ever: a `Host` header of byte 0xff raises out of wsproto; a send to a client that never reads blocks,
in hypercorn under a shield. So the guard is here, below them: an exception ends one connection, and
`ClientStream` bounds every send.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable
from functools import partial

import trio
from attrs import define, field

from streamwarm.errors import SettingsError

_CHUNK_BYTES = 64 * 1024
"""What must be taken within one send deadline: a client on a slow line lives, one that does not read is
found."""

_LINGER_S = 1.0
"""How long a closed connection is read on. Closing a socket with unread bytes resets it, and a reset
overtakes the last words: a client that sends too much would never read why it was cut off."""


class ClientStream(trio.abc.HalfCloseableStream):
    """A client's connection whose every send ends within `send_within_s` a piece; then the connection is
    over.

    A send that was cancelled half-way is the end too: the next one would start in the middle of a frame.
    `is_sending` while a send waits for the client; `fault` says why the connection failed, if it did, and
    `failure` what was raised, if that was not expected; `ended` is set once nothing more will be read.
    """

    def __init__(self, inner: trio.SocketStream, *, send_within_s: float) -> None:
        self._inner = inner
        self._send_within_s = send_within_s
        self.is_sending = False
        self.fault: str | None = None
        self.failure: BaseExceptionGroup[Exception] | None = None
        self.ended = trio.Event()
        self._is_reading = False
        self._is_closing = False
        self._read_to_end = trio.Event()

    @property
    def socket(self) -> trio.socket.SocketType:
        """What hypercorn asks for the addresses of both ends."""
        return self._inner.socket

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        complete = False
        is_alone, self.is_sending = not self.is_sending, True
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
            if is_alone:
                view = view[self._send_nowait(view) :]
            for start in range(0, len(view), _CHUNK_BYTES):
                await self._send_chunk(view[start : start + _CHUNK_BYTES])
            complete = True
        finally:
            self.is_sending = False
            if not complete:
                self.abort()

    def _send_nowait(self, data: memoryview) -> int:
        """How much the kernel takes without a wait. As a rule that is all, and then there is no deadline to set and no
        turn of the event loop to take, which cost more than the system call itself."""
        try:
            return os.write(self._inner.socket.fileno(), data)
        except OSError:  # full, or at its end: what follows waits, or tells
            return 0

    async def _send_chunk(self, piece: memoryview) -> None:
        with trio.move_on_after(self._send_within_s):
            await self._inner.send_all(piece)
            return
        self.fault = self.fault or f"did not read for {self._send_within_s:g} s"
        raise trio.BrokenResourceError(self.fault)

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self._inner.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = b""
        self._is_reading = True
        try:
            data = await self._inner.receive_some(max_bytes)
            while data and self._is_closing:
                data = await self._inner.receive_some(max_bytes)
        finally:
            self._is_reading = False
            if not data:
                self.ended.set()
                self._read_to_end.set()
        return data

    async def aclose(self) -> None:
        """Say that nothing more comes, let what is under way arrive for a moment, and close.

        Where another task reads, it goes on reading, and what it reads is dropped.
        """
        self._is_closing = True
        self.ended.set()
        try:
            with trio.move_on_after(_LINGER_S):
                await self._inner.send_eof()
                if self._is_reading:
                    await self._read_to_end.wait()
                else:
                    await self._discard_input()
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            pass  # the client is gone, another task closed first, or one still waits for the client to read
        finally:
            await self._inner.aclose()

    async def _discard_input(self) -> None:
        self._is_reading = True
        try:
            while await self._inner.receive_some(_CHUNK_BYTES):
                pass
        finally:
            self._is_reading = False
            self._read_to_end.set()

    def abort(self) -> None:
        """End the connection at once, from any task: whoever waits on it, under a shield or not, is woken."""
        self.ended.set()
        self._inner.socket.close()


async def open_listeners(host: str, port: int) -> list[trio.SocketListener]:
    """Listen on every address of `host`, or, for port 0, on the first of them with the port it was given.

    Raises `SettingsError` naming the address if that cannot be.
    """
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        reason = "it is in use" if error.errno == errno.EADDRINUSE else (error.strerror or str(error))
        remedy = "stop what listens there, or choose another address (--listen, --http)"
        raise SettingsError(f"cannot listen on {host}:{port}: {reason}; {remedy}") from error
    if port == 0:
        for surplus in listeners[1:]:
            await surplus.aclose()
        listeners = listeners[:1]
    return listeners


def bracketed(host: str) -> str:
    """`host` as a URL writes it."""
    return f"[{host}]" if ":" in host else host


@define(eq=False)
class ClientServer:
    """Runs `handle` for every client; `report` is called when a connection is over.

    At the end, `farewell` is run, and `graceful_s` later whoever is still there is cut off.
    """

    handle: Callable[[ClientStream], Awaitable[None]]
    report: Callable[[ClientStream], None]
    close_clients: Callable[[], Awaitable[None]]
    graceful_s: float
    send_within_s: float
    _clients: set[ClientStream] = field(factory=set, init=False)

    async def serve(
        self, listeners: list[trio.SocketListener], *, shutdown: trio.Event, started: Callable[[], None]
    ) -> None:
        """Accept clients until `shutdown`, then none; returns once the last connection is over."""
        async with trio.open_nursery() as outer:
            async with trio.open_nursery() as connections:
                with trio.CancelScope() as accepting:
                    outer.start_soon(self._end, shutdown, accepting, connections.cancel_scope)
                    accept = partial(trio.serve_listeners, self._guard, listeners, handler_nursery=connections)
                    async with trio.open_nursery() as acceptor:
                        await acceptor.start(accept)
                        started()
            outer.cancel_scope.cancel()

    async def _guard(self, inner: trio.SocketStream) -> None:
        stream = ClientStream(inner, send_within_s=self.send_within_s)
        self._clients.add(stream)
        try:
            await _contain(self.handle, stream)
        finally:
            self._clients.discard(stream)
            self.report(stream)
            await stream.aclose()

    async def _end(self, shutdown: trio.Event, accepting: trio.CancelScope, connections: trio.CancelScope) -> None:
        try:
            await shutdown.wait()
            accepting.cancel()
            deadline = trio.current_time() + self.graceful_s
            with trio.move_on_at(deadline):
                await self.close_clients()
            await trio.sleep_until(deadline)
        finally:
            # Also where this whole server is cancelled: a send under a foreign shield would not notice.
            for stream in list(self._clients):
                stream.abort()
            connections.cancel()


async def _contain(handle: Callable[[ClientStream], Awaitable[None]], stream: ClientStream) -> None:
    """Run `handle`; what it raises ends this connection and no other. Cancellation passes."""
    try:
        await handle(stream)
    except* (trio.BrokenResourceError, trio.ClosedResourceError):
        stream.fault = stream.fault or "the connection broke"
    except* Exception as group:
        stream.failure = group
        stream.fault = f"ended in {_innermost(group)}"


def _innermost(error: BaseException) -> str:
    """The name of the first exception that is not a group; never its text, which may quote what a client
    sent."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__
