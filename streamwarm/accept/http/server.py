"""Serves the HTTP API with hypercorn's HTTP/1.1 machinery, on connections that `clients.py` guards.

hypercorn's own `serve` is not used: it lets what one connection raises end the server, sends under a bare
shield to clients that never read, and knows of no limit to connections. Its `TCPServer`, which is one
connection, is all that is needed; lifespan, signals and access logs are the service's own affair, and so
is logging: what the application raises is observed before hypercorn sees it.
"""

from __future__ import annotations

import sys
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import h11
import trio
from attrs import frozen
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Event, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamwarm.accept.clients import ClientServer, ClientStream, bracketed, open_listeners
from streamwarm.accept.http.problems import Problem
from streamwarm.watch.events import ConnectionRefused, Observer


@frozen
class HttpLimits:
    """`idle_s`: a connection without a whole request for this long is closed, kept alive or never used."""

    max_clients: int = 512
    idle_s: float = 30.0
    send_within_s: float = 10.0
    graceful_s: float = 5.0


async def serve_http(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    observe: Observer,
    shutdown: trio.Event,
    limits: HttpLimits | None = None,
    listeners: list[trio.SocketListener] | None = None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `shutdown`, then finish the requests under way within `graceful_s`; hands back
    `http://HOST:PORT/`.

    Port 0 picks one. `listeners` are used where they are open already. Raises `SettingsError` if the address cannot be
    listened on.
    """
    limits = limits or HttpLimits()
    if listeners is None:
        listeners = await open_listeners(host, port)
    bound = listeners[0].socket.getsockname()[1]
    server = _Server(app, observe, limits)
    clients = ClientServer(
        handle=server.receive,
        report=server.report,
        farewell=server.farewell,
        farewell_s=limits.graceful_s,
        send_within_s=limits.send_within_s,
    )
    url = f"http://{bracketed(host)}:{bound}/"
    await clients.serve(listeners, shutdown=shutdown, started=lambda: task_status.started(url))


class _Server:
    def __init__(self, app: ASGIApp, observe: Observer, limits: HttpLimits) -> None:
        self._app = app
        self._observe = observe
        self._limits = limits
        self._config = _config(limits)
        self._context = WorkerContext(None)
        self._clients = 0

    async def receive(self, stream: ClientStream) -> None:
        if self._clients >= self._limits.max_clients:
            stream.fault = f"{self._limits.max_clients} connections are open already"
            return
        self._clients += 1
        try:
            await self._answer(stream)
        finally:
            self._clients -= 1

    async def _answer(self, stream: ClientStream) -> None:
        requests = _Requests(self._app)
        app = ASGIWrapper(cast(ASGIFramework, requests))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_abort_when_idle, stream, requests, 2 * self._limits.idle_s)
            # hypercorn's annotation asks for TLS; what it uses of a plain stream, ClientStream has.
            await _Http1Connection(app, self._config, self._context, ConnectionState({}), cast(Any, stream))
            nursery.cancel_scope.cancel()

    async def farewell(self) -> None:
        """Idle connections close at once, the others after their answer."""
        await self._context.terminated.set()

    def report(self, stream: ClientStream) -> None:
        if stream.fault is not None:
            self._observe(ConnectionRefused(stream.fault))


class _Http1Connection(TCPServer):
    """One connection that stays with HTTP/1.1, and gives its place back when it has ended.

    hypercorn changes to HTTP/2 for any client that asks, and then neither an idle time nor the client's leaving ends
    the connection. Its wrapper, which makes the change, is taken off; the wish to change ends the connection.

    hypercorn also waits out its idle time on a connection that was closed without a request, or before its answer was
    taken: load balancers that probe by connecting, and clients that give up, would keep others out for 30 s each.
    """

    _has_ended = False

    async def _read_data(self) -> None:
        self.protocol = protocol = cast(Any, self.protocol.protocol)
        protocol._send_error_response = partial(_send_problem, protocol)
        await super()._read_data()
        self._has_ended = True
        await self.idle_task.stop()

    async def protocol_send(self, event: Event) -> None:
        if self._has_ended and isinstance(event, Updated):
            return  # it would begin to wait for the next request
        await super().protocol_send(event)


async def _send_problem(protocol: H11Protocol, status: int) -> None:
    """What h11 refuses before there is a request, in the form that every other refusal has; hypercorn says nothing."""
    detail = "the request is not HTTP/1.1 as RFC 9112 has it"
    if status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
        detail = f"a request's first line and headers may have {protocol.config.h11_max_incomplete_size} bytes together"
    problem = Problem(status, detail, headers={"connection": "close"})
    headers = [*problem.raw_headers, *protocol.config.response_headers("h11")]
    await protocol._send_h11_event(h11.Response(status_code=status, headers=headers))
    await protocol._send_h11_event(h11.Data(data=bytes(problem.body)))
    await protocol._send_h11_event(h11.EndOfMessage())


async def _abort_when_idle(stream: ClientStream, requests: _Requests, idle_s: float) -> None:
    """End a connection on which no request was under way for `idle_s`.

    hypercorn's own idle time forgets some: a websocket upgrade that it refuses stays open for ever. Bytes do not
    count as life, for a stranger may send one now and then.
    """
    begun = -1
    while requests.running or requests.begun != begun:
        begun = requests.begun
        await trio.sleep(idle_s)
    stream.fault = f"no request for {idle_s:g} s"
    stream.abort()


class _Requests:
    """One connection's requests on their way to the application; takes in what is left of a body once the answer
    begins.

    hypercorn passes bodies on through a bounded queue and says good-bye through the same one: an answer
    that does not read the body, such as a 401 to a large upload, would wait for ever for room in it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.begun = 0
        self.running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self.begun += 1
        self.running += 1
        try:
            await (self._answer_draining if _has_body(scope) else self._app)(scope, receive, send)
        finally:
            self.running -= 1

    async def _answer_draining(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_ending = False

        async def drain() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            # Nobody else hears of the client's leaving, and an answer of events would go on for ever. The last piece's
            # sending says good-bye too, and must not be cancelled half-way.
            if not is_ending:
                nursery.cancel_scope.cancel()

        async def send_draining(message: Message) -> None:
            nonlocal is_ending
            if message["type"] == "http.response.start":
                nursery.start_soon(drain)
            is_ending = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        async with trio.open_nursery() as nursery:
            await self._app(scope, receive, send_draining)
            nursery.cancel_scope.cancel()


def _has_body(scope: Scope) -> bool:
    return any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])


def _config(limits: HttpLimits) -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = None
    config.include_server_header = False
    config.keep_alive_timeout = limits.idle_s
    # hypercorn would end a connection after its thousandth request: a bot that looks up every file over one would meet
    # that every few minutes. What a client may take is bounded by time and by number of connections.
    config.keep_alive_max_requests = sys.maxsize
    return config
