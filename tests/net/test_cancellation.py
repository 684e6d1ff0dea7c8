"""Cancel at every step of an exchange, then see that nothing of it is left: no slot, connection or task."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
import trio

from streamwarm.net.pool import PooledClient, open_client
from tests.worlds.cancelling import cancelled_at
from tests.worlds.net_peer import echo

LIMIT = 3
PIECE = b"x" * 50_000
PIECES = 4
ENOUGH_STEPS = 400
ROUNDS = {False: 20, True: 2}
"""By `tls`: a handshake costs a hundred times what an exchange does."""


async def upload() -> AsyncIterator[bytes]:
    for _ in range(PIECES):
        await trio.lowlevel.checkpoint()
        yield PIECE


async def exchange(client: PooledClient, url: str) -> int:
    length = str(len(PIECE) * PIECES)
    received = 0
    async with (
        aclosing(upload()) as body,
        client.stream("PUT", url, content=body, headers={"Content-Length": length}) as response,
    ):
        async for piece in response.aiter_raw():
            received += len(piece)
    return received


async def assert_all_slots_open(client: PooledClient, url: str) -> None:
    """As many exchanges as there are slots, all open at one time."""
    everybody_here = trio.Event()
    here = 0

    async def hold() -> None:
        nonlocal here
        async with client.stream("PUT", url, content=PIECE) as response:
            here += 1
            if here == LIMIT:
                everybody_here.set()
            await everybody_here.wait()
            assert len(await response.aread()) == len(PIECE)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for _ in range(LIMIT):
                nursery.start_soon(hold)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("keepalive_s", [0.0, 150.0], ids=["new", "reused"])
async def test_an_attempt_cancelled_anywhere_leaves_no_slot_or_socket_behind(
    start, ca_file: Path, tls: bool, keepalive_s: float
) -> None:
    side = await start(echo, tls=tls)
    url = f"{'https' if tls else 'http'}://localhost:{side.port}/"
    async with open_client(connections=LIMIT, keepalive_s=keepalive_s, ca_file=ca_file) as client:
        cancelled = 0
        for _ in range(ROUNDS[tls]):
            for step in range(1, ENOUGH_STEPS):
                if not await cancelled_at(step, lambda: exchange(client, url)):
                    break
                assert client.stats()["active"] == 0
                cancelled += 1
            else:
                pytest.fail("the exchange never came to its end")
        assert cancelled > 10 * ROUNDS[tls]
        await assert_all_slots_open(client, url)
        assert await exchange(client, url) == len(PIECE) * PIECES
    await side.wait_until_empty()


async def test_waiting_for_a_connection_and_giving_up_leaves_the_queue_intact(start) -> None:
    side = await start(echo)
    url = f"http://localhost:{side.port}/"
    async with open_client(connections=1) as client:
        for step in range(1, 24):
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(cancelled_at, step, lambda: exchange(client, url))
            assert client.stats()["active"] == 0
            assert client.stats()["queued"] == 0
        with trio.fail_after(5):
            assert await exchange(client, url) == len(PIECE) * PIECES
        assert side.open == 1
    await side.wait_until_empty()
