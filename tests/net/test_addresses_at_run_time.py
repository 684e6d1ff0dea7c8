"""Hosts and ports that no connection can go to: a job gets a typed error for them, never a traceback."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
import pytest
import trio

from streamwarm.errors import DestinationError
from streamwarm.net.backend import Backend
from streamwarm.net.guard import GuardedBackend
from streamwarm.net.pool import open_client
from streamwarm.net.stream import TCPBackend
from streamwarm.net.tls import client_context
from tests.worlds.net_peer import echo

NOWHERE = [
    ("a..b", 9000),
    (".", 1),
    ("", 1),
    (f"{'a' * 64}.example", 80),
    (".".join(["a" * 60] * 6), 80),
    ("\udcff", 80),
    ("127.0.0.1", 65536),
    ("127.0.0.1", 99999),
    ("127.0.0.1", -1),
    ("127.0.0.1", 2**64),
    ("::1", 99999),
    ("127.0.0.1\0.example", 80),
]


@pytest.mark.parametrize("address", NOWHERE, ids=repr)
@pytest.mark.parametrize("backend", [TCPBackend, GuardedBackend])
async def test_no_host_or_port_ends_in_anything_but_a_failed_connection(
    address: tuple[str, int], backend: type[Backend]
) -> None:
    with pytest.raises((httpx.ConnectError, DestinationError)), trio.fail_after(10):
        await backend().connect_tcp(*address, 5)


@pytest.mark.parametrize(
    "raised", [UnicodeError("label too long"), OverflowError("port"), ValueError("null"), OSError()]
)
async def test_whatever_a_resolver_raises_is_a_failed_connection(raised: Exception) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        raise raised

    with pytest.raises(httpx.ConnectError):
        await GuardedBackend(TCPBackend(), resolve).connect_tcp("far.example", 80, 5)


async def test_a_name_that_no_certificate_can_be_for_is_a_failed_connection(start) -> None:
    side = await start(echo)
    for name in (".far.example", "a" * 300, "ä..b"):
        stream = await TCPBackend().connect_tcp("127.0.0.1", side.port, 5)
        with pytest.raises(httpx.ConnectError):
            await stream.start_tls(client_context(None), name, 5)
        await stream.aclose()


async def test_a_url_of_such_a_host_fails_as_any_other_and_leaves_no_connection() -> None:
    async with open_client() as client:
        for host in ("a..b:9000", f"{'a' * 64}.example", "127.0.0.1:99999"):
            with pytest.raises((httpx.ConnectError, httpx.InvalidURL)):
                await client.get(f"http://{host}/")
        assert client.stats() == {"active": 0, "idle": 0, "queued": 0}
