"""Connections from untrusted clients. Each runs in its own task, cannot harm the others, and always ends.

Both interfaces (websocket and HTTP) use this. A client may send garbage, stop reading, stop sending or vanish. In
trio-websocket, each of these can raise through the whole server or wait for ever: a `Host` header with byte 0xff raises
out of wsproto. So the guard is below the library: an exception ends one connection, and `ClientStream` bounds every
send.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol, cast

import trio
from attrs import define, field

from streamwarm.errors import SettingsError

_CHUNK_BYTES = 64 * 1024
"""How much a client must read within one send deadline. Small enough for a slow network; a client that reads nothing
misses it."""

_SEND_BUFFER_BYTES = 128 * 1024
"""What the kernel keeps of what a client has not read. By itself Linux lets it grow to 4 MiB for each connection."""

_LINGER_S = 1.0
"""How long to read on after our last byte. Closing a socket with unread input sends a reset, and a reset discards what
the client has not read yet: a client that sends too much would never learn why it was cut off."""


class Socket(Protocol):
    """What is used of a connection's or a listener's socket. Without a file descriptor, `fileno` returns -1."""

    @property
    def family(self) -> int: ...

    def fileno(self) -> int: ...

    def getsockname(self) -> Any: ...

    def getpeername(self) -> Any: ...

    def close(self) -> None:
        """Close at once and wake every task that waits for it."""
        ...


class Connection(Protocol):
    """An accepted connection. `trio.SocketStream` is one, and says what each method does."""

    @property
    def socket(self) -> Socket: ...

    async def send_all(self, data: memoryview) -> None: ...

    async def wait_send_all_might_not_block(self) -> None: ...

    async def send_eof(self) -> None: ...

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray: ...

    async def aclose(self) -> None: ...


class Listener(Protocol):
    """Accepts connections. `trio.SocketListener` is one."""

    @property
    def socket(self) -> Socket: ...

    async def accept(self) -> Connection: ...

    async def aclose(self) -> None: ...


class ClientStream(trio.abc.HalfCloseableStream):
    """A client's connection on which no send waits for ever: it has `send_within_s` per chunk of 64 KiB.

    If that time passes, or if a send is cancelled half-way, the connection is aborted: the next send would start in the
    middle of a frame. `is_sending`: a send is waiting for the client. `fault`: why the connection failed, else None.
    `failure`: the unexpected exception that ended it, else None. `ended` is set when nothing more will be read.
    """

    def __init__(self, inner: Connection, *, send_within_s: float) -> None:
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
    def socket(self) -> Socket:
        """Both ends' addresses are read from it."""
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
        """Send what the kernel takes without blocking, and return how many bytes that was.

        Nearly always that is everything. A deadline and a pass through the event loop would cost more than the system
        call.
        """
        try:
            return os.write(self._inner.socket.fileno(), data)
        except OSError:  # the buffer is full, or the peer is gone: the regular send below waits or raises
            return 0

    async def _send_chunk(self, chunk: memoryview) -> None:
        with trio.move_on_after(self._send_within_s):
            await self._inner.send_all(chunk)
            return
        self.fault = self.fault or f"did not read for {self._send_within_s:g} s"
        raise trio.BrokenResourceError(self.fault)

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self._inner.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data: bytes | bytearray = b""
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
        """Send end-of-stream, read and discard input for at most `_LINGER_S`, and close.

        If another task is reading, it goes on, and what it reads is discarded.
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
            pass  # the client is gone, another task closed first, or another task is still sending
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
        """Close the socket at once, from any task. Tasks that wait on it wake up, even those under a shield."""
        self.ended.set()
        self._inner.socket.close()


async def open_listeners(host: str, port: int) -> Sequence[trio.SocketListener]:
    """Listen on every address of `host`. For port 0, listen on the first address only, on a free port.

    Raises `SettingsError`, which names the address, if it cannot be listened on.
    """
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        reason = "it is in use" if error.errno == errno.EADDRINUSE else (error.strerror or str(error))
        remedy = "stop the program that listens there, or choose another address (--listen, --http)"
        raise SettingsError(f"cannot listen on {host}:{port}: {reason}; {remedy}") from error
    if port == 0:
        for extra in listeners[1:]:
            await extra.aclose()
        listeners = listeners[:1]
    for listener in listeners:  # a connection inherits it
        listener.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    return listeners


def bracketed(host: str) -> str:
    """`host` as it is written in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


@define(eq=False)
class ClientServer:
    """Runs `handle` for every client, and calls `report` when its connection has ended.

    At shutdown it runs `close_clients`, and aborts the connections that are left after `graceful_s`.
    """

    handle: Callable[[ClientStream], Awaitable[None]]
    report: Callable[[ClientStream], None]
    close_clients: Callable[[], Awaitable[None]]
    graceful_s: float
    send_within_s: float
    _clients: set[ClientStream] = field(factory=set, init=False)

    async def serve(self, listeners: Sequence[Listener], *, shutdown: trio.Event, started: Callable[[], None]) -> None:
        """Accept clients until `shutdown`. Returns when the last connection has ended."""
        async with trio.open_nursery() as outer:
            async with trio.open_nursery() as connections:
                with trio.CancelScope() as accepting:
                    outer.start_soon(self._end, shutdown, accepting, connections.cancel_scope)
                    serve = cast(Any, trio.serve_listeners)  # its types ask for trio's own listeners
                    accept = partial(serve, self._guard, listeners, handler_nursery=connections)
                    async with trio.open_nursery() as acceptor:
                        await acceptor.start(accept)
                        started()
            outer.cancel_scope.cancel()

    async def _guard(self, inner: Connection) -> None:
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
            # Abort them even if this whole server is cancelled: a send must not be waited for.
            for stream in list(self._clients):
                stream.abort()
            connections.cancel()


async def _contain(handle: Callable[[ClientStream], Awaitable[None]], stream: ClientStream) -> None:
    """Run `handle`. An exception ends this connection and no other. Cancellation passes through."""
    try:
        await handle(stream)
    except* (trio.BrokenResourceError, trio.ClosedResourceError):
        stream.fault = stream.fault or "the connection broke"
    except* Exception as group:
        stream.failure = group
        stream.fault = f"ended in {_innermost(group)}"


def _innermost(error: BaseException) -> str:
    """The name of the first exception that is not a group. Not its text, which may quote what a client sent."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__
