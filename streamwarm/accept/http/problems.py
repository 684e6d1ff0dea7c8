"""JSON answers, and errors as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from math import ceil
from typing import Any

from streamwarm.accept.http.message import NO_HEADERS, BadBodyError, Response
from streamwarm.accept.wire.fields import FieldError
from streamwarm.accept.wire.json_text import json_text
from streamwarm.accept.wire.refusals import CallRefusedError


class HttpError(Exception):
    """A request is refused: the answer's status and headers. The message says what to do."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] = NO_HEADERS) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers


class Json(Response):
    """A JSON answer. No cache may keep it: references are a kind of secret, and they change."""

    media_type = "application/json"

    def __init__(self, content: object, status: int = 200, headers: Mapping[str, str] = NO_HEADERS) -> None:
        kept = {"content-type": self.media_type, "cache-control": "no-store", **headers}
        super().__init__(json_text(content).encode("ascii"), status, kept)


class Problem(Json):
    """A refusal. `type` is one of the contract's error names, or `about:blank` if the status says everything."""

    media_type = "application/problem+json"

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        kind: str = "about:blank",
        headers: Mapping[str, str] = NO_HEADERS,
        **members: Any,
    ) -> None:
        body = {"type": kind, "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
        super().__init__(body | members, status, headers)


def problem_of(error: Exception) -> Problem:
    """The answer for an exception. A bug of ours is a 500, and its text is not shown."""
    if isinstance(error, CallRefusedError):
        return _refused(error)
    if isinstance(error, FieldError | BadBodyError):
        return Problem(400, str(error))
    if isinstance(error, HttpError):
        return Problem(error.status, str(error), headers=error.headers)
    return Problem(500, "an internal error; see the service's log")


def is_expected(error: Exception) -> bool:
    """True if the client caused `error`. Any other exception is a bug of ours."""
    return isinstance(error, CallRefusedError | FieldError | BadBodyError | HttpError)


def too_many_requests() -> HttpError:
    """The refusal of a request because too many are under way. Probes are still answered."""
    return HttpError(503, "too many requests are under way; try again later", {"retry-after": "1"})


def _refused(error: CallRefusedError) -> Problem:
    reason = error.reason
    kind = f"urn:streamwarm:error:{reason.text}"
    if error.retry_after_s is None:
        return Problem(reason.http_status, error.message, kind=kind)
    wait = {"retry-after": f"{ceil(error.retry_after_s)}"}  # whole seconds (RFC 9110, 10.2.3), and never too early
    return Problem(reason.http_status, error.message, kind=kind, headers=wait, retry_after_s=error.retry_after_s)
