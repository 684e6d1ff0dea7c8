"""One upload and its answer over the shared client, for every destination that speaks HTTP.

If an upload breaks, what was sent until then decides whether the object may have been delivered.
"""

from __future__ import annotations

import math
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol, cast

import httpx
import trio
from attrs import define, frozen

from streamwarm.errors import AttemptError, DestinationError, ErrorCode, StaleConnection
from streamwarm.s3.sigv4 import signatures_in
from streamwarm.send.destination import Body, Media

REFUSAL_BODY_S = 5.0
"""How long the body of a refusal is read, in seconds. The status has decided already, and the body only explains it.
A body that drips for longer would end the attempt as a time-out, which hides the status."""

_PLAIN_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+( *;[ -~]*)?")


@frozen
class Answer:
    """A destination's answer. `body` is cut off at the caller's limit. `whole` is False if the connection broke before
    the end of the body."""

    status: int
    headers: httpx.Headers
    body: bytes
    whole: bool
    signatures: tuple[str, ...] = ()
    """What was made of a secret for this request alone. An answer may quote it, and the settings do not have it."""


class Outgoing(Protocol):
    """What is known of an upload if it breaks off."""

    @property
    def bytes_out(self) -> int:
        """How many of the object's bytes the network has taken."""
        ...

    @property
    def upload_sent(self) -> bool:
        """True once the network has taken everything that makes an object of the upload: the object's bytes and what
        the destination adds behind them. Until then no server can have one; afterwards a lost answer is
        `delivery_unknown`."""
        ...


@define
class Upload:
    """A body that is uploaded as one object in one request."""

    body: Body
    upload_sent: bool = False

    @property
    def bytes_out(self) -> int:
        return self.body.bytes_out

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        async with aclosing(self.body.pieces()) as pieces:
            async for piece in pieces:
                yield piece
        self.upload_sent = True


@frozen
class NoUpload:
    """A request without an object. Losing its answer leaves no delivery uncertain, because it can be repeated."""

    bytes_out: int = 0
    upload_sent: bool = False


async def exchange(client: httpx.AsyncClient, request: httpx.Request, upload: Outgoing, *, max_bytes: int) -> Answer:
    """Send `request`, whose content is `upload`, and read at most `max_bytes` of the answer.

    Raises `DestinationError`: `delivery_unknown` if every byte was sent but no answer arrived, here or at a gateway in
    between; `StaleConnection` if the connection was closed before it took a byte. A `SourceError` from the body passes
    through.
    """
    try:
        response = await client.send(request, stream=True)
    except httpx.HTTPError as exc:
        unreceived = bool(request.extensions.get("unreceived"))  # set by `net/transport.py`
        raise _translate(exc, upload, unreceived=unreceived) from None  # its request contains secrets
    try:
        body, whole = await _read(response, max_bytes, within_s=math.inf if response.is_success else REFUSAL_BODY_S)
    finally:
        await response.aclose()
    if response.status_code == httpx.codes.GATEWAY_TIMEOUT and upload.upload_sent:  # RFC 9110, 15.6.5
        raise DestinationError(
            ErrorCode.DELIVERY_UNKNOWN,
            "every byte was sent, but a gateway got no answer in time (HTTP 504): the file may have been delivered",
        )
    return Answer(
        response.status_code, response.headers, body, whole, signatures_in(request.headers.get("Authorization", ""))
    )


async def _read(response: httpx.Response, max_bytes: int, *, within_s: float) -> tuple[bytes, bool]:
    """Return at most `max_bytes` of the body, as much as arrived in time, and whether it ended."""
    body = b""
    # Not `aiter_raw`: it wraps this generator in another, and closing that one leaves this one to the garbage
    # collector.
    stream = cast(AsyncGenerator[bytes, None], aiter(cast(httpx.AsyncByteStream, response.stream)))
    try:
        with trio.move_on_after(within_s) as scope:
            async with aclosing(stream) as pieces:
                async for piece in pieces:
                    body += piece
                    if len(body) > max_bytes:
                        break
    except httpx.HTTPError:
        return body[:max_bytes], False
    return body[:max_bytes], not scope.cancelled_caught


def stored_headers(media: Media) -> dict[str, str]:
    """Return Content-Type and Content-Encoding as stored, if they are valid in a header: they come from the bucket."""
    plain = len(media.content_type or "") <= 256 and _PLAIN_TYPE.fullmatch(media.content_type or "")
    headers = {"Content-Type": media.content_type if media.content_type and plain else "application/octet-stream"}
    if media.content_encoding and re.fullmatch(r"[A-Za-z0-9, _-]{1,64}", media.content_encoding):
        headers["Content-Encoding"] = media.content_encoding
    return headers


def broken_answer(upload: Outgoing) -> DestinationError:
    """Return the error for an answer that broke off before its body said whether the request succeeded."""
    if upload.upload_sent:
        return DestinationError(
            ErrorCode.DELIVERY_UNKNOWN, "every byte was sent and the answer broke off: the file may have been delivered"
        )
    return DestinationError(ErrorCode.DESTINATION_UNAVAILABLE, "the destination's early answer broke off")


def _translate(exc: httpx.HTTPError, upload: Outgoing, *, unreceived: bool) -> AttemptError:
    """Return the error for a broken exchange. httpx's own messages never quote the URL, but its objects contain it."""
    what, taken_bytes = type(exc).__name__, upload.bytes_out
    if unreceived:
        return StaleConnection(f"the connection was closed before a byte of the upload had arrived ({what})")
    if upload.upload_sent:
        return DestinationError(
            ErrorCode.DELIVERY_UNKNOWN,
            f"every byte was sent and the answer was lost ({what}): the file may have been delivered",
        )
    if isinstance(exc, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError) and not taken_bytes:
        return StaleConnection(f"the connection was closed before it took a byte ({what})")
    if isinstance(exc, httpx.ConnectError):  # its message is the system's or TLS's, and names at most host and port
        return DestinationError(ErrorCode.DESTINATION_UNAVAILABLE, f"the destination cannot be reached: {exc}")
    code = ErrorCode.TIMEOUT if isinstance(exc, httpx.TimeoutException) else ErrorCode.DESTINATION_UNAVAILABLE
    return DestinationError(code, f"the upload broke off after {taken_bytes} bytes ({what})")
