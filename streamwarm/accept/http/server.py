"""Serves the HTTP API with hypercorn's HTTP/1.1 code, on connections that `clients.py` guards.

This does not use hypercorn's own `serve`. There, an exception from one connection ends the server, a send to a client
that never reads blocks under a bare shield, and nothing limits the number of connections. hypercorn's `TCPServer`,
which is one connection, is enough. The service itself handles lifespan, signals and logging, and observes what the
application raises before hypercorn does.

`connection.py` lists the private parts of hypercorn that both files use.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, cast

import trio
from attrs import frozen
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState
from starlette.types import ASGIApp

from streamwarm.accept.clients import ClientServer, ClientStream, Listener, bracketed
from streamwarm.accept.http.connection import Http1Connection, RequestTracker, abort_when_idle
from streamwarm.watch.observations import ConnectionRefused, Observer


@frozen
class HttpLimits:
    """Bounds of the HTTP server; times are seconds.

    `idle_s`: a connection without a complete request for this long is closed, whether it was used before or not.
    `graceful_s`: how long running requests have at shutdown.
    """

    max_clients: int = 512
    idle_s: float = 30.0
    send_within_s: float = 10.0
    graceful_s: float = 5.0


async def serve_http(
    app: ASGIApp,
    *,
    host: str,
    listeners: Sequence[Listener],
    observe: Observer,
    shutdown: trio.Event,
    limits: HttpLimits | None = None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `shutdown`, then finish running requests within `graceful_s`. Reports its `http://HOST:PORT/` to
    `task_status`.

    `listeners` are those of `host`; they are closed at the end.
    """
    limits = limits or HttpLimits()
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
            # hypercorn's annotation asks for a TLS stream. ClientStream has all it uses of a plain one.
            await Http1Connection(app, self._config, self._context, ConnectionState({}), cast(Any, stream))
            nursery.cancel_scope.cancel()

    async def close_clients(self) -> None:
        """Close idle connections at once, and the others after their answer."""
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
    # hypercorn ends a connection after 1000 requests. A bot that looks up every file over one connection would lose it
    # every few minutes. A client's share is bounded by time and by the number of connections instead.
    config.keep_alive_max_requests = sys.maxsize
    return config
