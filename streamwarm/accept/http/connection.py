"""One HTTP/1.1 connection: hypercorn's, made safe against clients that send nonsense or leave.

This file and `server.py` use parts of hypercorn 0.18 that are not documented. Every part is listed here, with the test
that fails if hypercorn changes it.

- `TCPServer(app, config, context, state, stream)`, which is awaited; `ASGIWrapper`, `ConnectionState` and
  `WorkerContext(None)`; and that it needs no more of `stream` than `ClientStream` has, although its annotation asks for
  TLS: test_probes_metrics_and_stats_answer
- `TCPServer._read_data`, at whose start `protocol.protocol` is an `H11Protocol` that raises if a client asks for
  HTTP/2: test_a_malformed_request_ends_that_connection_and_no_other
- `TCPServer._read_data` returns when the client has left, and `idle_task.stop` ends the idle time:
  test_who_leaves_makes_room_at_once
- `TCPServer.protocol_send` gets an `Updated` after each answer: test_who_leaves_makes_room_at_once
- `H11Protocol._send_error_response`, called with a status for what h11 refuses; `_send_h11_event`; `config` with
  `response_headers` and `h11_max_incomplete_size`: test_what_is_refused_before_it_is_read_is_a_problem_too
- `WorkerContext.terminated`, which closes idle connections: test_following_ends_with_the_service_in_good_order
- A websocket upgrade that is refused stays open: test_whatever_a_stranger_asks_for_its_silence_has_an_end
- One bounded queue takes a request's body and the client's leaving:
  test_a_large_upload_that_nobody_reads_leaves_no_connection_behind
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Any, cast

import h11
import trio
from hypercorn.events import Event, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.tcp_server import TCPServer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamwarm.accept.clients import ClientStream
from streamwarm.accept.http.problems import Problem


class Http1Connection(TCPServer):
    """One connection that speaks HTTP/1.1 only, and ends at once when the client has left.

    hypercorn switches to HTTP/2 for any client that asks. Then neither its idle time nor the client's leaving ends the
    connection. Its wrapper does the switch, so it is removed, and a request to switch ends the connection.

    If a client leaves without a request, or before it has read its answer, hypercorn waits for its idle time. Load
    balancers that probe by connecting, and clients that give up, would each occupy a connection for 30 s.
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
            return  # hypercorn would start its idle time for the next request
        await super().protocol_send(event)


async def _send_problem(protocol: H11Protocol, status: int) -> None:
    """Answer bytes that h11 cannot parse as a request. The body is a problem, like every other refusal's; hypercorn's
    own answer has none."""
    detail = "the request is not valid HTTP/1.1 (RFC 9112)"
    if status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
        size = protocol.config.h11_max_incomplete_size
        detail = f"a request's first line and headers together may have at most {size} bytes"
    problem = Problem(status, detail, headers={"connection": "close"})
    headers = [*problem.raw_headers, *protocol.config.response_headers("h11")]
    await protocol._send_h11_event(h11.Response(status_code=status, headers=headers))
    await protocol._send_h11_event(h11.Data(data=bytes(problem.body)))
    await protocol._send_h11_event(h11.EndOfMessage())


async def abort_when_idle(stream: ClientStream, requests: RequestTracker, idle_s: float) -> None:
    """Abort a connection on which no request was running for `idle_s` seconds.

    hypercorn's own idle time misses some cases: a websocket upgrade that it refuses stays open for ever. Received bytes
    do not count as activity, because a client could send one now and then.
    """
    begun = -1
    while requests.running or requests.begun != begun:
        begun = requests.begun
        await trio.sleep(idle_s)
    stream.fault = f"no request for {idle_s:g} s"
    stream.abort()


class RequestTracker:
    """Passes one connection's requests to the application, and counts them.

    Once the answer begins, the rest of the request's body is read and discarded. hypercorn uses one bounded queue for
    the body and for the notice that the client has left. An answer that does not read the body, such as a 401 to a
    large upload, would otherwise wait for ever for room in that queue.
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
            # The client has left. Only this task learns of it, so it ends the answer: an event stream would go on for
            # ever. Sending the last chunk causes a disconnect too, and must not be cancelled half-way.
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
