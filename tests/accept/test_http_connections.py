"""What a service loses to one bad HTTP client without these: its other clients, its connections and its shutdown."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import pytest
import trio

from streamwarm.accept.http.server import HttpLimits
from streamwarm.watch.observations import ConnectionRefused, UnexpectedError
from tests.worlds.accept import job, open_http_service, open_world
from tests.worlds.accept_clients import HANDSHAKE, api, dial, read_all, send_to_the_end


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a/v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: zz\r\n\r\n",
        b"GET /v1/jobs?\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /v1/jobs?state=%ff HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: \xff\r\nOrigin: \xff\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100,
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: \xff\xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000,
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\0" * 1000,
    ],
)
async def test_a_malformed_request_ends_that_connection_and_no_other(data: bytes) -> None:
    async with open_world() as world, open_http_service(world) as url, api(url) as client:
        async with await dial(url) as stream:
            await send_to_the_end(stream, data)
            await read_all(stream)
        assert (await client.get("/healthz")).status_code == 200
        assert not world.saw(UnexpectedError)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET /hea",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        HANDSHAKE,
    ],
)
async def test_whatever_a_stranger_asks_for_its_silence_has_an_end(data: bytes) -> None:
    limits = HttpLimits(idle_s=0.1)
    async with (
        open_world() as world,
        open_http_service(world, limits=limits, body_within_s=0.1) as url,
        await dial(url) as stream,
    ):
        await stream.send_all(data)
        await read_all(stream)


async def test_silent_connections_are_closed_and_too_many_are_refused() -> None:
    limits = HttpLimits(max_clients=5, idle_s=1.5)
    async with open_world() as world, open_http_service(world, limits=limits) as url:
        streams = [await dial(url) for _ in range(30)]
        for stream in streams:
            await read_all(stream)
            await stream.aclose()
        assert len(world.saw(ConnectionRefused)) == 25
        async with api(url) as client:
            assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET /hea",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
@pytest.mark.parametrize("is_reset", [False, True])
async def test_who_leaves_makes_room_at_once(data: bytes, is_reset: bool) -> None:
    limits = HttpLimits(max_clients=1, idle_s=1000)
    async with open_world() as world, open_http_service(world, limits=limits) as url:
        with trio.fail_after(20):
            async with await dial(url) as first:
                await first.send_all(data)
                if data.endswith(b"\r\n\r\n"):
                    assert (await first.receive_some()).startswith(b"HTTP/1.1 200")
                if is_reset:
                    first.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, struct.pack("ii", 1, 0))
            while not (await _answer_to_a_probe(url)).startswith(b"HTTP/1.1 200"):
                await trio.sleep(0.01)


async def _answer_to_a_probe(url: str) -> bytes:
    async with await dial(url) as stream:
        with suppress(trio.BrokenResourceError):
            await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return await read_all(stream)
    return b""


async def test_a_client_that_never_reads_does_not_hold_up_the_shutdown() -> None:
    async with open_world() as world:
        await world.intake.push([job(f"{number}" + "k" * 1000) for number in range(500)])
        with trio.fail_after(10):
            async with open_http_service(world, limits=HttpLimits(graceful_s=0.3, send_within_s=1000)) as url:
                deaf = await dial(url)
                deaf.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
                await deaf.send_all(b"GET /v1/jobs?limit=500 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
                await trio.testing.wait_all_tasks_blocked(0.2)
        await deaf.aclose()


async def test_a_request_under_way_at_shutdown_is_answered() -> None:
    async with open_world() as world, open_http_service(world) as url, api(url) as client:
        gate, asked = trio.Event(), trio.Event()

        async def slow() -> dict[str, object]:
            asked.set()
            await gate.wait()
            return {"late": True}

        world.intake._stats = slow
        answers: list[Any] = []

        async def ask() -> None:
            answers.append((await client.get("/v1/stats")).json())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await asked.wait()
            world.shutdown.set()
            await trio.testing.wait_all_tasks_blocked()
            gate.set()
        assert answers == [{"late": True}]


@pytest.mark.parametrize("path", ["/v1/stats", "/v1/jobs"])
async def test_a_large_upload_that_nobody_reads_leaves_no_connection_behind(path: str) -> None:
    async with open_world() as world, open_http_service(world) as url:

        async def slow() -> dict[str, object]:
            await trio.testing.wait_all_tasks_blocked(0.02)
            return {}

        world.intake._stats = slow
        for _ in range(2):
            async with await dial(url) as stream, trio.open_nursery() as nursery:
                nursery.start_soon(upload, stream, path, 8 << 20)
                assert (await read_all(stream)).startswith((b"HTTP/1.1 200", b"HTTP/1.1 413"))
            await trio.testing.wait_all_tasks_blocked(0.02)


async def upload(stream: trio.SocketStream, path: str, size_bytes: int) -> None:
    """Send a body of `size_bytes`, or as much of it as the server reads."""
    method = "GET" if path == "/v1/stats" else "POST"
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size_bytes}\r\n\r\n"
        await stream.send_all(head.encode())
        await stream.send_all(bytes(size_bytes))
