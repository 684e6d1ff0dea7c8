"""HTTP/1.1 for a server: h11 over a trio stream, one request at a time. No part of a body is kept.

Every wait has a time limit: for the next request, for bytes of a body, for the peer to take an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

import h11
import trio
from attrs import frozen

READ_BYTES = 128 * 1024
"""The size of a body's piece: so large that the event loop costs less than the digest, and small enough for the CPU's
cache."""

MAX_HEAD_BYTES = 64 * 1024
IDLE_TIMEOUT_S = 75.0
"""nginx's default for kept-alive connections; api.telegram.org is behind nginx."""

IO_TIMEOUT_S = 60.0
LINGER_S = 2.0
"""How long bytes are still read and dropped after an early answer. Closing with unread bytes resets the connection, and
the peer may lose the answer then (RFC 9112, section 9.6)."""


class BadRequestError(Exception):
    """The peer does not speak HTTP/1.1. The message says what was wrong and never quotes the request."""


@frozen
class Request:
    """A request's head. `path` is decoded, and header names are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")

    @property
    def is_upload(self) -> bool:
        return self.content_type.lower().startswith("multipart/")

    @property
    def body_bytes(self) -> int | None:
        """The declared length, or None for a chunked body. h11 has checked that it is a number."""
        if "transfer-encoding" in self.headers:
            return None
        return int(self.headers.get("content-length", "0"))


class HttpConnection:
    """One connection. For each request, call `next_request`, `next_piece` until it is empty, and `respond`."""

    def __init__(self, stream: trio.abc.HalfCloseableStream) -> None:
        self._stream = stream
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)

    async def next_request(self) -> Request | None:
        """Return the next request's head, or None once the peer has closed or the connection may not be used again.

        Raises `BadRequestError`, `trio.TooSlowError`, `trio.BrokenResourceError`.
        """
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
        if self._h11.our_state is not h11.IDLE:
            return None
        event = await self._next_event(IDLE_TIMEOUT_S)
        if not isinstance(event, h11.Request):
            return None
        path, _, query = event.target.decode("ascii", "replace").partition("?")
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in event.headers}
        return Request(event.method.decode("ascii", "replace"), unquote(path), query, headers)

    async def next_piece(self) -> bytes:
        """Return more of the body, or `b""` at its end.

        Raises as `next_request` does. A body that the peer cut short is a `BadRequestError` too.
        """
        if self._h11.they_are_waiting_for_100_continue:
            await self._send(h11.InformationalResponse(status_code=100, headers=[]))
        event = await self._next_event(IO_TIMEOUT_S)
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def respond(self, status: int, body: bytes, content_type: str, *, sent_bytes: int | None = None) -> None:
        """Send an answer. With `sent_bytes`, its body breaks off after that many bytes, though all were announced."""
        headers = [
            ("Server", "sandbox"),
            ("Content-Type", content_type),
            ("Content-Length", str(len(body))),
        ]
        head = h11.Response(status_code=status, headers=headers)
        answer = self._h11.send(head) + self._h11.send(h11.Data(data=body[:sent_bytes]))
        if sent_bytes is None:
            answer += self._h11.send(h11.EndOfMessage())
        await self._write(answer)

    async def refuse(self, status: int, body: bytes, content_type: str) -> None:
        """Send an answer before the body was read. Call `linger` before closing."""
        head = h11.Response(
            status_code=status,
            headers=[
                ("Content-Type", content_type),
                ("Content-Length", str(len(body))),
                ("Connection", "close"),
            ],
        )
        await self._write(
            self._h11.send(head) + self._h11.send(h11.Data(data=body)) + self._h11.send(h11.EndOfMessage())
        )

    async def linger(self) -> None:
        """After `refuse`, end the sending side and drop what still arrives for `LINGER_S`, so that the peer can read
        the answer before the connection is closed."""
        await self._stream.send_eof()
        with trio.move_on_after(LINGER_S):
            while await self._stream.receive_some(READ_BYTES):
                pass

    async def _next_event(self, timeout_s: float) -> h11.Event | None:
        with trio.fail_after(timeout_s):
            while True:
                try:
                    event = self._h11.next_event()
                    if isinstance(event, h11.Event):
                        return event
                    if event is h11.PAUSED:
                        return None
                    self._h11.receive_data(bytes(await self._stream.receive_some(READ_BYTES)))
                except h11.RemoteProtocolError as error:
                    raise BadRequestError(str(error)) from error

    async def _send(self, event: h11.Event) -> None:
        await self._write(self._h11.send(event) or b"")

    async def _write(self, data: bytes) -> None:
        with trio.fail_after(IO_TIMEOUT_S):
            await self._stream.send_all(data)
