"""Who may use the HTTP API, and how often. Checks a request's Origin, Host, token and allowance before any route."""

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
"""Open to every client, and not rate limited: an orchestrator that gets a refusal would restart the service."""

_ABSOLUTE_FORM = re.compile(r"https?://(?P<host>[^/]*)", re.IGNORECASE)
"""The form of target that clients send to a proxy. A server must accept it too, and use its host instead of the
header's (RFC 9112, 3.2.2)."""

_LOOKUP_PATHS = ("/v1/media/", "/v1/jobs/")
"""GET requests to these paths read one row by its index, so they cost less (`cost_of_lookup`)."""


@frozen
class RequestLimits:
    """How often a client may ask. A client is an address together with the token that it sent.

    Measured: a process answers up to 1,100 look-ups per second (0.9 CPU-ms each, half of it HTTP). `stats` takes 0.9 to
    1.3 CPU-ms, metrics 1.5, a refusal 0.5. So a program that asks for stats in a loop without a pause can at best be
    held to half of the CPU time it would use. If it respects `Retry-After`, it uses at most two fifths of a core. A
    bot's look-ups are limited to 6,000 per second, which is more than a process can answer.
    """

    per_s: float = 300.0
    burst: float = 3000.0
    cost_of_lookup: float = 0.05


class HttpApp:
    """Refuses requests that are not allowed, and passes the others on with the path as it was sent.

    A browser that opens the dashboard without a token gets the page `sign_in` with status 401; a program gets a
    problem.
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
            # Exactly one leading slash: the address in a ready file ends in one, so clients often send two.
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
        """The refusal for a client that asks too often, else None.

        Requests with a wrong token count under the token None, so guessing does not use up the valid tokens' allowance.
        """
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
            return Problem(403, "the page's origin is not allowed; add it to auth.origins")
        if scope["path"] not in _OPEN_PATHS and not self._auth.allows_host(hosts, bound=host):
            return Problem(403, "the Host header names another service; add it to auth.origins, or set auth.tokens")
        if scope["path"] in _OPEN_PATHS or token is not None:
            return None
        challenge = {"www-authenticate": 'Bearer realm="streamwarm"'}
        if scope["path"] == "/" and "text/html" in headers.get("accept", ""):
            return Response(self._sign_in.html, 401, {**self._sign_in.headers, **challenge})
        return Problem(401, "send Authorization: Bearer TOKEN with one of auth.tokens", headers=challenge)
