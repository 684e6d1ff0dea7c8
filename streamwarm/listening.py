"""Where the service is reached: its listeners, and the file that tells of them."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import trio
from attrs import frozen

from streamwarm.accept.auth import Auth, own_origins
from streamwarm.accept.http import HttpHooks, build_app
from streamwarm.accept.http_server import serve_http
from streamwarm.accept.intake import Intake
from streamwarm.accept.websocket import serve_websocket
from streamwarm.errors import SettingsError
from streamwarm.processes.family import Role
from streamwarm.settings import Settings
from streamwarm.settle.publisher import Publisher
from streamwarm.stats import Stats
from streamwarm.watch.dashboard.page import load_pages
from streamwarm.watch.events import Observer


@frozen
class Endpoints:
    """Where a running service is reached."""

    websocket: str
    http: str


@frozen
class Front:
    """What clients are served from, and by whom."""

    settings: Settings
    role: Role
    intake: Intake
    feed: Publisher
    stats: Stats
    observe: Observer


@asynccontextmanager
async def listening(front: Front) -> AsyncIterator[Endpoints]:
    """Serve clients inside this block; on the way out, say goodbye to them."""
    if not front.role.serves:
        yield Endpoints("", "")
        return
    closing = trio.Event()
    async with trio.open_nursery() as listeners:
        # HTTP first: the websocket lets browsers in from its origin.
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
        port=address.port,
        observe=front.observe,
        shutdown=closing,
        listeners=_sockets(front, "http"),
        task_status=task_status,
    )


def _sockets(front: Front, name: str) -> list[trio.SocketListener] | None:
    """Those that are open already, held by the supervisor."""
    descriptors = front.role.sockets.get(name)
    if descriptors is None:
        return None
    return [trio.SocketListener(trio.socket.from_stdlib_socket(socket.socket(fileno=fd))) for fd in descriptors]


async def _serve_websocket(
    front: Front, own: tuple[str, ...], closing: trio.Event, task_status: trio.TaskStatus[str]
) -> None:
    address, auth = front.settings.serve.listen, front.settings.auth
    await serve_websocket(
        front.intake,
        front.feed,
        host=address.host,
        port=address.port,
        auth=Auth(auth.tokens, (*auth.origins, *own)),
        observe=front.observe,
        shutdown=closing,
        listeners=_sockets(front, "websocket"),
        task_status=task_status,
    )


def drop_stale_ready_file(path: Path | None) -> None:
    """Remove what a killed service left, so that nobody is led to its address while this one starts. To be called once
    the store is ours: another service's file must not go."""
    if path is not None:
        with suppress(OSError):
            path.unlink(missing_ok=True)


@contextmanager
def ready_file(path: Path | None, endpoints: Endpoints) -> Iterator[None]:
    """The file that tells where to connect, there while the service serves; written whole or not at all."""
    if path is None:
        yield
        return
    content = {"websocket": endpoints.websocket, "http": endpoints.http, "pid": os.getpid()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as exc:
        raise SettingsError(f"serve.ready_file: {path} cannot be written: {exc.strerror}") from exc
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
