"""Servers for the client, and a certificate for those that speak TLS."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.worlds import certificate as certificates
from tests.worlds.net_peer import Handler, MemoryNetwork, Server


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for `localhost` and its key."""
    return certificates.make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def ca_file(certificate: tuple[Path, Path]) -> Path:
    return certificate[0]


@pytest.fixture
def server_context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return certificates.server_context(certificate)


@pytest.fixture
def start(nursery: trio.Nursery, server_context: ssl.SSLContext) -> Callable[..., Awaitable[Server]]:
    """`await start(handler, tls=False)` serves on a free port of loopback."""

    async def start(handler: Handler, *, tls: bool = False) -> Server:
        side = Server(handler)
        serve = partial(side.serve_tls, server_context) if tls else side.serve_connection
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        side.port = listeners[0].socket.getsockname()[1]
        return side

    return start


@pytest.fixture
def memory(nursery: trio.Nursery) -> Callable[[Handler], MemoryNetwork]:
    return lambda handler: MemoryNetwork.to(handler, nursery)
