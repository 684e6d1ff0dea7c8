"""The commands' websocket client: JSON-RPC calls, and the notifications that the service sends."""

from __future__ import annotations

import itertools
import json
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import trio
import trio_websocket
import wsproto.utilities
from attrs import define, field

from streamwarm.net.backend import NOT_AN_ADDRESS

CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
REPLY_TIMEOUT_S = 120.0
"""The longest wait for a reply. A push waits for the disk's fsync behind other pushes, never for a transfer."""
LONG_REPLY_TIMEOUT_S = 3_600.0
"""The longest wait for a `refresh`, in seconds. It is answered once the bucket is listed: a million objects take
minutes."""

REPLY_BYTES = 16 << 20
"""The largest reply. It may be larger than a request: a page of jobs has their results."""

NOTIFICATIONS = 1024
"""Notifications that are buffered. If more are unread, replies wait."""


class Unreachable(Exception):
    """The service cannot be reached, refused the connection, or closed it. The message says what to do."""


class Unauthorized(Unreachable):
    """The service asked for a token, or did not know the one it was given. The message says how to give one."""


class CallError(Exception):
    """The service answered with a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


def reply_timeout_s(method: str) -> float:
    return LONG_REPLY_TIMEOUT_S if method == "refresh" else REPLY_TIMEOUT_S


@define
class Client:
    """A connection to a running service, opened by `connect`. Its notifications must be read, or replies wait."""

    notifications: trio.MemoryReceiveChannel[Mapping[str, Any]]
    _socket: trio_websocket.WebSocketConnection
    _notify: trio.MemorySendChannel[Mapping[str, Any]]
    _ids: itertools.count[int] = field(factory=itertools.count)
    _replies: dict[int, trio.MemorySendChannel[Mapping[str, Any]]] = field(factory=dict)

    async def call(self, method: str, params: Mapping[str, Any]) -> Any:
        """The method's result. Raises `CallError` or `Unreachable`."""
        number = next(self._ids)
        send, receive = trio.open_memory_channel[Mapping[str, Any]](1)
        self._replies[number] = send
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        try:
            with trio.fail_after(reply_timeout_s(method)):
                await self._socket.send_message(json.dumps(request))
                reply = await receive.receive()
        except (trio_websocket.ConnectionClosed, trio.EndOfChannel):
            raise _gone(self._socket) from None
        except trio.TooSlowError:
            raise Unreachable(f"the service did not answer {method} within {reply_timeout_s(method):g} s") from None
        finally:
            self._replies.pop(number, None)
        error = reply.get("error")
        if error:
            raise CallError(error["code"], error["message"], error.get("data") or {})
        return reply["result"]

    async def _read(self) -> None:
        """Pass replies and notifications on until the connection ends; then wake the calls that wait for a reply."""
        with self._notify:
            try:
                while True:
                    message = json.loads(await self._socket.get_message())
                    if message.get("method"):
                        await self._notify.send(message)
                    elif message.get("id") in self._replies:
                        self._replies[message["id"]].send_nowait(message)
                    elif message.get("error"):
                        self._unreadable(message)
            except trio_websocket.ConnectionClosed:
                for waiting in self._replies.values():
                    waiting.close()

    def _unreadable(self, message: Mapping[str, Any]) -> None:
        """The service could not read a request, not even its id. Commands make one call at a time, so it is that one:
        without this, the call would wait for its whole time-out."""
        for waiting in self._replies.values():
            with suppress(trio.WouldBlock):
                waiting.send_nowait(message)


@asynccontextmanager
async def connect(url: str, token: str | None) -> AsyncIterator[Client]:
    """Open a client for this block. Raises `Unreachable`."""
    is_closing = False
    # We open and close the stream ourselves: the websocket leaves it open if its reader is cancelled first.
    async with await _open_stream(url) as stream:
        try:
            async with trio.open_nursery() as nursery:
                socket = await _shake_hands(nursery, stream, url, token)
                notify, notifications = trio.open_memory_channel[Mapping[str, Any]](NOTIFICATIONS)
                client = Client(notifications, socket, notify)
                nursery.start_soon(client._read)
                yield client
                is_closing = True
                with trio.move_on_after(CLOSE_TIMEOUT_S):
                    await socket.aclose()
                nursery.cancel_scope.cancel()
        except* trio_websocket.ConnectionRejected as refused:
            # The websocket's reader task raises it too, not only the call that waits for the handshake.
            status = next(e.status_code for e in _flatten(refused))
            raise refusal(url, status, "websocket (serve.listen)", token) from None
        except* wsproto.utilities.LocalProtocolError:
            # A ping arrived after our close frame. trio-websocket answers it anyway, which wsproto refuses.
            if not is_closing:
                raise


async def _open_stream(url: str) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
    try:
        parts = urlsplit(url)
        secure = parts.scheme == "wss"
        host, port = parts.hostname or "", parts.port or (443 if secure else 80)
        with trio.fail_after(CONNECT_TIMEOUT_S):
            if not secure:
                return await trio.open_tcp_stream(host, port)
            stream = await trio.open_ssl_over_tcp_stream(host, port, https_compatible=True)
            await _handshake(stream)
            return stream
    except trio.BrokenResourceError as exc:
        raise tls_failure(url, exc) or _no_service(url) from None
    except (OSError, trio.TooSlowError, *NOT_AN_ADDRESS):
        raise _no_service(url) from None


async def _handshake(stream: trio.SSLStream[trio.SocketStream]) -> None:
    """Raises `trio.BrokenResourceError`; the stream is closed then."""
    try:
        await stream.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise


async def _shake_hands(
    nursery: trio.Nursery,
    stream: trio.SocketStream | trio.SSLStream[trio.SocketStream],
    url: str,
    token: str | None,
) -> trio_websocket.WebSocketConnection:
    parts = urlsplit(url)
    try:
        with trio.fail_after(CONNECT_TIMEOUT_S):
            return await trio_websocket.wrap_client_stream(
                nursery,
                stream,
                parts.netloc.rpartition("@")[2],
                parts.path or "/",
                subprotocols=["streamwarm.v1"],
                extra_headers=[(b"Authorization", f"Bearer {token}".encode())] if token else [],
                max_message_size=REPLY_BYTES,
            )
    except (trio.TooSlowError, trio_websocket.ConnectionTimeout, trio_websocket.ConnectionClosed, UnicodeError):
        raise _no_service(url) from None


def _no_service(url: str) -> Unreachable:
    return Unreachable(f"no service answers at {url}; start one with `streamwarm serve`, or give another with --url")


def refusal(url: str, status: int, expected: str, token: str | None) -> Unreachable:
    """The error for an HTTP status that is not the service's answer. `token` is the one that was sent."""
    if status != 401:
        return Unreachable(f"{url} refused the connection with HTTP {status}; is it the service's {expected}?")
    what = f"{url} does not know this token" if token else f"{url} needs a token"
    return Unauthorized(f"{what}; give one of its auth.tokens with --token or STREAMWARM_TOKEN")


def tls_failure(url: str, exc: BaseException) -> Unreachable | None:
    """The error for a handshake that failed, or None if TLS did not cause `exc`."""
    cause: BaseException | None = exc
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Unreachable(
            f"the certificate of {url} cannot be verified ({cause.verify_message.rstrip('.')}); "
            "set SSL_CERT_FILE to a file with the certificate of its authority, or use the name it was issued for"
        )
    if cause is not None:
        return Unreachable(
            f"{url} did not complete a TLS handshake ({cause.reason or cause}); is it an address without TLS?"
        )
    return None


def _flatten(group: BaseExceptionGroup[Any]) -> Iterator[Any]:
    for exc in group.exceptions:
        yield from _flatten(exc) if isinstance(exc, BaseExceptionGroup) else (exc,)


def _gone(socket: trio_websocket.WebSocketConnection) -> Unreachable:
    reason = socket.closed.reason if socket.closed and socket.closed.reason else "no reason given"
    return Unreachable(f"the service closed the connection ({reason}); the jobs it acknowledged are stored and go on")
