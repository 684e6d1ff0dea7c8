"""Serves clients: opens the HTTP and websocket listeners, or takes over those that the supervisor holds."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import trio
from attrs import frozen

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
from streamwarm.watch.events import Observer


@frozen
class Front:
    """What clients are served with. `listen` opens the listeners of a host and a port."""

    settings: Settings
    listen: Callable[[str, int], Awaitable[Sequence[Listener]]]
    role: Role
    intake: Intake
    feed: Publisher
    stats: Stats
    observe: Observer


@asynccontextmanager
async def listening(front: Front) -> AsyncIterator[Endpoints]:
    """Serve clients inside this block; at its end, close their connections in order. Raises `SettingsError`."""
    if not front.role.serves:
        yield Endpoints("", "")
        return
    closing = trio.Event()
    async with trio.open_nursery() as listeners:
        # HTTP first: the websocket accepts browsers that come from HTTP's origin.
        http = await listeners.start(_serve_http, front, closing)
        websocket = await listeners.start(_serve_websocket, front, own_origins(http), closing)
        yield Endpoints(websocket, http)
        closing.set()


async def _serve_http(front: Front, closing: trio.Event, task_status: trio.TaskStatus[str]) -> None:
    address, auth = front.settings.serve.http, front.settings.auth
    hooks = HttpHooks(
        ready=front.stats.why_not_ready,
        metrics=front.stats.render_metrics,
        feed=front.feed,
        closing=closing,
        pages=load_pages(),
    )
    app = build_app(front.intake, auth=Auth(auth.tokens, auth.origins), hooks=hooks, observe=front.observe)
    await serve_http(
        app,
        host=address.host,
        listeners=await _listeners(front, "http", address),
        observe=front.observe,
        shutdown=closing,
        task_status=task_status,
    )


async def _serve_websocket(
    front: Front, own: tuple[str, ...], closing: trio.Event, task_status: trio.TaskStatus[str]
) -> None:
    address, auth = front.settings.serve.listen, front.settings.auth
    await serve_websocket(
        front.intake,
        front.feed,
        host=address.host,
        listeners=await _listeners(front, "websocket", address),
        auth=Auth(auth.tokens, (*auth.origins, *own)),
        observe=front.observe,
        shutdown=closing,
        task_status=task_status,
    )


async def _listeners(front: Front, name: str, address: Address) -> Sequence[Listener]:
    """Those that the supervisor holds open under `name`, or else new ones. Raises `SettingsError`."""
    descriptors = front.role.sockets.get(name)
    if descriptors is None:
        return await front.listen(address.host, address.port)
    return [trio.SocketListener(trio.socket.from_stdlib_socket(socket.socket(fileno=fd))) for fd in descriptors]
