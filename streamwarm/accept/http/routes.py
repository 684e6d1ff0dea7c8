"""The HTTP API's routes. `gate.py` checks who may use them, and `server.py` serves them.

Routes are matched against the path as it was sent, still percent-encoded, and only its parameters are decoded. An
object may be called `a/../b`, `//x` or `100%2F3`, or contain a newline. Each path must reach exactly the object of that
name (fault 32), so nothing here normalises a path.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import trio
from attrs import frozen

from streamwarm.accept.answer_budget import AnswerBudget
from streamwarm.accept.auth import Auth
from streamwarm.accept.describe.openapi import openapi_document
from streamwarm.accept.http.answers import counted
from streamwarm.accept.http.body import read_object, read_optional_object
from streamwarm.accept.http.gate import Handler, HttpApp, RequestLimits
from streamwarm.accept.http.message import Request, Response, Text
from streamwarm.accept.http.paths import path_param, query_params
from streamwarm.accept.http.problems import Json, Problem
from streamwarm.accept.http.record_routes import RecordRoutes
from streamwarm.accept.http.router import Route
from streamwarm.accept.http.sse import MAX_FOLLOWERS, EventStream, last_event_id
from streamwarm.accept.intake import Intake
from streamwarm.accept.wire.requests import (
    parse_change,
    parse_list,
    parse_pause,
    parse_push,
    parse_resume,
)
from streamwarm.accept.wire.table import ID
from streamwarm.backlog.store import Action
from streamwarm.settle.feed import Feed
from streamwarm.watch.dashboard.page import Pages
from streamwarm.watch.observations import Observer

_Handlers = Mapping[str, Handler]
"""A path's handlers, by HTTP method."""

_READY_WITHIN_S = 5.0
"""How long `/readyz` waits for the store, in seconds. Probes commonly wait 1 to 10 s, and a push would fail too if the
store took longer."""


@frozen
class HttpHooks:
    """What the API needs from other parts. `ready` returns None, or why the service is not ready. `metrics` returns a
    page and its content type. Clients follow `feed` until `closing` is set. `pages` are the dashboard's."""

    ready: Callable[[], Awaitable[str | None]]
    metrics: Callable[[], Awaitable[tuple[bytes, str]]]
    feed: Feed
    closing: trio.Event
    pages: Pages


def build_app(
    intake: Intake,
    *,
    auth: Auth,
    hooks: HttpHooks,
    observe: Observer,
    limits: RequestLimits | None = None,
    answers: AnswerBudget | None = None,
    body_within_s: float = 30.0,
    max_followers: int = MAX_FOLLOWERS,
) -> HttpApp:
    """What answers requests. A request's body must arrive within `body_within_s` seconds.

    At most `max_followers` clients may follow events at a time. `answers` bounds what is answered; the websocket shares
    it.
    """
    answers = answers or AnswerBudget()
    api = _Api(intake, hooks, body_within_s, trio.CapacityLimiter(max_followers), answers)
    routes = [
        Route(path, {method: counted(path, handler, answers) for method, handler in handlers.items()})
        for path, handlers in api.handlers().items()
    ]
    return HttpApp(routes, auth, hooks.pages.sign_in, observe, limits)


class _Api:
    def __init__(
        self,
        intake: Intake,
        hooks: HttpHooks,
        body_within_s: float,
        followers: trio.CapacityLimiter,
        answers: AnswerBudget,
    ) -> None:
        self._intake = intake
        self._hooks = hooks
        self._body_within_s = body_within_s
        self._followers = followers
        self._answers = answers
        self._records = RecordRoutes(intake, answers, body_within_s)
        self._openapi = Json(openapi_document())

    async def dashboard(self, _: Request) -> Response:
        page = self._hooks.pages.dashboard
        return Response(page.html, headers=page.headers)

    def handlers(self) -> Mapping[str, _Handlers]:
        """The handlers by path. If several paths match, the first one wins."""
        return {
            "/": {"GET": self.dashboard},
            "/healthz": {"GET": self.health},
            "/readyz": {"GET": self.ready},
            "/metrics": {"GET": self.metrics},
            "/openapi.json": {"GET": self.openapi},
            "/v1/stats": {"GET": self.stats},
            "/v1/events": {"GET": self.events},
            "/v1/jobs": {"GET": self.list_jobs, "POST": self.push},
            **{
                # A job may have the action's name as its id.
                f"/v1/jobs/{action}": {"GET": partial(self.job, str(action)), "POST": partial(self.change_jobs, action)}
                for action in Action
            },
            "/v1/jobs/{id}": {"GET": self.get},
            "/v1/jobs/{id}/attempts": {"GET": self.attempts},
            "/v1/jobs/{id}/retry": {"POST": self.retry},
            "/v1/jobs/{id}/cancel": {"POST": self.cancel},
            "/v1/pause": {"POST": self.pause},
            "/v1/resume": {"POST": self.resume},
            **self._records.handlers(),
        }

    async def health(self, _: Request) -> Response:
        return Text("ok\n")

    async def ready(self, _: Request) -> Response:
        reason: str | None = f"the store has not answered for {_READY_WITHIN_S:g} s"
        with trio.move_on_after(_READY_WITHIN_S):
            reason = await self._hooks.ready()
        return Text("ready\n") if reason is None else Problem(503, reason)

    async def metrics(self, _: Request) -> Response:
        page, media_type = await self._hooks.metrics()
        return Response(page, headers={"content-type": media_type})

    async def openapi(self, _: Request) -> Response:
        return self._openapi

    async def stats(self, _: Request) -> Response:
        return Json(await self._intake.stats())

    async def events(self, request: Request) -> Response:
        """The websocket's notifications of all jobs, as server-sent events."""
        cursor = await self._hooks.feed.cursor(last_event_id(request.headers, dict(request.query_params)))
        return EventStream(self._hooks.feed, cursor, self._hooks.closing, self._followers, self._answers)

    async def push(self, request: Request) -> Response:
        """The websocket's `push`. `watch` is accepted and ignored, because no event can follow here."""
        return Json(await self._intake.push(parse_push(await read_object(request, self._body_within_s)).jobs))

    async def list_jobs(self, request: Request) -> Response:
        params = parse_list(query_params(request, numbers=("limit", "after")))
        async with self._answers.making_page():
            return Json(await self._intake.list_jobs(params))

    async def get(self, request: Request) -> Response:
        return await self.job(_job_id(request), request)

    async def attempts(self, request: Request) -> Response:
        return Json(await self._intake.attempts(_job_id(request)))

    async def job(self, job_id: str, _: Request) -> Response:
        return Json(await self._intake.get(job_id))

    async def retry(self, request: Request) -> Response:
        return Json(await self._intake.retry(_job_id(request)))

    async def cancel(self, request: Request) -> Response:
        return Json(await self._intake.cancel(_job_id(request)))

    async def change_jobs(self, action: Action, request: Request) -> Response:
        return Json(
            await self._intake.change_jobs(parse_change(action, await read_object(request, self._body_within_s)))
        )

    async def pause(self, request: Request) -> Response:
        return Json(await self._intake.pause(parse_pause(await read_optional_object(request, self._body_within_s))))

    async def resume(self, request: Request) -> Response:
        return Json(await self._intake.resume(parse_resume(await read_optional_object(request, self._body_within_s))))


def _job_id(request: Request) -> str:
    return ID.check("id", path_param(request, "id"))
