"""Serves clients: opens the HTTP and websocket listeners, or takes over those that the supervisor holds."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import trio
from attrs import frozen

from streamwarm.accept.answer_budget import AnswerBudget
from streamwarm.accept.auth import Auth, own_origins
from streamwarm.accept.clients import Listener
from streamwarm.accept.http.routes import HttpHooks, build_app
from streamwarm.accept.http.server import serve_http
from streamwarm.accept.intake import Intake
from streamwarm.accept.websocket.server import serve_websocket
from streamwarm.service.members import Role
from streamwarm.service.ready_file import Endpoints
from streamwarm.service.stats import Stats
from streamwarm.settings.schema import Address, Settings
from streamwarm.settle.publisher import Publisher
from streamwarm.watch.dashboard.page import load_pages
from streamwarm.watch.observations import Observer


@frozen
class ListenerTools:
    """What the listeners need to serve clients. `listen` opens the listeners of a host and a port. `now` gives Unix
    seconds."""

    settings: Settings
    listen: Callable[[str, int], Awaitable[Sequence[Listener]]]
    now: Callable[[], float]
    role: Role
    intake: Intake
    feed: Publisher
    stats: Stats
    observe: Observer


@asynccontextmanager
async def listening(tools: ListenerTools) -> AsyncIterator[Endpoints]:
    """Serve clients inside this block; at its end, close their connections in order. Raises `SettingsError`."""
    if not tools.role.serves:
        yield Endpoints("", "")
        return
    closing = trio.Event()
    async with trio.open_nursery() as listeners:
        # HTTP first: the websocket accepts browsers that come from HTTP's origin.
        answers = AnswerBudget()
        http = await listeners.start(_serve_http, tools, answers, closing)
        websocket = await listeners.start(_serve_websocket, tools, answers, own_origins(http), closing)
        yield Endpoints(websocket, http)
        closing.set()


async def _serve_http(
    tools: ListenerTools, answers: AnswerBudget, closing: trio.Event, task_status: trio.TaskStatus[str]
) -> None:
    address, auth = tools.settings.serve.http, tools.settings.auth
    hooks = HttpHooks(
        ready=tools.stats.why_not_ready,
        metrics=tools.stats.render_metrics,
        feed=tools.feed,
        closing=closing,
        pages=load_pages(),
    )
    app = build_app(
        tools.intake, auth=Auth(auth.tokens, auth.origins), hooks=hooks, observe=tools.observe, answers=answers
    )
    await serve_http(
        app,
        host=address.host,
        listeners=await _listeners(tools, "http", address),
        observe=tools.observe,
        now=tools.now,
        shutdown=closing,
        task_status=task_status,
    )


async def _serve_websocket(
    tools: ListenerTools,
    answers: AnswerBudget,
    own: tuple[str, ...],
    closing: trio.Event,
    task_status: trio.TaskStatus[str],
) -> None:
    address, auth = tools.settings.serve.listen, tools.settings.auth
    await serve_websocket(
        tools.intake,
        tools.feed,
        host=address.host,
        listeners=await _listeners(tools, "websocket", address),
        auth=Auth(auth.tokens, (*auth.origins, *own)),
        observe=tools.observe,
        shutdown=closing,
        answers=answers,
        task_status=task_status,
    )


async def _listeners(tools: ListenerTools, name: str, address: Address) -> Sequence[Listener]:
    """Those that the supervisor holds open under `name`, or else new ones. Raises `SettingsError`."""
    descriptors = tools.role.sockets.get(name)
    if descriptors is None:
        return await tools.listen(address.host, address.port)
    return [trio.SocketListener(trio.socket.from_stdlib_socket(socket.socket(fileno=fd))) for fd in descriptors]
