"""Who may use the HTTP API, and how often: the origin of a page, the name it was asked by, the token, the allowance."""

from __future__ import annotations

import re

import trio
from attrs import frozen
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from streamwarm.accept.allowance import Allowances
from streamwarm.accept.auth import Auth, own_origins
from streamwarm.accept.clients import bracketed
from streamwarm.accept.http.problems import Problem, problem_of
from streamwarm.accept.wire.refusals import too_often
from streamwarm.watch.dashboard.page import Page

_OPEN_PATHS = ("/healthz", "/readyz")
"""Without a token, and without an end: what restarts a service must not be told to come back later."""

_ABSOLUTE_FORM = re.compile(r"https?://(?P<host>[^/]*)", re.IGNORECASE)
"""How a proxy is asked; a server must take it as well, and go by its host instead of the header's (RFC 9112, 3.2.2)."""

_LOOKUP_PATHS = ("/v1/media/", "/v1/jobs/")
"""Reading one row by its index."""


@frozen
class RequestLimits:
    """How often a client may ask, a client being an address and the token that it sent.

    Figures: a process answers up to 1,100 look-ups a second (0.9 CPU-ms each, half of it HTTP itself), stats in 0.9 to
    1.3 CPU-ms and metrics in 1.5; a refusal takes 0.5. So what a program that asks for those in a loop without a pause
    takes of a core is halved at best, for one that heeds `Retry-After` bounded by two fifths; a bot's look-ups are
    limited at 6,000 a second, beyond what a process can answer.
    """

    per_s: float = 300.0
    burst: float = 3000.0
    cost_of_lookup: float = 0.05


class HttpApp:
    """Lets in who may, and keeps the path as it was sent.

    A person who opens the dashboard without a token gets `sign_in` with the refusal; a program gets a problem.
    """

    def __init__(self, app: Starlette, auth: Auth, sign_in: Page, limits: RequestLimits | None = None) -> None:
        self._limits = limits or RequestLimits()
        self._allowances = Allowances(self._limits.per_s, self._limits.burst)
        self._app = app
        self._auth = auth
        self._sign_in = sign_in
        self.routes = app.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            sent = scope["raw_path"].decode("ascii")
            named = _ABSOLUTE_FORM.match(sent)
            # One slash at the front, however many there are: the address in a ready file ends in one, too.
            scope["path"] = "/" + sent[named.end() if named else 0 :].lstrip("/")
            headers = Headers(scope=scope)
            hosts = [named["host"]] if named else headers.getlist("host")
            token = self._auth.token_used(headers.getlist("authorization"))
            refusal = self._rate_limited(scope, token) or self._refusal(scope, headers, hosts, token)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _rate_limited(self, scope: Scope, token: int | None) -> Response | None:
        """The refusal of a client that asks too often. Who guesses at tokens uses up an allowance that is its own."""
        if scope["path"] in _OPEN_PATHS:
            return None
        address = scope["client"][0] if scope["client"] else None
        is_lookup = scope["method"] in ("GET", "HEAD") and scope["path"].startswith(_LOOKUP_PATHS)
        cost = self._limits.cost_of_lookup if is_lookup else 1.0
        wait_s = self._allowances.take((address, token), trio.current_time(), cost)
        return None if wait_s is None else problem_of(too_often(wait_s))

    def _refusal(self, scope: Scope, headers: Headers, hosts: list[str], token: int | None) -> Response | None:
        host, port = scope["server"]
        own = own_origins(f"http://{bracketed(host)}:{port}")
        if not self._auth.allows_origin(headers.getlist("origin"), own=own):
            return Problem(403, "a web page of a foreign origin; allow it in auth.origins")
        if scope["path"] not in _OPEN_PATHS and not self._auth.allows_host(hosts, bound=host):
            return Problem(403, "the Host header names another service; list it in auth.origins, or set auth.tokens")
        if scope["path"] in _OPEN_PATHS or token is not None:
            return None
        challenge = {"www-authenticate": 'Bearer realm="streamwarm"'}
        if scope["path"] == "/" and "text/html" in headers.get("accept", ""):
            return Response(self._sign_in.html, 401, {**self._sign_in.headers, **challenge})
        return Problem(401, "send Authorization: Bearer TOKEN, one of auth.tokens", headers=challenge)
