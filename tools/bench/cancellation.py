"""What cancelled requests leave behind: slots of the pool that nobody gets back.

    uv run --group dev python tools/bench/cancellation.py [--cancellations N]

Twice as many tasks as the pool has slots upload to a small server on loopback, and each is cancelled at a random step
(seeded) of its exchange or of its wait for a slot, again and again. Then as many exchanges as there are slots are
opened at once: a slot that leaked is one that never opens. Clients: streamwarm's, and httpx as it comes (httpcore's
pool).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from random import Random

import httpx
import trio

from streamwarm.net.pool import open_client

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.worlds.cancelling import cancelled_at

SLOTS = 20
PIECE = b"x" * 20_000
PIECES = 3
MOST_STEPS = 20
"""Some of an exchange's steps and some beyond its end, so that connections are reused too."""
OPEN_WITHIN_S = 3.0


async def answer_uploads(stream: trio.SocketStream) -> None:
    """A server that reads uploads of the one size that comes here, and answers each."""
    left = 0
    received = b""
    try:
        while True:
            while b"\r\n\r\n" not in received:
                if not (piece := await stream.receive_some()):
                    return
                received += piece
            left = len(PIECE) * PIECES - len(received.partition(b"\r\n\r\n")[2])
            while left > 0:
                if not (piece := await stream.receive_some()):
                    return
                left -= len(piece)
            received = b""
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    except trio.BrokenResourceError:
        return  # cancelled clients cut their connections


async def pieces() -> AsyncIterator[bytes]:
    for _ in range(PIECES):
        await trio.lowlevel.checkpoint()
        yield PIECE


async def exchange(client: httpx.AsyncClient, url: str) -> None:
    async with (
        aclosing(pieces()) as content,
        client.stream("PUT", url, content=content, headers={"Content-Length": str(len(PIECE) * PIECES)}) as answer,
    ):
        await answer.aread()


async def cancel_everywhere(client: httpx.AsyncClient, url: str, cancellations: int) -> int:
    """Twice as many tasks as slots, so that some are cancelled while they wait for one; how many were cancelled."""
    random = Random(1)
    cancelled = 0

    async def work() -> None:
        nonlocal cancelled
        while cancelled < cancellations:
            try:
                with trio.fail_after(OPEN_WITHIN_S):
                    was_cancelled = await cancelled_at(random.randint(1, MOST_STEPS), lambda: exchange(client, url))
            except (trio.TooSlowError, httpx.PoolTimeout):
                return
            cancelled += was_cancelled

    async with trio.open_nursery() as nursery:
        for _ in range(SLOTS * 2):
            nursery.start_soon(work)
    return cancelled


async def open_slots(client: httpx.AsyncClient, url: str) -> int:
    """How many exchanges can be under way at once."""
    here = 0

    async def hold() -> None:
        nonlocal here
        try:
            async with (
                aclosing(pieces()) as content,
                client.stream(
                    "PUT", url, content=content, headers={"Content-Length": str(len(PIECE) * PIECES)}
                ) as answer,
            ):
                here += 1
                await trio.sleep_forever()
                await answer.aread()
        except httpx.PoolTimeout:
            return

    with trio.move_on_after(OPEN_WITHIN_S):
        async with trio.open_nursery() as nursery:
            for _ in range(SLOTS):
                nursery.start_soon(hold)
    return here


async def measure(name: str, client: httpx.AsyncClient, cancellations: int) -> None:
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, answer_uploads, 0)
        url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/"
        async with client:
            cancelled = await cancel_everywhere(client, url, cancellations)
            left = await open_slots(client, url)
        print(f"{name:12} {cancelled:>9} cancelled   {left:>3} of {SLOTS} slots left")
        nursery.cancel_scope.cancel()


async def run(cancellations: int) -> None:
    limits = httpx.Limits(max_connections=SLOTS, max_keepalive_connections=SLOTS)
    await measure("streamwarm", open_client(connections=SLOTS), cancellations)
    await measure("httpx", httpx.AsyncClient(limits=limits, trust_env=False, timeout=OPEN_WITHIN_S), cancellations)


def main() -> None:
    parser = argparse.ArgumentParser(description="Slots leaked by cancelled requests")
    parser.add_argument("--cancellations", type=int, default=5000)
    trio.run(run, parser.parse_args().cancellations)


if __name__ == "__main__":
    main()
