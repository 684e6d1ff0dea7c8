"""HTTP/1.1 of one connection without its socket: bytes in, requests out; responses in, bytes out. h11 parses it.

What h11 lets pass and a server should not is refused here: heads of very many or folded lines, targets that are too
long, other versions of HTTP, and requests whose end two readers could see at different places.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import cast

import h11
from attrs import Factory, define, field

from streamwarm.accept.http.message import BadBodyError, Headers, Response, StreamedResponse
from streamwarm.accept.http.problems import HttpError

MAX_HEAD_BYTES = 16 * 1024
"""A request's first line and headers. A token and a key of 1024 bytes, percent-encoded, take 4 kB."""

MAX_TARGET_BYTES = 8 * 1024
"""RFC 9112, section 3, recommends to take request lines of at least 8000 bytes."""

_MAX_HEAD_LINES = 100
"""As many as Apache takes. h11 takes 3 µs per line, and no other task runs meanwhile."""

_SMALL_BODY_BYTES = 64 * 1024
"""A body that no handler has read is read and dropped if it has at most this length, to keep the connection."""

_BLANK_LINE = re.compile(rb"\n\r?\n")
_FOLD = re.compile(rb"\n[ \t]")


@define(eq=False)
class Framing:
    """`has_ended`: the client has sent the end of its stream."""

    has_ended: bool = field(default=False, init=False)
    _h11: h11.Connection = Factory(lambda: h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES))
    _body_bytes: int | None = field(default=None, init=False)
    """What the request's `Content-Length` announces; None for a body in chunks."""

    def receive(self, data: bytes) -> None:
        """Take what the client sent; empty bytes are the end of its stream."""
        self.has_ended = not data
        self._h11.receive_data(data)

    @property
    def has_unread(self) -> bool:
        """True if part of a head has come."""
        return bool(self._h11.trailing_data[0])

    @property
    def wants_continue(self) -> bool:
        """True if the client sends its body only after `continue_`."""
        return self._h11.they_are_waiting_for_100_continue

    @property
    def may_go_on(self) -> bool:
        """True if another request may follow on this connection."""
        return self._h11.our_state is h11.DONE

    def next_request(self) -> h11.Request | h11.ConnectionClosed | None:
        """The next request's head, or the end of the stream; None until more is received. Raises `HttpError`."""
        if self._h11.our_state is h11.DONE:
            self._h11.start_next_cycle()
        received = self._h11.trailing_data[0]
        _check_lines(received)
        try:
            event = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            raise _head_error(error, received) from None
        if isinstance(event, h11.Request):
            self._check(event)
        return None if event is h11.NEED_DATA else cast("h11.Request | h11.ConnectionClosed", event)

    def _check(self, head: h11.Request) -> None:
        headers = Headers(cast("list[tuple[bytes, bytes]]", head.headers))
        if not head.http_version.startswith(b"1."):
            raise HttpError(505, "this server speaks HTTP/1.1 only")
        if len(head.target) > MAX_TARGET_BYTES:
            raise _target_too_long()
        is_chunked = "transfer-encoding" in headers
        if is_chunked and ("content-length" in headers or head.http_version == b"1.0"):
            # Two readers may disagree on where such a request ends, and smuggle another one past each other.
            detail = "Transfer-Encoding together with Content-Length, or in HTTP/1.0, is not allowed (RFC 9112, 6.1)"
            raise HttpError(400, detail)
        self._body_bytes = None if is_chunked else int(headers.get("content-length", "0"))

    def next_piece(self) -> bytes | None:
        """More of the request's body, `b""` at its end; None until more is received. Raises `BadBodyError`."""
        if self._h11.their_state is not h11.SEND_BODY:
            return b""
        try:
            event = self._h11.next_event()
        except h11.RemoteProtocolError:
            if self.has_ended:
                raise BadBodyError("the connection ended before the whole body had arrived") from None
            raise BadBodyError("the body is not valid HTTP/1.1 (RFC 9112)") from None
        if event is h11.NEED_DATA:
            return None
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    def drop_body(self) -> bool:
        """Drop what has come of the request's body. Returns True if nothing more of it will come.

        Raises `BadBodyError`: where the next request begins is not known.
        """
        while self._h11.their_state is h11.SEND_BODY:
            if self.next_piece() is None:
                return False
        if self._h11.their_state is h11.ERROR:
            raise BadBodyError("the body is not valid HTTP/1.1 (RFC 9112)")
        return True

    @property
    def is_rest_small(self) -> bool:
        """True if the rest of the body will surely come, and is small."""
        return not self.wants_continue and self._body_bytes is not None and self._body_bytes <= _SMALL_BODY_BYTES

    def continue_(self) -> bytes:
        return self._h11.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))

    def head(self, response: Response, *, date: bytes, is_last: bool) -> bytes:
        headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in response.headers.items()]
        headers.append((b"date", date))
        if not isinstance(response, StreamedResponse):
            headers.append((b"content-length", b"%d" % len(response.body)))
        if is_last:
            headers.append((b"connection", b"close"))
        reason = HTTPStatus(response.status).phrase.encode("ascii")
        return self._h11.send(h11.Response(status_code=response.status, headers=headers, reason=reason))

    def piece(self, data: bytes) -> bytes:
        """A piece of the response's body."""
        return self._h11.send(h11.Data(data=data))

    def end(self) -> bytes:
        """The end of the response."""
        return self._h11.send(h11.EndOfMessage())


def _check_lines(received: bytes) -> None:
    """Check a head's lines before h11 parses them. Raises `HttpError`."""
    is_folded = _FOLD.search(received) is not None
    if not is_folded and received.count(b"\n") <= _MAX_HEAD_LINES:
        return
    blank = _BLANK_LINE.search(received)
    end = len(received) if blank is None else blank.start()
    if received.count(b"\n", 0, end) > _MAX_HEAD_LINES:
        raise HttpError(431, f"a request may have at most {_MAX_HEAD_LINES} header lines")
    if _FOLD.search(received, 0, end):
        raise HttpError(400, "a header may not be folded over several lines (RFC 9112, 5.2)")


def _head_error(error: h11.RemoteProtocolError, received: bytes) -> HttpError:
    if error.error_status_hint != HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
        return HttpError(error.error_status_hint, "the request is not valid HTTP/1.1 (RFC 9112)")
    if b"\n" not in received:
        return _target_too_long()
    return HttpError(431, f"a request's first line and headers together may have at most {MAX_HEAD_BYTES} bytes")


def _target_too_long() -> HttpError:
    return HttpError(414, f"a request's target may have at most {MAX_TARGET_BYTES} bytes")
