"""TCP for the HTTP client: non-blocking sockets, driven directly.

Theory. trio's own `SocketStream` costs a Python-level wrapper and a fresh allocation per call, and its `SSLStream`
returns one TLS record (16 KiB) per call. At hundreds of MB/s that is where the time goes. Here a socket is tried first,
and waited for only if the kernel has nothing. A time limit is armed only around a wait, so it means "seconds without a
byte" and costs nothing while bytes flow.

Cancellation. Every method can be cancelled before it touches the socket, but not between touching it and returning. So
a cancelled read has taken nothing from the kernel. `receive_into` does not even let another task run in between, so one
scratch buffer can serve every connection: its contents are still there when its caller continues.

Scheduling. A pass of the event loop costs as much as the system call it surrounds. A read takes one pass: by waiting
if it has to wait, else by a checkpoint. A write that the kernel takes at once takes none, because there is a read
between any two of them.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any

import httpx
import trio
from attrs import define, field

from streamwarm.net.backend import NOT_AN_ADDRESS
from streamwarm.net.tls import Scratch, TLSStream

READ_BYTES = 256 * 1024
"""The most that one read returns: sixteen TLS records, enough to make the cost of a trip through trio and httpx small.
Five transfers hold a few of these at a time, far below the 80 MB that the process must stay under."""

LOOK_EVERY_S = 1.0
"""How often a blocked write checks whether the peer has answered. Without this check, a server that refuses an upload
and stops reading would block a worker for the whole of `body_timeout_s`."""


@define(eq=False)
class TCPStream:
    """A connected TCP socket. One task reads or writes at a time, as HTTP/1.1 does."""

    _socket: socket.socket
    _scratch: Scratch

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Return up to `max_bytes`, or `b""` at the end. `timeout`: seconds without a byte.

        Raises `httpx.ReadError`, `httpx.ReadTimeout`.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        waited = False
        while True:
            try:
                data = self._socket.recv(max_bytes)
            except BlockingIOError:
                await self._wait_readable(timeout)
                waited = True
            except OSError as error:
                raise httpx.ReadError(_reason(error)) from error
            else:
                if not waited:
                    await trio.lowlevel.cancel_shielded_checkpoint()
                return data

    async def receive_into(self, target: memoryview, within_s: float | None) -> int:
        """Fill `target` with what has arrived and return the number of bytes; 0 at the end.

        No other task runs between the arrival of bytes in `target` and the return. Raises as `read` does.
        """
        await trio.lowlevel.checkpoint()
        while True:
            try:
                return self._socket.recv_into(target)
            except BlockingIOError:
                await self._wait_readable(within_s)
            except OSError as error:
                raise httpx.ReadError(_reason(error)) from error

    def receive_now(self, target: memoryview) -> int | None:
        """Fill `target` without waiting and return the number of bytes.

        Returns 0 at the end or if the connection is broken, None if nothing has arrived.
        """
        try:
            return self._socket.recv_into(target)
        except BlockingIOError:
            return None
        except OSError:
            return 0

    async def write(self, buffer: bytes | memoryview, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Hand all of `buffer` to the kernel. `timeout`: seconds without a byte.

        Raises `httpx.WriteError`, `httpx.WriteTimeout`. If it raises or is cancelled, a part may have been sent.
        """
        await self.write_unless(self._is_readable, buffer, timeout)

    async def write_unless(
        self, answered: Callable[[], bool], buffer: bytes | memoryview, within_s: float | None
    ) -> None:
        """Write as `write` does, but give up with `WriteError` if the peer takes nothing and `answered()` is true: it
        has sent something or closed."""
        await trio.lowlevel.checkpoint_if_cancelled()
        rest = memoryview(buffer)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                await self._wait_writable(answered, within_s)
            except OSError as error:
                raise httpx.WriteError(_reason(error)) from error

    async def _wait_readable(self, within_s: float | None) -> None:
        try:
            if within_s is None:
                await trio.lowlevel.wait_readable(self._socket)
                return
            # Not `fail_after`: its generator costs as much again as the scope.
            with trio.move_on_after(within_s):
                await trio.lowlevel.wait_readable(self._socket)
                return
        except trio.ClosedResourceError as error:
            raise httpx.ReadError("the connection was closed while it was being read") from error
        raise httpx.ReadTimeout(f"the peer sent nothing for {within_s:g} s")

    async def _wait_writable(self, answered: Callable[[], bool], within_s: float | None) -> None:
        deadline = float("inf") if within_s is None else trio.current_time() + within_s
        while trio.current_time() < deadline:
            with trio.move_on_at(min(deadline, trio.current_time() + LOOK_EVERY_S)) as look:
                try:
                    await trio.lowlevel.wait_writable(self._socket)
                except trio.ClosedResourceError as error:
                    raise httpx.WriteError("the connection was closed while it was being written") from error
            if not look.cancelled_caught:
                return
            if answered():
                raise httpx.WriteError("the peer takes no more bytes and has answered or closed")
        raise httpx.WriteTimeout(f"the peer took nothing for {within_s:g} s")

    async def aclose(self) -> None:
        """Close at once. A task that waits on the socket gets an error. Closing twice is harmless."""
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
        await trio.lowlevel.checkpoint()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> TLSStream:
        """Shake hands and return the encrypted stream, which owns this one from now on.

        `timeout` bounds the whole handshake. Raises `httpx.ConnectError`, `httpx.ConnectTimeout`; the caller must then
        close this stream.
        """
        try:
            stream = TLSStream.over(self, ssl_context, server_hostname, self._scratch)
        except NOT_AN_ADDRESS as error:
            raise httpx.ConnectError(f"no certificate can be for {server_hostname!r}: {error}") from error
        try:
            with trio.fail_after(float("inf") if timeout is None else timeout):
                await stream.do_handshake()
        except trio.TooSlowError:
            raise httpx.ConnectTimeout(f"no TLS handshake within {timeout:.3g} s") from None
        return stream

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return self._is_readable()
        if info == "socket":
            return self._socket
        return None

    def _is_readable(self) -> bool:
        """Whether a read would return at once. On an idle connection this means that the peer has closed it."""
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True


@define(eq=False)
class TCPBackend:
    """Opens connections, which share `scratch` (see the theory above)."""

    _scratch: Scratch = field(factory=lambda: Scratch.of(READ_BYTES))

    async def connect_tcp(self, host: str, port: int, timeout: float | None = None) -> TCPStream:  # noqa: ASYNC109
        """Resolve `host` and connect to the first address that answers, within `timeout` seconds in all.

        Raises `httpx.ConnectError`, `httpx.ConnectTimeout`.
        """
        try:
            with trio.fail_after(float("inf") if timeout is None else timeout):
                opened = await trio.open_tcp_stream(host, port)
        except trio.TooSlowError:
            raise httpx.ConnectTimeout(f"no connection to {host}:{port} within {timeout:g} s") from None
        except OSError as error:
            raise httpx.ConnectError(f"no connection to {host}:{port}: {_reason(error)}") from error
        except NOT_AN_ADDRESS as error:
            raise httpx.ConnectError(f"no connection to {host}:{port}: not a valid host and port ({error})") from error
        # trio has set TCP_NODELAY: a request's last small write must not wait for an acknowledgement.
        connected = socket.socket(fileno=opened.socket.detach())
        connected.setblocking(False)
        return TCPStream(connected, self._scratch)


def _reason(error: OSError) -> str:
    """The system's reason. trio's error says only that every address failed, and has the reasons as its cause."""
    if isinstance(error.__cause__, ExceptionGroup):
        return ", ".join(
            dict.fromkeys(_reason(each) for each in error.__cause__.exceptions if isinstance(each, OSError))
        )
    if isinstance(error.__cause__, OSError):
        return _reason(error.__cause__)
    return error.strerror or str(error) or type(error).__name__
