"""Who may use the HTTP API, and how often. Checks a request's Origin, Host, token and allowance before any route."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence

import trio
from attrs import frozen

from streamwarm.accept.allowance import Allowances
from streamwarm.accept.auth import Auth, own_origins
from streamwarm.accept.clients import bracketed
from streamwarm.accept.http.message import ClientGoneError, Request, Response
from streamwarm.accept.http.problems import HttpError, Problem, is_expected, problem_of, too_many_requests
from streamwarm.accept.http.router import Route, Router
from streamwarm.accept.wire.refusals import too_often
from streamwarm.watch.dashboard.page import Page
from streamwarm.watch.observations import Observer, UnexpectedError

Handler = Callable[[Request], Awaitable[Response]]

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

    CPU time per request: 0.9 ms for a look-up, 0.9 to 1.3 for `stats`, 1.5 for metrics, 0.5 for a refusal. It was
    measured with an HTTP server that took twice as long as the present one, so it is an upper bound.

    A refusal costs about half of an answer. So a client that asks for `stats` in a loop uses half of the CPU time that
    it would use without a limit. A client that respects `Retry-After` uses at most two fifths of a core. Look-ups are
    limited to 6,000 per second, more than a process can answer.
    """

    per_s: float = 300.0
    burst: float = 3000.0
    cost_of_lookup: float = 0.05


class HttpApp:
    """Refuses requests that are not allowed, and has the others answered by `routes`.

    A browser that opens the dashboard without a token gets the page `sign_in` with status 401; a program gets a
    problem.
    """

    def __init__(
        self,
        routes: Sequence[Route[Handler]],
        auth: Auth,
        sign_in: Page,
        observe: Observer,
        limits: RequestLimits | None = None,
    ) -> None:
        self._limits = limits or RequestLimits()
        self._allowances = Allowances(self._limits.per_s, self._limits.burst)
        self._router = Router(routes)
        self._auth = auth
        self._sign_in = sign_in
        self._observe = observe
        self.routes = routes

    async def answer(self, request: Request) -> Response:
        """The response to `request`. Raises `ClientGoneError` if the client has left."""
        try:
            return self._gate(request) or await self._routed(request)
        except ClientGoneError:
            raise
        except Exception as error:
            if not is_expected(error):
                self._observe(UnexpectedError(f"answering {request.method} over HTTP", error))
            return problem_of(error)

    async def _routed(self, request: Request) -> Response:
        found = self._router.find(request.path, request.method)
        if found is None:
            raise HttpError(404, "there is no such route; GET /openapi.json lists all of them")
        route, request.path_params = found
        handler = route.handler(request.method)
        if handler is None:
            allowed = ", ".join(sorted(route.methods))
            raise HttpError(405, f"this path allows {allowed}", {"allow": allowed})
        return await handler(request)

    def _gate(self, request: Request) -> Response | None:
        """The refusal of a request that is not allowed, else None."""
        named = _ABSOLUTE_FORM.match(request.path)
        # Exactly one leading slash: the address in a ready file ends in one, so clients often send two.
        request.path = "/" + request.path[named.end() if named else 0 :].lstrip("/")
        hosts = [named["host"]] if named else request.headers.getlist("host")
        token = self._auth.token_used(request.headers.getlist("authorization"))
        refusal = self._rate_limited(request, token) or self._refusal(request, hosts, token)
        if refusal is None and request.path not in _OPEN_PATHS and not request.admit():
            raise too_many_requests()
        return refusal

    def _rate_limited(self, request: Request, token: int | None) -> Response | None:
        """The refusal for a client that asks too often, else None.

        Requests with a wrong token count under the token None, so guessing does not use up the valid tokens' allowance.
        """
        if request.path in _OPEN_PATHS:
            return None
        is_lookup = request.method in ("GET", "HEAD") and request.path.startswith(_LOOKUP_PATHS)
        cost = self._limits.cost_of_lookup if is_lookup else 1.0
        wait_s = self._allowances.take((request.client, token), trio.current_time(), cost)
        return None if wait_s is None else problem_of(too_often(wait_s))

    def _refusal(self, request: Request, hosts: list[str], token: int | None) -> Response | None:
        host, port = request.server
        origins = request.headers.getlist("origin")
        own = own_origins(f"http://{bracketed(host)}:{port}") if origins else ()
        if not self._auth.allows_origin(origins, own=own):
            return Problem(403, "the page's origin is not allowed; add it to auth.origins")
        if request.path in _OPEN_PATHS:
            return None
        if not self._auth.allows_host(hosts, bound=host):
            return Problem(403, "the Host header names another service; add it to auth.origins, or set auth.tokens")
        if token is not None:
            return None
        challenge = {"www-authenticate": 'Bearer realm="streamwarm"'}
        if request.path == "/" and "text/html" in request.headers.get("accept"):
            return Response(self._sign_in.html, 401, {**self._sign_in.headers, **challenge})
        return Problem(401, "send Authorization: Bearer TOKEN with one of auth.tokens", headers=challenge)
