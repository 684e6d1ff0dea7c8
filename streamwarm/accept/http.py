"""The HTTP API: its routes, and who may use them. Serving them is `http_server.py`.

Routes are matched against the path as it was sent, still percent-encoded, and only the pieces are decoded:
an object may be called `a/../b`, `//x`, `100%2F3` or hold a newline, and each must reach exactly the
object of that name (fault 32). Nothing here normalises a path.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import partial
from urllib.parse import unquote_to_bytes

import trio
from attrs import frozen
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from streamwarm.accept.auth import Auth, own_origins
from streamwarm.accept.clients import bracketed
from streamwarm.accept.fields import FieldError, checked_id, checked_key, is_sha256, kind_field
from streamwarm.accept.intake import Intake
from streamwarm.accept.json_text import BadJsonError, parse_json
from streamwarm.accept.problems import Json, Problem, problem_handlers
from streamwarm.accept.protocol import MAX_MESSAGE_BYTES
from streamwarm.accept.requests import (
    ListJobs,
    Lookup,
    parse_change,
    parse_list,
    parse_pause,
    parse_push,
    parse_resume,
)
from streamwarm.accept.sse import MAX_FOLLOWERS, EventStream, last_event_id
from streamwarm.backlog.store import Action
from streamwarm.settle.feed import Feed
from streamwarm.watch.dashboard.page import Page, Pages
from streamwarm.watch.events import Observer

_OPEN_PATHS = ("/healthz", "/readyz")

_READY_WITHIN_S = 5.0
"""A store that has not answered for this long would fail a push too; probes commonly wait 1 to 10 s."""


@frozen
class HttpHooks:
    """What the API shows of other parts. `ready` answers None, or the reason why not; `metrics` a page and
    its type. `feed` is followed until `closing` is set; `pages` are what a browser sees."""

    ready: Callable[[], Awaitable[str | None]]
    metrics: Callable[[], Awaitable[tuple[bytes, str]]]
    feed: Feed
    closing: trio.Event
    pages: Pages


def build_app(
    intake: Intake, *, auth: Auth, hooks: HttpHooks, observe: Observer, body_within_s: float = 30.0
) -> ASGIApp:
    """The application. A request's body must arrive within `body_within_s`."""
    api = _Api(intake, hooks, body_within_s)
    routes = [
        Route("/", api.dashboard),
        Route("/healthz", api.health),
        Route("/readyz", api.ready),
        Route("/metrics", api.metrics),
        Route("/v1/stats", api.stats),
        Route("/v1/events", api.events),
        Route("/v1/jobs", api.push, methods=["POST"]),
        Route("/v1/jobs", api.list_jobs),
        *(Route(f"/v1/jobs/{action}", partial(api.change_jobs, action), methods=["POST"]) for action in Action),
        Route("/v1/jobs/{id}", api.get),
        Route("/v1/jobs/{id}/retry", api.retry, methods=["POST"]),
        Route("/v1/jobs/{id}/cancel", api.cancel, methods=["POST"]),
        Route("/v1/pause", api.pause, methods=["POST"]),
        Route("/v1/resume", api.resume, methods=["POST"]),
        Route("/v1/media/{destination}/{kind}/{reference:path}", api.find),
        Route("/v1/media/{destination}/{kind}/{reference:path}", api.forget, methods=["DELETE"]),
    ]
    app = Starlette(routes=routes, exception_handlers=problem_handlers(observe))
    app.router.redirect_slashes = False
    return _Gate(app, auth, hooks.pages.sign_in)


class _Gate:
    """Lets in who may, and keeps the path as it was sent.

    A person who opens the dashboard without a token gets `sign_in` with the refusal; a program gets a problem.
    """

    def __init__(self, app: ASGIApp, auth: Auth, sign_in: Page) -> None:
        self._app = app
        self._auth = auth
        self._sign_in = sign_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["path"] = scope["raw_path"].decode("ascii")
            refusal = self._refusal(scope)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host, port = scope["server"]
        own = own_origins(f"http://{bracketed(host)}:{port}")
        if not self._auth.allows_origin(headers.getlist("origin"), own=own):
            return Problem(403, "a web page of a foreign origin; allow it in auth.origins")
        if scope["path"] in _OPEN_PATHS or self._auth.admits(headers.getlist("authorization")):
            return None
        challenge = {"www-authenticate": 'Bearer realm="streamwarm"'}
        if scope["path"] == "/" and "text/html" in headers.get("accept", ""):
            return Response(self._sign_in.html, 401, {**self._sign_in.headers, **challenge})
        return Problem(401, "send Authorization: Bearer TOKEN, one of auth.tokens", headers=challenge)


class _Api:
    def __init__(self, intake: Intake, hooks: HttpHooks, body_within_s: float) -> None:
        self._intake = intake
        self._hooks = hooks
        self._body_within_s = body_within_s
        self._followers = trio.CapacityLimiter(MAX_FOLLOWERS)

    async def dashboard(self, _: Request) -> Response:
        page = self._hooks.pages.dashboard
        return Response(page.html, headers=dict(page.headers))

    async def health(self, _: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(self, _: Request) -> Response:
        reason: str | None = f"the store has not answered for {_READY_WITHIN_S:g} s"
        with trio.move_on_after(_READY_WITHIN_S):
            reason = await self._hooks.ready()
        return PlainTextResponse("ready\n") if reason is None else Problem(503, reason)

    async def metrics(self, _: Request) -> Response:
        page, media_type = await self._hooks.metrics()
        return Response(page, headers={"content-type": media_type})

    async def stats(self, _: Request) -> Response:
        return Json(await self._intake.stats())

    async def events(self, request: Request) -> Response:
        """The websocket's notifications for every job, as server-sent events."""
        since = last_event_id(request.headers, request.query_params)
        return EventStream(self._hooks.feed, since, self._hooks.closing, self._followers)

    async def push(self, request: Request) -> Response:
        """As the websocket's `push`; `watch` is allowed and means nothing where nothing can follow."""
        return Json(await self._intake.push(parse_push(await self._body(request)).jobs))

    async def list_jobs(self, request: Request) -> Response:
        return Json(await self._intake.list_jobs(_list_params(request)))

    async def get(self, request: Request) -> Response:
        return Json(await self._intake.get(_job_id(request)))

    async def retry(self, request: Request) -> Response:
        return Json(await self._intake.retry(_job_id(request)))

    async def cancel(self, request: Request) -> Response:
        return Json(await self._intake.cancel(_job_id(request)))

    async def change_jobs(self, action: Action, request: Request) -> Response:
        return Json(await self._intake.change_jobs(parse_change(action, await self._body(request))))

    async def pause(self, request: Request) -> Response:
        return Json(await self._intake.pause(parse_pause(await self._optional_body(request))))

    async def resume(self, request: Request) -> Response:
        return Json(await self._intake.resume(parse_resume(await self._optional_body(request))))

    async def find(self, request: Request) -> Response:
        for lookup in _lookups(request):
            record = await self._intake.find(lookup)
            if record is not None:
                return Json(record)
        raise _cold()

    async def forget(self, request: Request) -> Response:
        for lookup in _lookups(request):
            answer = await self._intake.forget(lookup)
            if answer["forgotten"]:
                return Json(answer)
        raise _cold()

    async def _body(self, request: Request) -> Mapping[str, object]:
        return _json_object(await self._body_bytes(request))

    async def _optional_body(self, request: Request) -> Mapping[str, object]:
        """No body is as good as `{}`: nothing in it is required."""
        body = await self._body_bytes(request)
        return _json_object(body) if body else {}

    async def _body_bytes(self, request: Request) -> bytes:
        body = bytearray()
        with trio.move_on_after(self._body_within_s) as deadline:
            try:
                async with aclosing(request.stream()) as pieces:
                    async for piece in pieces:
                        body += piece
                        if len(body) > MAX_MESSAGE_BYTES:
                            break
            except ClientDisconnect:
                raise HTTPException(400, "the body broke off") from None
        if deadline.cancelled_caught:
            raise HTTPException(408, f"the body took longer than {self._body_within_s:g} s")
        if len(body) > MAX_MESSAGE_BYTES:
            raise HTTPException(413, f"a body may have {MAX_MESSAGE_BYTES} bytes; push in parts")
        return bytes(body)


def _json_object(body: bytes) -> Mapping[str, object]:
    try:
        value = parse_json(body.decode())
    except (BadJsonError, UnicodeDecodeError) as error:
        reason = str(error) if isinstance(error, BadJsonError) else "not UTF-8"
        raise FieldError(f"the body is not valid JSON: {reason}") from None
    if not isinstance(value, dict):
        raise FieldError("the body must be a JSON object")
    return value


def _cold() -> HTTPException:
    return HTTPException(404, "this media is not warm at this destination; push a job for it")


def _piece(request: Request, name: str) -> str:
    """A piece of the path, percent-decoded once. Undecodable bytes cannot name anything R2 or we hold."""
    raw: str = request.path_params[name]
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise FieldError(f"{name} in the path must be percent-encoded UTF-8") from None


def _job_id(request: Request) -> str:
    return checked_id(_piece(request, "id"))


def _lookups(request: Request) -> list[Lookup]:
    """Where to look, in order: 64 hexadecimal digits may be a digest, and are a legal key as well."""
    destination, reference = _piece(request, "destination"), checked_key(_piece(request, "reference"))
    kind = kind_field({"kind": _piece(request, "kind")})
    by_key = Lookup(destination, kind, r2_key=reference)
    if is_sha256(reference):
        return [Lookup(destination, kind, sha256=reference.lower()), by_key]
    return [by_key]


def _list_params(request: Request) -> ListJobs:
    params: dict[str, object] = {}
    for name, text in request.query_params.multi_items():
        if name in params:
            raise FieldError(f"{name} is given twice")
        is_number = name in ("limit", "after") and text.isascii() and text.isdigit() and len(text) < 20
        params[name] = int(text) if is_number else text
    return parse_list(params)
