"""Serves the HTTP API: every client gets a place, a connection (`connection.py`) and a guard (`clients.py`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from email.utils import formatdate

import trio
from attrs import define, field, frozen

from streamwarm.accept.allowance import Allowance
from streamwarm.accept.clients import ClientServer, ClientStream, Listener, bracketed
from streamwarm.accept.http.connection import App, HttpConnection
from streamwarm.accept.http.places import Place, Places
from streamwarm.watch.observations import ConnectionRefused, Observer, UnexpectedError

_REPORTS_PER_S = 1.0
_REPORTS_AT_ONCE = 100.0
"""Reports of connections that were closed. A crowd of strangers would otherwise fill the disk with log lines."""


@frozen
class HttpLimits:
    """Bounds of the HTTP server; times are seconds.

    `max_clients`: connections at a time, of which one address may hold `max_per_address` (three quarters, so that no
    address keeps the others out). `idle_s`: how long a request's head may take, from the connection's start or the last
    response. `graceful_s`: how long running requests have at shutdown.
    """

    max_clients: int = 512
    max_per_address: int = 384
    idle_s: float = 30.0
    send_within_s: float = 10.0
    graceful_s: float = 5.0


async def serve_http(
    app: App,
    *,
    host: str,
    listeners: Sequence[Listener],
    observe: Observer,
    now: Callable[[], float],
    shutdown: trio.Event,
    limits: HttpLimits | None = None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `shutdown`, then finish running requests within `graceful_s`. Reports its `http://HOST:PORT/` to
    `task_status`.

    `listeners` are those of `host`; they are closed at the end. `now` gives Unix seconds.
    """
    limits = limits or HttpLimits()
    bound = listeners[0].socket.getsockname()[1]
    server = _Server(app, observe, _DateHeader(now), limits)
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
    def __init__(self, app: App, observe: Observer, date: Callable[[], bytes], limits: HttpLimits) -> None:
        self._app = app
        self._observe = observe
        self._date = date
        self._limits = limits
        self._places = Places(limits.max_clients, min(limits.max_per_address, limits.max_clients))
        self._connections: set[HttpConnection] = set()
        self._is_closing = False
        self._reports = Allowance(_REPORTS_PER_S, _REPORTS_AT_ONCE)
        self._unreported = 0

    async def receive(self, stream: ClientStream) -> None:
        """Serve one connection, from its first byte to its last."""
        try:
            client = str(stream.socket.getpeername()[0])
            server = stream.socket.getsockname()[:2]
        except OSError:
            return  # the client has left already
        with trio.CancelScope() as scope:

            def evict() -> None:
                stream.fault = "closed to make room: too many connections are open"
                stream.abort()
                scope.cancel()

            place = self._places.enter(client, evict)
            if place is None:
                stream.fault = "requests under way take all connections"
                stream.abort()
                return
            try:
                await self._serve(stream, place, client, server)
            finally:
                self._places.leave(place)

    async def _serve(self, stream: ClientStream, place: Place, client: str, server: tuple[str, int]) -> None:
        connection = HttpConnection(
            stream, self._app, self._places, place, self._limits.idle_s, self._date, client, server
        )
        self._connections.add(connection)
        try:
            if not self._is_closing:
                await connection.run()
        finally:
            self._connections.discard(connection)

    async def close_clients(self) -> None:
        """Close idle connections at once, and the others after their response."""
        self._is_closing = True
        for connection in self._connections:
            connection.close_when_idle()

    def report(self, stream: ClientStream) -> None:
        if stream.failure is not None:
            self._observe(UnexpectedError("serving an HTTP client", stream.failure))
        if stream.fault is None:
            return
        if self._reports.take(trio.current_time()) is None:
            more = f" (and {self._unreported} more connections since the last report)" if self._unreported else ""
            self._observe(ConnectionRefused(stream.fault + more))
            self._unreported = 0
        else:
            self._unreported += 1


@define
class _DateHeader:
    """The time as HTTP writes it (RFC 9110, 5.6.7). It is formatted once a second."""

    _now: Callable[[], float]
    _second: int = field(default=-1, init=False)
    _text: bytes = field(default=b"", init=False)

    def __call__(self) -> bytes:
        second = int(self._now())
        if second != self._second:
            self._second, self._text = second, formatdate(second, usegmt=True).encode("ascii")
        return self._text
