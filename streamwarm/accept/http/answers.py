"""HTTP answers within the process's `AnswerBudget`: room is taken before an answer is made, until it has been sent."""

from __future__ import annotations

from streamwarm.accept.answer_budget import AnswerBudget
from streamwarm.accept.http.gate import Handler
from streamwarm.accept.http.message import Request, Response
from streamwarm.accept.wire.sizes import page_bytes
from streamwarm.accept.wire.table import DEFAULT_LIMIT, MAX_LIMIT

_UNCOUNTED_PATHS = ("/healthz", "/readyz", "/v1/events")
"""Probes are never refused. The stream of events takes room for each piece that it sends."""

_LIST_PATHS = ("/v1/jobs", "/v1/media")

_LONG_PATHS = ("/v1/jobs", "/v1/media/import", "/v1/media/verify")

_LONG_BYTES = 1 << 20
"""Room for a push or an import and its answer. A body has at most 1 MiB, and what is answered for each job or record is
shorter than that. What is asked of a destination is answered in 1 MiB, too."""

_SMALL_BYTES = 24 * 1024
"""Room for any other answer, such as a job with its options. It makes it a short one (`SHORT_BYTES`)."""


def counted(path: str, handler: Handler, answers: AnswerBudget) -> Handler:
    """Return `handler`, made to take room of `answers` for each answer, unless `path` is not counted."""

    async def answer(request: Request) -> Response:
        room = await request.until_sent.enter_async_context(answers.room(_needed(request)))
        response = await handler(request)
        room.keep(len(response.body))
        return response

    return handler if path in _UNCOUNTED_PATHS else answer


def _needed(request: Request) -> int:
    if request.method == "POST" and request.path in _LONG_PATHS:
        return _LONG_BYTES
    if request.path not in _LIST_PATHS:
        return _SMALL_BYTES
    limit = next((value for name, value in request.query_params if name == "limit"), "")
    return page_bytes(min(int(limit), MAX_LIMIT) if limit.isdecimal() and len(limit) < 20 else DEFAULT_LIMIT)
