"""A connection serves again only where that is safe, and there are never more than allowed."""

from __future__ import annotations

import httpx
import pytest
import trio
from trio.testing import MockClock

from streamwarm.net.pool import open_client
from tests.worlds.net_peer import Peer, echo


async def test_a_connection_that_the_peer_closed_while_idle_is_not_used(start) -> None:
    async def once(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"%d" % peer.number)

    side = await start(once)
    async with open_client() as client:
        for number in range(1, 4):
            assert (await client.get(f"http://localhost:{side.port}/")).text == str(number)
            await side.wait_until_empty()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        b"HTTP/1.1 200 OK\r\n\r\nok",
    ],
    ids=["close", "HTTP/1.0", "surplus", "until closed"],
)
async def test_bytes_of_one_answer_never_reach_the_next_request(start, answer: bytes) -> None:
    async def once(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)

    side = await start(once)
    async with open_client() as client:
        for _ in range(2):
            assert (await client.get(f"http://localhost:{side.port}/")).text == "ok"
    assert side.opened == 2


async def test_an_idle_connection_is_given_up_after_its_time(start, mock_clock: MockClock) -> None:
    side = await start(echo)
    url = f"http://localhost:{side.port}/"
    async with open_client(keepalive_s=150) as client:
        await client.put(url, content=b"1")
        mock_clock.jump(149)
        await client.put(url, content=b"2")
        assert side.opened == 1
        mock_clock.jump(151)
        await client.put(url, content=b"3")
        assert side.opened == 2
        assert client.stats()["idle"] == 1


async def test_there_are_never_more_connections_than_allowed_and_nobody_waits_for_ever(start) -> None:
    go_on = trio.Event()
    most = 0

    async def slow(peer: Peer) -> None:
        nonlocal most
        while (await peer.request())[0]:
            most = max(most, client.stats()["active"] + client.stats()["idle"])
            await go_on.wait()
            await peer.answer(b"ok")

    one, other = await start(slow), await start(slow)
    async with open_client(connections=2) as client:
        async with trio.open_nursery() as nursery:
            for side in (one, other, one, other):
                nursery.start_soon(client.get, f"http://localhost:{side.port}/")
            with trio.fail_after(5):
                while client.stats()["queued"] < 2:
                    await trio.lowlevel.checkpoint()
            assert client.stats() == {"active": 2, "idle": 0, "queued": 2}
            with pytest.raises(httpx.PoolTimeout):
                await client.get(f"http://localhost:{one.port}/", timeout=httpx.Timeout(5, pool=0.01))
            go_on.set()
        assert client.stats() == {"active": 0, "idle": 2, "queued": 0}
    assert most == 2
    await one.wait_until_empty()
    await other.wait_until_empty()
