"""A request's body as JSON: read within a time and a size, and parsed strictly."""

from __future__ import annotations

from collections.abc import Mapping

import trio

from streamwarm.accept.http.message import Request
from streamwarm.accept.http.problems import HttpError
from streamwarm.accept.wire.fields import FieldError
from streamwarm.accept.wire.json_text import BadJsonError, parse_json
from streamwarm.accept.wire.jsonrpc import MAX_MESSAGE_BYTES


async def read_body(request: Request, within_s: float) -> bytes:
    """The whole body. Raises `HttpError` if it is longer than `MAX_MESSAGE_BYTES` or takes longer than `within_s`."""
    declared = request.headers.get("content-length")
    if declared.isdecimal() and int(declared) > MAX_MESSAGE_BYTES:
        raise _too_long()
    body = bytearray()
    with trio.move_on_after(within_s):
        while piece := await request.next_piece():
            body += piece
            if len(body) > MAX_MESSAGE_BYTES:
                raise _too_long()
        return bytes(body)
    raise HttpError(408, f"the body took longer than {within_s:g} s to arrive")


async def read_object(request: Request, within_s: float) -> Mapping[str, object]:
    """The body as a JSON object. Raises `HttpError` and `FieldError`."""
    return _json_object(await read_body(request, within_s))


async def read_optional_object(request: Request, within_s: float) -> Mapping[str, object]:
    """The body as a JSON object. An empty body means `{}`, because no member is required."""
    body = await read_body(request, within_s)
    return _json_object(body) if body else {}


def _too_long() -> HttpError:
    return HttpError(413, f"a body may have at most {MAX_MESSAGE_BYTES} bytes; push the jobs in several calls")


def _json_object(body: bytes) -> Mapping[str, object]:
    try:
        value = parse_json(body.decode())
    except (BadJsonError, UnicodeDecodeError) as error:
        reason = str(error) if isinstance(error, BadJsonError) else "not UTF-8"
        raise FieldError(f"the body is not valid JSON: {reason}") from None
    if not isinstance(value, dict):
        raise FieldError("the body must be a JSON object")
    return value
