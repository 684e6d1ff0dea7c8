"""Calls the contract's methods over HTTP, if only the service's HTTP API can be reached."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx
import trio
from attrs import frozen

from streamwarm.accept.wire.refusals import Reason
from streamwarm.cli.client import (
    CONNECT_TIMEOUT_S,
    NOTIFICATIONS,
    REPLY_TIMEOUT_S,
    CallError,
    Unreachable,
    refusal,
    reply_timeout_s,
    tls_failure,
)
from streamwarm.net.backend import NOT_AN_ADDRESS

EVENTS_READ_TIMEOUT_S = 60.0
"""The longest silence on the stream of events. The service writes at least every 15 s."""

_NO_CONNECTION = (httpx.HTTPError, httpx.InvalidURL, *NOT_AN_ADDRESS)
"""What httpx raises without an answer; the last are the resolver's, which httpx lets through."""

_RPC_CODES = {f"urn:streamwarm:error:{reason.text}": reason.rpc_code for reason in Reason}
"""The JSON-RPC code of each problem type, so that callers handle both interfaces alike."""


@asynccontextmanager
async def open_http_caller(url: str, token: str | None) -> AsyncIterator[HttpCaller]:
    """Open a caller for this block. It connects at its first call. Raises `Unreachable` if `url` cannot be one."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    timeout = httpx.Timeout(REPLY_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    try:
        base_url = httpx.URL(url)
    except _NO_CONNECTION as exc:
        raise _no_service(url, exc) from None
    # The system's authorities or SSL_CERT_FILE's, as for the websocket, and not those that httpx brings along.
    verify = ssl.create_default_context() if base_url.scheme == "https" else False
    async with httpx.AsyncClient(
        base_url=base_url, headers=headers, timeout=timeout, trust_env=False, verify=verify
    ) as client:
        yield HttpCaller(url, token, client)


@asynccontextmanager
async def open_http_client(url: str, token: str | None) -> AsyncIterator[HttpClient]:
    """Open a client for this block that gets every job's notifications. Raises `Unreachable`."""
    async with open_http_caller(url, token) as caller, trio.open_nursery() as nursery:
        notify, notifications = trio.open_memory_channel[Mapping[str, Any]](NOTIFICATIONS)
        await nursery.start(caller.follow, notify)
        yield HttpClient(notifications, caller)
        nursery.cancel_scope.cancel()


@frozen
class HttpClient:
    """The `Follower` that `push` needs. `notifications` has those of all jobs, not only the pushed ones."""

    notifications: trio.MemoryReceiveChannel[Mapping[str, Any]]
    _caller: HttpCaller

    async def call(self, method: str, params: Mapping[str, Any]) -> Any:
        return await self._caller.call(method, params)


@frozen
class HttpCaller:
    """Has the same `call` as the websocket's client."""

    url: str
    _token: str | None
    _client: httpx.AsyncClient

    async def call(self, method: str, params: Mapping[str, Any]) -> Any:
        verb, path, query, body = _request(method, params)
        # ASCII can encode half a surrogate pair, which an argument may contain: the service refuses it.
        content = None if body is None else json.dumps(body)
        headers = {} if body is None else {"content-type": "application/json"}
        try:
            timeout = httpx.Timeout(reply_timeout_s(method), connect=CONNECT_TIMEOUT_S)
            answer = await self._client.request(
                verb, path, params=query, content=content, headers=headers, timeout=timeout
            )
        except _NO_CONNECTION as exc:
            raise _no_service(self.url, exc) from None
        try:
            value = answer.json()
        except ValueError:
            raise self._refusal(answer.status_code) from None
        if answer.is_success:
            return value
        return self._refused(method, answer.status_code, value)

    async def follow(
        self,
        notify: trio.MemorySendChannel[Mapping[str, Any]],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Send the service's notifications to `notify` until they end; then close it.

        Raises `Unreachable` if the stream cannot be opened.
        """
        timeout = httpx.Timeout(EVENTS_READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        is_open = False
        try:
            async with notify, self._client.stream("GET", "/v1/events", timeout=timeout) as answer:
                if not answer.is_success:
                    raise self._refusal(answer.status_code)
                is_open = True
                task_status.started()
                event = ""
                async for line in answer.aiter_lines():
                    name, _, value = line.partition(": ")
                    if name == "event":
                        event = value
                    elif name == "data":
                        await notify.send({"method": event, "params": json.loads(value)})
        except _NO_CONNECTION as exc:
            if not is_open:
                raise _no_service(self.url, exc) from None

    def _refused(self, method: str, status: int, problem: Any) -> Any:
        if status == 404 and method in _COLD:
            return _COLD[method]
        if status == 401 or not isinstance(problem, dict) or "detail" not in problem:
            raise self._refusal(status)
        raise CallError(_RPC_CODES.get(problem.get("type", ""), status), problem["detail"], problem)

    def _refusal(self, status: int) -> Unreachable:
        return refusal(self.url, status, "HTTP API (serve.http)", self._token)


def _no_service(url: str, exc: BaseException) -> Unreachable:
    return tls_failure(url, exc) or Unreachable(
        f"no service answers at {url}; start one with `streamwarm serve`, or give another with --http-url"
    )


_COLD: Mapping[str, Any] = {"find": None, "forget": {"forgotten": False}}
"""What the websocket answers where HTTP has a 404."""

_OF_RECORD = {"find": "GET", "forget": "DELETE"}
_OF_MEDIA = frozenset({"import", "refresh", "verify"})
_NAMES = ("destination", "kind", "sha256", "r2_key")


def _record_path(params: Mapping[str, Any]) -> str:
    pieces = (params["destination"], params["kind"], params.get("sha256") or params["r2_key"])
    return "/v1/media/" + "/".join(quote(piece, safe="") for piece in pieces)


def _rest(params: Mapping[str, Any]) -> dict[str, Any]:
    """The params that the path does not have."""
    return {name: value for name, value in params.items() if name not in _NAMES}


def _request(method: str, params: Mapping[str, Any]) -> tuple[str, str, dict[str, Any] | None, dict[str, Any] | None]:
    """The HTTP method, path, query and body of a call."""
    if method == "stats":
        return "GET", "/v1/stats", None, None
    if method in _OF_RECORD:
        return _OF_RECORD[method], _record_path(params), _rest(params), None
    if method == "invalid":
        return "POST", f"{_record_path(params)}/invalid", None, _rest(params)
    if method == "records":
        return "GET", "/v1/media", dict(params), None
    if method in _OF_MEDIA:
        return "POST", f"/v1/media/{method}", None, dict(params)
    if method == "get":
        return "GET", f"/v1/jobs/{quote(params['id'], safe='')}", None, None
    if method == "attempts":
        return "GET", f"/v1/jobs/{quote(params['id'], safe='')}/attempts", None, None
    if method == "list":
        return "GET", "/v1/jobs", dict(params), None
    if method == "push":
        return "POST", "/v1/jobs", None, dict(params)
    if method.endswith("_jobs"):
        return "POST", f"/v1/jobs/{method.removesuffix('_jobs')}", None, dict(params)
    return "POST", f"/v1/{method}", None, dict(params)
