"""The websocket server: which clients are let in, how many, and how they are closed. `session.py` talks to them.

Each connection (`connection.py`) runs in a task of its own, inside the guard of `clients.py`. A connection's `aclose`
needs its reader task, so connections are closed before anything is cancelled.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio
from attrs import field, frozen
from trio_websocket import ConnectionClosed, WebSocketRequest

from streamwarm.accept.allowance import Allowance
from streamwarm.accept.answer_budget import AnswerBudget
from streamwarm.accept.auth import Auth
from streamwarm.accept.clients import ClientServer, ClientStream, Listener, bracketed
from streamwarm.accept.intake import Intake
from streamwarm.accept.websocket.connection import WebsocketConnection
from streamwarm.accept.websocket.session import Heartbeat, Session
from streamwarm.accept.wire.jsonrpc import MAX_MESSAGE_BYTES, SUBPROTOCOL
from streamwarm.settle.feed import Feed
from streamwarm.watch.observations import (
    ClientConnected,
    ClientDisconnected,
    ConnectionRefused,
    Observer,
    UnexpectedError,
)


@frozen
class WebsocketLimits:
    """How much of the service its clients may use. Times are seconds.

    `max_handshakes`: unfinished handshakes. If there are more, the oldest connection is closed, so that silent
    connections keep out no client, whose handshake takes milliseconds. `requests_per_s`, `requests_burst`: beyond them
    a client gets `rate_limited`; a client that waits for its replies stays far below.
    """

    max_clients: int = 1000
    max_handshakes: int = 256
    handshake_s: float = 10.0
    send_within_s: float = 10.0
    graceful_s: float = 5.0
    requests_per_s: float = 1000.0
    requests_burst: float = 2000.0
    heartbeat: Heartbeat = field(factory=Heartbeat)


async def serve_websocket(
    intake: Intake,
    feed: Feed,
    *,
    host: str,
    listeners: Sequence[Listener],
    auth: Auth,
    observe: Observer,
    shutdown: trio.Event,
    limits: WebsocketLimits | None = None,
    answers: AnswerBudget | None = None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `shutdown`, then close every connection with 1001. Reports its `ws://HOST:PORT/` to `task_status`.

    `listeners` are those of `host`; they are closed at the end. `answers` bounds what is answered; HTTP shares it.
    """
    limits = limits or WebsocketLimits()
    bound = listeners[0].socket.getsockname()[1]
    answers = answers or AnswerBudget()
    acceptor = _Acceptor(intake, feed, auth=auth, observe=observe, limits=limits, answers=answers)
    clients = ClientServer(
        handle=acceptor.receive,
        report=acceptor.report,
        close_clients=acceptor.close_clients,
        graceful_s=limits.graceful_s,
        send_within_s=limits.send_within_s,
    )
    url = f"ws://{bracketed(host)}:{bound}/"
    await clients.serve(listeners, shutdown=shutdown, started=lambda: task_status.started(url))


@frozen
class _Rejection:
    status: int
    reason: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


class _Acceptor:
    """Checks each handshake, and runs a `Session` for every client that is let in."""

    def __init__(
        self,
        intake: Intake,
        feed: Feed,
        *,
        auth: Auth,
        observe: Observer,
        limits: WebsocketLimits,
        answers: AnswerBudget,
    ) -> None:
        self._intake = intake
        self._feed = feed
        self._auth = auth
        self._observe = observe
        self._limits = limits
        self._answers = answers
        self._handshakes: dict[trio.CancelScope, ClientStream] = {}
        self._clients: dict[ClientStream, WebsocketConnection] = {}

    async def receive(self, stream: ClientStream) -> None:
        """Handle one connection, from its first byte to its last."""
        try:
            async with trio.open_nursery() as nursery:
                connection = WebsocketConnection(stream, max_message_bytes=MAX_MESSAGE_BYTES)
                request = await self._handshake(stream, connection, nursery)
                if request is not None:
                    await self._answer(request, stream, connection)
                nursery.cancel_scope.cancel()
        except* ConnectionClosed:
            stream.fault = stream.fault or "the connection broke"

    async def _answer(self, request: WebSocketRequest, stream: ClientStream, connection: WebsocketConnection) -> None:
        rejection = self._rejection(request)
        if rejection is None:
            await self._run_session(request, stream, connection)
        else:
            stream.fault = rejection.reason
            headers = [*rejection.headers, (b"Content-Type", b"text/plain; charset=utf-8")]
            await request.reject(rejection.status, extra_headers=headers, body=rejection.reason.encode())

    async def close_clients(self) -> None:
        async with trio.open_nursery() as nursery:
            for connection in self._clients.values():
                nursery.start_soon(connection.aclose, 1001, "the service is shutting down")

    def report(self, stream: ClientStream) -> None:
        if self._clients.pop(stream, None) is not None:
            self._observe(ClientDisconnected(stream.fault or "closed"))
            if stream.failure is not None:
                self._observe(UnexpectedError("serving a websocket client", stream.failure))
        elif stream.fault is not None:
            self._observe(ConnectionRefused(stream.fault))

    async def _handshake(
        self, stream: ClientStream, connection: WebsocketConnection, nursery: trio.Nursery
    ) -> WebSocketRequest | None:
        """The client's upgrade request, or None if none came in time. The connection's reader runs in `nursery`."""
        request: WebSocketRequest | None = None
        with trio.move_on_after(self._limits.handshake_s) as scope:
            self._make_room_for(scope, stream)
            nursery.start_soon(connection.read, scope)
            try:
                request = await connection.receive_request()
            finally:
                self._handshakes.pop(scope, None)
        if request is None:
            stream.fault = stream.fault or "the handshake was malformed or did not finish"
        return request

    def _make_room_for(self, scope: trio.CancelScope, stream: ClientStream) -> None:
        if len(self._handshakes) >= self._limits.max_handshakes:
            oldest = next(iter(self._handshakes))
            self._handshakes.pop(oldest).fault = "too many unfinished handshakes"
            oldest.cancel()
        self._handshakes[scope] = stream

    def _rejection(self, request: WebSocketRequest) -> _Rejection | None:
        sent = request.headers
        if request.path.partition("?")[0] != "/":
            return _Rejection(404, "no such path; the websocket is at /")
        if not self._auth.allows_origin(_values(sent, b"origin")):
            return _Rejection(403, "the page's origin is not allowed; add it to auth.origins")
        if not self._auth.admits(_values(sent, b"authorization")):
            challenge = (b"WWW-Authenticate", b'Bearer realm="streamwarm"')
            return _Rejection(401, "send Authorization: Bearer TOKEN with one of auth.tokens", (challenge,))
        if len(self._clients) >= self._limits.max_clients:
            return _Rejection(503, f"{self._limits.max_clients} clients are connected already; try again later")
        return None

    async def _run_session(
        self, request: WebSocketRequest, stream: ClientStream, connection: WebsocketConnection
    ) -> None:
        await request.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in request.proposed_subprotocols else None)
        self._clients[stream] = connection
        self._observe(ClientConnected())
        session = Session(
            connection,
            stream,
            intake=self._intake,
            feed=self._feed,
            observe=self._observe,
            heartbeat=self._limits.heartbeat,
            allowance=Allowance(self._limits.requests_per_s, self._limits.requests_burst),
            answers=self._answers,
        )
        await session.run()


def _values(headers: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for header, value in headers if header.lower() == name]
