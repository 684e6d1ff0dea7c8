"""One HTTP/1.1 connection: requests in, responses out, one after the other. h11 judges what is HTTP.

What waits for the client has an end: a request's head `idle_s`, a piece of a response `send_within_s`, and a body what
its reader gives it. Whatever a client asks h11 to switch to (h2c, a websocket) is ignored: it is answered as HTTP/1.1.

A response may come before the request's body has been read, for instance a refusal. What has arrived of the body is
dropped then. If more is to come, the connection ends with the response.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol, cast

import h11
import trio
from attrs import Factory, define, field

from streamwarm.accept.clients import ClientStream
from streamwarm.accept.http.message import (
    BadBodyError,
    ClientGoneError,
    Headers,
    Request,
    Response,
    StreamedResponse,
)
from streamwarm.accept.http.places import Place, Places
from streamwarm.accept.http.problems import HttpError, problem_of, too_many_requests

MAX_HEAD_BYTES = 16 * 1024
"""A request's first line and headers. A token and a key of 1024 bytes, percent-encoded, take 4 kB."""

MAX_TARGET_BYTES = 8 * 1024
"""RFC 9112, section 3, recommends to take request lines of at least 8000 bytes."""

_MAX_HEAD_LINES = 100
"""As many as Apache takes. h11 takes 3 µs per line, and no other task runs meanwhile."""

_READ_BYTES = 16 * 1024
"""How much is read at once. It bounds what a client may send ahead of its turn, together with h11's own bound."""

_CHUNKS_AT_ONCE = 64
"""Pieces of a body taken without a checkpoint. h11 takes 13 µs for a chunk, and a chunk may be one byte."""

_SMALL_BODY_BYTES = 64 * 1024
"""A body that was not asked for and is no longer than this is read and dropped, to keep the connection."""

_LINGER_S = 10.0
_LINGER_GAP_S = 1.0
"""How long bytes are still dropped after the last response: in all, and without any. Closing a socket with unread bytes
sends a reset, and a reset discards what the client has not read yet (RFC 9112, section 9.6)."""

_BLANK_LINE = re.compile(rb"\n\r?\n")


class App(Protocol):
    async def answer(self, request: Request) -> Response:
        """The response. Raises `ClientGoneError` and nothing else."""
        ...


@define(eq=False)
class HttpConnection:
    """`run` serves one connection until it ends. `http_date` gives the `Date` header."""

    _stream: ClientStream
    _app: App
    _places: Places
    _place: Place
    _idle_s: float
    _http_date: Callable[[], bytes]
    _client: str
    _server: tuple[str, int]
    _h11: h11.Connection = Factory(lambda: h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES))
    _is_closing: bool = field(default=False, init=False)
    _has_ended: bool = field(default=False, init=False)
    """The client has sent the end of its stream."""
    _body_bytes: int | None = field(default=None, init=False)
    """What the request's `Content-Length` announces; None for a body in chunks."""
    _pieces: int = field(default=0, init=False)
    _waiting: trio.CancelScope | None = field(default=None, init=False)

    async def run(self) -> None:
        """Answer requests until either side ends the connection, then wait a moment for the client to read the last."""
        try:
            while await self._exchange():
                pass
            await self._linger()
        except ClientGoneError:
            pass
        self._stream.abort()

    def close_when_idle(self) -> None:
        """Close the connection now if no request is under way, else after its response."""
        self._is_closing = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def _exchange(self) -> bool:
        """Answer one request. Returns True if another one may follow."""
        try:
            head = await self._next_head()
            if head is None:
                return False
            request = self._request(head)
        except HttpError as error:
            await self._respond(problem_of(error), is_last=True)
            return False
        response = await self._app.answer(request)
        try:
            return await self._respond(response, is_head=request.method == "HEAD")
        finally:
            response.close()

    async def _next_head(self) -> h11.Request | None:
        """The next request's head; None if none came. Raises `HttpError` if what came is not one."""
        if self._h11.our_state is h11.DONE:
            self._h11.start_next_cycle()
        event = self._parse_head()
        if event is not h11.NEED_DATA:
            await trio.lowlevel.checkpoint()  # a client that sends many requests at once must not hold up the others
        elif not self._is_closing:
            with trio.move_on_after(self._idle_s) as self._waiting:
                while event is h11.NEED_DATA:
                    await self._receive()
                    event = self._parse_head()
            self._waiting = None
        if event is h11.NEED_DATA and self._h11.trailing_data[0] and not self._is_closing:
            raise HttpError(408, f"the request's head took longer than {self._idle_s:g} s to arrive")
        return event if isinstance(event, h11.Request) else None

    def _parse_head(self) -> object:
        received = self._h11.trailing_data[0]
        if received.count(b"\n") > _MAX_HEAD_LINES:
            end = _BLANK_LINE.search(received)
            if received.count(b"\n", 0, end.start() if end else None) > _MAX_HEAD_LINES:
                raise HttpError(431, f"a request may have at most {_MAX_HEAD_LINES} header lines")
        try:
            return self._h11.next_event()
        except h11.RemoteProtocolError as error:
            if error.error_status_hint != HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
                raise HttpError(error.error_status_hint, "the request is not valid HTTP/1.1 (RFC 9112)") from None
            if b"\n" not in received:
                raise _target_too_long() from None
            detail = f"a request's first line and headers together may have at most {MAX_HEAD_BYTES} bytes"
            raise HttpError(431, detail) from None

    def _request(self, head: h11.Request) -> Request:
        """The request that `head` begins. Raises `HttpError` for what h11 lets pass."""
        headers = Headers(cast("list[tuple[bytes, bytes]]", head.headers))
        if not head.http_version.startswith(b"1."):
            raise HttpError(505, "this server speaks HTTP/1.1 only")
        if len(head.target) > MAX_TARGET_BYTES:
            raise _target_too_long()
        if "transfer-encoding" in headers and ("content-length" in headers or head.http_version == b"1.0"):
            # Two readers may disagree on where such a request ends, and smuggle another one past each other.
            detail = "Transfer-Encoding together with Content-Length, or in HTTP/1.0, is not allowed (RFC 9112, 6.1)"
            raise HttpError(400, detail)
        self._pieces = 0
        self._body_bytes = None if "transfer-encoding" in headers else int(headers.get("content-length", "0"))
        return Request(
            head.method.decode("ascii"),
            head.target.decode("ascii"),
            headers,
            self._client,
            self._server,
            self._next_piece,
            lambda: self._places.admit(self._place),
        )

    async def _next_piece(self) -> bytes:
        """More of the request's body, and `b""` at its end."""
        if self._h11.their_state is not h11.SEND_BODY:
            return b""
        if self._h11.they_are_waiting_for_100_continue:
            await self._write(self._h11.send(h11.InformationalResponse(status_code=100, headers=[])))
        if not self._pieces:
            self._places.wait(self._place)
        self._pieces += 1
        if self._pieces % _CHUNKS_AT_ONCE == 0:
            await trio.lowlevel.checkpoint()
        while (event := self._parse_body()) is h11.NEED_DATA:
            await self._receive()
        if isinstance(event, h11.Data):
            return bytes(event.data)
        if not self._places.admit(self._place):
            raise too_many_requests()
        return b""

    def _parse_body(self) -> object:
        try:
            return self._h11.next_event()
        except h11.RemoteProtocolError:
            if self._has_ended:
                raise BadBodyError("the connection ended before the whole body had arrived") from None
            raise BadBodyError("the body is not valid HTTP/1.1 (RFC 9112)") from None

    async def _respond(self, response: Response, *, is_head: bool = False, is_last: bool = False) -> bool:
        """Write `response`. Returns True if the connection may be used again."""
        is_stream = isinstance(response, StreamedResponse)
        if not is_stream:
            self._places.wait(self._place)
        body_follows = not self._drop_what_came()
        is_last = is_last or is_stream or self._is_closing or response.status == HTTPStatus.REQUEST_TIMEOUT
        is_last = is_last or (body_follows and not self._is_worth_reading())
        head = self._h11.send(self._head(response, is_last=is_last))
        if is_head:
            await self._write(head + self._h11.send(h11.EndOfMessage()))
        elif isinstance(response, StreamedResponse):
            await self._write(head)
            await self._write_stream(response)
        else:
            await self._write_whole(head, response.body)
        if body_follows and not is_last:
            is_last = not await self._drop_rest()
        return not is_last and self._h11.our_state is h11.DONE

    def _head(self, response: Response, *, is_last: bool) -> h11.Response:
        headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in response.headers.items()]
        headers.append((b"date", self._http_date()))
        if not isinstance(response, StreamedResponse):
            headers.append((b"content-length", b"%d" % len(response.body)))
        if is_last:
            headers.append((b"connection", b"close"))
        reason = HTTPStatus(response.status).phrase.encode("ascii")
        return h11.Response(status_code=response.status, headers=headers, reason=reason)

    async def _write_whole(self, head: bytes, body: bytes) -> None:
        """All that a response is while nobody has read it: `head` and `body`. `ClientStream` writes it in pieces."""
        data, end = self._h11.send(h11.Data(data=body)), self._h11.send(h11.EndOfMessage())
        await self._write(head + data + end)

    async def _write_stream(self, response: StreamedResponse) -> None:
        """Write a body of unknown length. It ends when the client leaves; what the client sends is dropped."""
        is_whole = False

        async def send(piece: bytes) -> None:
            await self._write(self._h11.send(h11.Data(data=piece)))

        async def cancel_when_gone() -> None:
            while await self._stream.receive_some(_READ_BYTES):
                pass
            nursery.cancel_scope.cancel()

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cancel_when_gone)
                await response.write(send)
                is_whole = True
                nursery.cancel_scope.cancel()
        except* (ClientGoneError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        if not is_whole:
            raise ClientGoneError
        await self._write(self._h11.send(h11.EndOfMessage()))

    def _drop_what_came(self) -> bool:
        """Drop what has arrived of the request's body. Returns True if nothing more of it will come."""
        try:
            while self._h11.their_state is h11.SEND_BODY:
                if self._h11.next_event() is h11.NEED_DATA:
                    return False
        except h11.RemoteProtocolError:
            return False
        return self._h11.their_state is not h11.ERROR

    def _is_worth_reading(self) -> bool:
        """True if the rest of the body is small, and will surely come."""
        if self._h11.their_state is h11.ERROR or self._h11.they_are_waiting_for_100_continue:
            return False
        return self._body_bytes is not None and self._body_bytes <= _SMALL_BODY_BYTES

    async def _drop_rest(self) -> bool:
        """Read and drop the rest of the body. Returns True if all of it came."""
        with trio.move_on_after(min(self._idle_s, _LINGER_S)):
            while not self._drop_what_came():
                if self._h11.their_state is h11.ERROR:
                    return False
                await self._receive()
            return True
        return False

    async def _linger(self) -> None:
        """Send the end of the stream, and drop what the client still sends."""
        self._places.demote(self._place)
        try:
            with trio.move_on_after(_LINGER_S):
                await self._stream.send_eof()
                is_more: bytes | bytearray = b"more"
                while is_more and not self._has_ended:
                    is_more = b""
                    with trio.move_on_after(_LINGER_GAP_S):
                        is_more = await self._stream.receive_some(_READ_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    async def _receive(self) -> None:
        try:
            data = bytes(await self._stream.receive_some(_READ_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ClientGoneError from error
        self._has_ended = not data
        self._h11.receive_data(data)

    async def _write(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ClientGoneError from error


def _target_too_long() -> HttpError:
    return HttpError(414, f"a request's target may have at most {MAX_TARGET_BYTES} bytes")
