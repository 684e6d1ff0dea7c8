"""Serves the HTTP API with hypercorn's HTTP/1.1 machinery, on connections that `clients.py` guards.

This does not use hypercorn's own `serve`. There, an exception from one connection ends the server, a send to a client
that never reads blocks under a bare shield, and nothing limits the number of connections. `TCPServer`, which is one
connection, is enough. The service itself sees to lifespan, signals and logging; it observes what the application
raises before hypercorn does.

Private parts of hypercorn that this file and `connection.py` touch are listed in `connection.py`.
"""

from __future__ import annotations

import sys
from typing import Any, cast

import trio
from attrs import frozen
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState
from starlette.types import ASGIApp

from streamwarm.accept.clients import ClientServer, ClientStream, bracketed, open_listeners
from streamwarm.accept.http.connection import Http1Connection, RequestTracker, abort_when_idle
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
        close_clients=server.close_clients,
        graceful_s=limits.graceful_s,
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
        requests = RequestTracker(self._app)
        app = ASGIWrapper(cast(ASGIFramework, requests))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(abort_when_idle, stream, requests, 2 * self._limits.idle_s)
            # hypercorn's annotation asks for TLS; what it uses of a plain stream, ClientStream has.
            await Http1Connection(app, self._config, self._context, ConnectionState({}), cast(Any, stream))
            nursery.cancel_scope.cancel()

    async def close_clients(self) -> None:
        """Idle connections close at once, the others after their answer."""
        await self._context.terminated.set()

    def report(self, stream: ClientStream) -> None:
        if stream.fault is not None:
            self._observe(ConnectionRefused(stream.fault))


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
