"""The contract's methods over HTTP, for a service of which only the HTTP API can be reached."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx
from attrs import frozen

from streamwarm.cli.client import CONNECT_TIMEOUT_S, REPLY_TIMEOUT_S, CallError, Unreachable, refusal


@asynccontextmanager
async def open_http_caller(url: str, token: str | None) -> AsyncIterator[HttpCaller]:
    """A caller inside this block; it connects when it is asked."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    timeout = httpx.Timeout(REPLY_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=timeout) as client:
        yield HttpCaller(url, client)


@frozen
class HttpCaller:
    """`call` as the websocket's client has it."""

    url: str
    _client: httpx.AsyncClient

    async def call(self, method: str, params: Mapping[str, Any]) -> Any:
        verb, path, query, body = _request(method, params)
        try:
            answer = await self._client.request(verb, path, params=query, json=body)
            value = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL):
            raise Unreachable(
                f"no service answers at {self.url}; start one with `streamwarm serve`, or name another with --http-url"
            ) from None
        except ValueError:
            raise Unreachable(refusal(self.url, answer.status_code, "HTTP API (serve.http)")) from None
        if answer.is_success:
            return value
        return _refused(self.url, method, answer.status_code, value)


def _refused(url: str, method: str, status: int, problem: Any) -> Any:
    if status == 404 and method == "find":
        return None
    if status == 401 or not isinstance(problem, dict) or "detail" not in problem:
        raise Unreachable(refusal(url, status, "HTTP API (serve.http)"))
    raise CallError(status, problem["detail"], problem)


def _request(method: str, params: Mapping[str, Any]) -> tuple[str, str, dict[str, Any] | None, dict[str, Any] | None]:
    """Verb, path, query and body of a method."""
    if method == "stats":
        return "GET", "/v1/stats", None, None
    if method == "find":
        reference = params.get("sha256") or params["r2_key"]
        pieces = (params["destination"], params["kind"], reference)
        return "GET", "/v1/media/" + "/".join(quote(piece, safe="") for piece in pieces), None, None
    if method == "get":
        return "GET", f"/v1/jobs/{quote(params['id'], safe='')}", None, None
    if method == "list":
        return "GET", "/v1/jobs", dict(params), None
    if method.endswith("_jobs"):
        return "POST", f"/v1/jobs/{method.removesuffix('_jobs')}", None, dict(params)
    return "POST", f"/v1/{method}", None, dict(params)
