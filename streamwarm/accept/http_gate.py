"""Who may use the HTTP API: the origin of a page, the name it was asked by, and the token."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from streamwarm.accept.auth import Auth, own_origins
from streamwarm.accept.clients import bracketed
from streamwarm.accept.problems import Problem
from streamwarm.watch.dashboard.page import Page

_OPEN_PATHS = ("/healthz", "/readyz")


class HttpApp:
    """Lets in who may, and keeps the path as it was sent.

    A person who opens the dashboard without a token gets `sign_in` with the refusal; a program gets a problem.
    """

    def __init__(self, app: Starlette, auth: Auth, sign_in: Page) -> None:
        self._app = app
        self._auth = auth
        self._sign_in = sign_in
        self.routes = app.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # One slash at the front, however many there are: the address in a ready file ends in one, too.
            scope["path"] = "/" + scope["raw_path"].decode("ascii").lstrip("/")
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
        if scope["path"] not in _OPEN_PATHS and not self._auth.allows_host(headers.getlist("host"), bound=host):
            return Problem(403, "the Host header names another service; list it in auth.origins, or set auth.tokens")
        if scope["path"] in _OPEN_PATHS or self._auth.admits(headers.getlist("authorization")):
            return None
        challenge = {"www-authenticate": 'Bearer realm="streamwarm"'}
        if scope["path"] == "/" and "text/html" in headers.get("accept", ""):
            return Response(self._sign_in.html, 401, {**self._sign_in.headers, **challenge})
        return Problem(401, "send Authorization: Bearer TOKEN, one of auth.tokens", headers=challenge)
