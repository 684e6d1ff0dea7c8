"""What an operator loses to a crowd of strangers without these: probes that are answered, for otherwise an orchestrator
restarts the service for ever, and the bot's own requests."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count

import pytest
import trio

from streamwarm.accept.auth import Auth
from streamwarm.accept.http.server import HttpLimits
from streamwarm.watch.observations import ConnectionRefused, UnexpectedError
from tests.worlds.accept import World, open_http_service, open_world
from tests.worlds.accept_clients import dial, port_of, read_all

CROWD = 600
WITHIN_S = 1.0
"""CPU time of this process, the attackers' included. On an idle machine, it is the time that passes."""

PAUSE_S = 2.0
"""Between two pieces that an attacker sends, and before it comes back after it was cut off."""

TOKEN = "canary-token"
ASK = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n".encode()

Attack = Callable[[trio.SocketStream], Awaitable[None]]


async def say_nothing(stream: trio.SocketStream) -> None:
    await stream.receive_some()


async def drip_a_head(stream: trio.SocketStream) -> None:
    await stream.send_all(b"GET / HTTP/1.1\r\n")
    for number in count():
        await trio.sleep(PAUSE_S)
        await stream.send_all(b"X-%d: y\r\n" % number)


async def drip_a_body(stream: trio.SocketStream) -> None:
    await stream.send_all(b"POST /v1/jobs HTTP/1.1\r\n" + ASK + b"Content-Length: 10000\r\n\r\n")
    while True:
        await trio.sleep(PAUSE_S)
        await stream.send_all(b" ")


async def drip_a_body_without_a_token(stream: trio.SocketStream) -> None:
    await stream.send_all(b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await trio.sleep(PAUSE_S)
        await stream.send_all(b"1\r\n \r\n")


async def probe_and_stay(stream: trio.SocketStream) -> None:
    await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    while await stream.receive_some():
        pass


async def ask_and_stay(stream: trio.SocketStream) -> None:
    await stream.send_all(b"GET /v1/stats HTTP/1.1\r\n" + ASK + b"\r\n")
    while await stream.receive_some():
        pass


async def never_read(stream: trio.SocketStream) -> None:
    stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
    await stream.send_all((b"GET /openapi.json HTTP/1.1\r\n" + ASK + b"\r\n") * 64)
    await trio.sleep_forever()


async def ask_without_end(stream: trio.SocketStream) -> None:
    await stream.send_all(b"GET /v1/stats HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
    while await stream.receive_some():
        pass


async def leave_half(stream: trio.SocketStream) -> None:
    await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    await trio.sleep_forever()


ATTACKS = [
    say_nothing,
    drip_a_head,
    drip_a_body,
    drip_a_body_without_a_token,
    probe_and_stay,
    ask_and_stay,
    never_read,
    leave_half,
]


@asynccontextmanager
async def besieged(url: str, attack: Attack, *, addresses: int, clients: int = CROWD) -> AsyncIterator[None]:
    """`clients` of `addresses` addresses attack. Each that is cut off comes back a moment later."""
    arrived = trio.Semaphore(0)

    async def besiege(number: int) -> None:
        local = f"127.0.{1 + number % addresses // 200}.{1 + number % addresses % 200}"
        is_first = True
        while True:
            with suppress(OSError, trio.BrokenResourceError):
                stream = await trio.open_tcp_stream("127.0.0.1", port_of(url), local_address=local)
                if is_first:
                    arrived.release()
                    is_first = False
                async with stream:
                    await attack(stream)
            await trio.sleep(PAUSE_S)

    async with trio.open_nursery() as nursery:
        for number in range(clients):
            nursery.start_soon(besiege, number)
        with trio.fail_after(60):
            for _ in range(clients):
                await arrived.acquire()
        yield
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def guarded_service(limits: HttpLimits | None = None) -> AsyncIterator[tuple[World, str]]:
    async with open_world() as world, open_http_service(world, auth=Auth([TOKEN]), limits=limits) as url:
        yield world, url
        assert not world.saw(UnexpectedError)


async def cpu_until_answered(url: str, path: str, token: str = "") -> float:
    """Ask on a connection of its own. The CPU seconds until the answer was there; fails if there is none."""
    began = time.process_time()
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    async with await dial(url) as stream:
        await stream.send_all(head.encode())
        assert (await read_all(stream)).startswith(b"HTTP/1.1 200 ")
    return time.process_time() - began


@pytest.mark.parametrize("addresses", [1, 300])
@pytest.mark.parametrize("attack", ATTACKS)
async def test_whatever_a_crowd_does_every_probe_and_every_client_is_answered(attack: Attack, addresses: int) -> None:
    async with guarded_service() as (_, url), besieged(url, attack, addresses=addresses):
        for _ in range(4):
            took = [
                await cpu_until_answered(url, *asked) for asked in (("/healthz",), ("/readyz",), ("/v1/stats", TOKEN))
            ]
            assert max(took) < WITHIN_S
            await trio.sleep(0.1)


async def test_strangers_that_never_stop_asking_keep_no_probe_waiting() -> None:
    async with guarded_service() as (_, url), besieged(url, ask_without_end, addresses=20, clients=150):
        for _ in range(4):
            assert await cpu_until_answered(url, "/healthz") < WITHIN_S
            assert await cpu_until_answered(url, "/v1/stats", TOKEN) < WITHIN_S
            await trio.sleep(0.2)


@pytest.mark.parametrize("attack", [say_nothing, drip_a_head, drip_a_body_without_a_token, probe_and_stay, leave_half])
async def test_a_bot_keeps_its_idle_connection_whatever_strangers_do(attack: Attack) -> None:
    limits = HttpLimits(max_clients=40, max_per_address=30)
    async with (
        guarded_service(limits) as (_, url),
        await dial(url) as bot,
        await trio.open_tcp_stream("127.0.0.1", port_of(url), local_address="127.0.0.9") as other,
    ):
        for stream in (bot, other):
            await ask_stats(stream)
        async with besieged(url, attack, addresses=20, clients=80):
            for stream in (bot, other):
                await ask_stats(stream)


async def ask_stats(stream: trio.SocketStream) -> None:
    await stream.send_all(b"GET /v1/stats HTTP/1.1\r\n" + ASK + b"\r\n")
    with trio.fail_after(20):
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")


async def test_a_store_that_hangs_under_all_clients_leaves_the_probes_answered() -> None:
    async with guarded_service(HttpLimits(max_clients=16)) as (world, url), trio.open_nursery() as nursery:
        hanging = trio.Event()

        async def hang() -> dict[str, object]:
            await hanging.wait()
            return {}

        world.intake._stats = hang
        answers: list[bytes] = []

        async def ask() -> None:
            async with await dial(url) as stream:
                await stream.send_all(b"GET /v1/stats HTTP/1.1\r\nConnection: close\r\n" + ASK + b"\r\n")
                answers.append(await read_all(stream))

        for _ in range(40):
            nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked(0.05)
        for _ in range(5):
            await cpu_until_answered(url, "/healthz")
        refused = [answer for answer in answers if answer]
        assert refused
        assert all(answer.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1" in answer for answer in refused)
        hanging.set()
    assert sum(answer.startswith(b"HTTP/1.1 200 ") for answer in answers) == 14


async def test_a_crowd_does_not_fill_the_log_and_is_counted_in_it() -> None:
    limits = HttpLimits(max_clients=4)
    async with guarded_service(limits) as (world, url):
        streams = [await dial(url) for _ in range(304)]
        await world.wait_for(ConnectionRefused, 100)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert len(world.saw(ConnectionRefused)) < 110
        await trio.sleep(2)
        streams += [await dial(url) for _ in range(10)]
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert any("more connections since" in refused.reason for refused in world.saw(ConnectionRefused))
        for stream in streams:
            await stream.aclose()
