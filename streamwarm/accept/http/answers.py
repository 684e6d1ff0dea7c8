"""HTTP answers within the process's `AnswerBudget`: room is taken before an answer is made, until it has been sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from attrs import frozen
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from streamwarm.accept.answer_budget import AnswerBudget, AnswerUnreadError
from streamwarm.accept.wire.sizes import page_bytes
from streamwarm.accept.wire.table import DEFAULT_LIMIT, MAX_LIMIT

Handlers = Mapping[str, Callable[[Request], Awaitable[Response]]]
"""A path's handlers, by HTTP method."""

_UNCOUNTED_PATHS = ("/healthz", "/readyz", "/v1/events")
"""Probes are never refused. The stream of events takes room for each piece that it sends."""

_PUSH_PATH = "/v1/jobs"

_PUSH_BYTES = 1 << 20
"""Room for a push and its answer. A body has at most 1 MiB; a job's part of the answer is shorter than the job."""

_SMALL_BYTES = 24 * 1024


def counted_route(path: str, handlers: Handlers, answers: AnswerBudget) -> Route:
    """One route for all methods of a path, so that `Allow` names them all. GET's handler answers HEAD too."""

    async def answer(request: Request) -> Response | _CountedAnswer:
        handler = handlers["GET" if request.method == "HEAD" else request.method]
        return await handler(request) if path in _UNCOUNTED_PATHS else _CountedAnswer(answers, handler, request)

    return Route(path, answer, methods=list(handlers))


@frozen(eq=False)
class _CountedAnswer:
    """An ASGI application that runs a handler and sends its response, both within the room that it took."""

    answers: AnswerBudget
    handler: Callable[[Request], Awaitable[Response]]
    request: Request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with self.answers.room(_needed(self.request)) as room:
                response = await self.handler(self.request)
                room.keep(len(response.body))
                await response(scope, receive, send)
        except AnswerUnreadError:
            return  # the connection has been ended in the middle of its answer


def _needed(request: Request) -> int:
    if request.scope["path"] != _PUSH_PATH:
        return _SMALL_BYTES
    if request.method == "POST":
        return _PUSH_BYTES
    limit = request.query_params.get("limit", "")
    return page_bytes(min(int(limit), MAX_LIMIT) if limit.isdecimal() and len(limit) < 20 else DEFAULT_LIMIT)
