"""Errors over HTTP as `application/problem+json` (RFC 9457), from our code and from Starlette alike."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from math import ceil
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ExceptionHandler

from streamwarm.accept.wire.fields import FieldError
from streamwarm.accept.wire.json_text import json_text
from streamwarm.accept.wire.refusals import CallRefusedError
from streamwarm.watch.observations import Observer, UnexpectedError


class Json(Response):
    """A JSON answer. No cache may keep it: references are a kind of secret, and they change."""

    media_type = "application/json"

    def __init__(self, content: object, status_code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(json_text(content), status_code, {"cache-control": "no-store", **(headers or {})})


class Problem(Json):
    """A refusal. `type` is one of the contract's error names, or `about:blank` if the status says everything."""

    media_type = "application/problem+json"

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        kind: str = "about:blank",
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        body = {"type": kind, "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
        super().__init__(body | members, status, headers)


def problem_of(error: Exception) -> Problem:
    """The answer for an exception. A bug of ours is a 500, and its text is not shown."""
    if isinstance(error, CallRefusedError):
        return _refused(error)
    if isinstance(error, FieldError):
        return Problem(400, str(error))
    if isinstance(error, HTTPException):
        return Problem(error.status_code, _detail(error), headers=error.headers)
    return Problem(500, "an internal error; see the service's log")


def _detail(error: HTTPException) -> str:
    """The error's text. If Starlette's router gave only the status's name, a text that helps."""
    if error.detail != HTTPStatus(error.status_code).phrase:
        return error.detail
    if error.status_code == 405:
        return f"this path allows {(error.headers or {}).get('Allow', 'other methods')}"
    return "there is no such route; GET /openapi.json lists all of them" if error.status_code == 404 else error.detail


def _refused(error: CallRefusedError) -> Problem:
    reason = error.reason
    kind = f"urn:streamwarm:error:{reason.text}"
    if error.retry_after_s is None:
        return Problem(reason.http_status, error.message, kind=kind)
    wait = {"retry-after": f"{ceil(error.retry_after_s)}"}  # whole seconds (RFC 9110, 10.2.3), and never too early
    return Problem(reason.http_status, error.message, kind=kind, headers=wait, retry_after_s=error.retry_after_s)


def problem_handlers(observe: Observer) -> dict[Any, ExceptionHandler]:
    """Starlette's table of exception handlers. Any other exception is a bug of ours, and is observed."""

    async def expected(_: Request, error: Exception) -> Response:
        return problem_of(error)

    async def unexpected(request: Request, error: Exception) -> Response:
        observe(UnexpectedError(f"answering {request.method} over HTTP", error))
        return problem_of(error)

    return {
        CallRefusedError: expected,
        FieldError: expected,
        HTTPException: expected,
        Exception: unexpected,
    }
