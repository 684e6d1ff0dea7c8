"""One measured run in a process of its own: objects from the source into the sink, five at a time.

Roads (`job["road"]`), all else being the same; prints one JSON object:

- `engine`: what the service does for a job: a signed GET, `transfer` with meter, watchdog and digest, a PUT;
- `client`: the service's HTTP client alone;
- `channel`: the client, with a task that reads and one that writes, and two pieces between them;
- `thread`: the client, with the digest on a thread;
- `httpcore2`: httpx over httpcore2's pool and HTTP/1.1, with the service's own sockets and TLS;
- `httpx`: httpx as it comes.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import trio
from engine import open_engine
from peers import open_httpcore2, open_httpx

from streamwarm.net.pool import open_client

Relay = Callable[[], Awaitable[None]]
CHANNEL_PIECES = 2


def open_peer(road: str, ca_file: str | None, connections: int) -> httpx.AsyncClient:
    if road == "httpx":
        return open_httpx(ca_file, connections)
    if road == "httpcore2":
        return open_httpcore2(ca_file, connections)
    return open_client(connections=connections, ca_file=Path(ca_file) if ca_file else None)


async def digested(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    digest = hashlib.sha256()
    async for piece in pieces:
        digest.update(piece)
        yield piece


async def digested_on_a_thread(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    digest = hashlib.sha256()
    async for piece in pieces:
        await trio.to_thread.run_sync(digest.update, piece)
        yield piece


async def read_ahead(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The pieces as they come, up to `CHANNEL_PIECES` of them ahead of the writer."""
    send, receive = trio.open_memory_channel[bytes](CHANNEL_PIECES)

    async def read() -> None:
        async with send:
            async for piece in pieces:
                await send.send(piece)

    async with trio.open_nursery() as nursery, receive:
        nursery.start_soon(read)
        async for piece in receive:
            yield piece


def on_the_way(job: dict[str, Any], pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if job["road"] == "channel":
        pieces = read_ahead(pieces)
    if job["digest"]:
        pieces = digested_on_a_thread(pieces) if job["road"] == "thread" else digested(pieces)
    return pieces


async def relay_one(client: httpx.AsyncClient, job: dict[str, Any]) -> None:
    size = job["bytes"]
    async with (
        client.stream("GET", f"{job['source']}/{size}") as source,
        aclosing(on_the_way(job, source.aiter_raw())) as content,
    ):
        answer = await client.put(f"{job['sink']}/object", content=content, headers={"Content-Length": str(size)})
    if answer.text != str(size):
        raise RuntimeError(f"the sink took {answer.text} bytes of {size}")


@asynccontextmanager
async def open_relay(job: dict[str, Any]) -> AsyncIterator[Relay]:
    if job["road"] == "engine":
        async with open_engine(job) as relay:
            yield relay
        return
    async with open_peer(job["road"], job["ca_file"], 50) as client:
        yield lambda: relay_one(client, job)


async def relay_all(job: dict[str, Any]) -> None:
    left = job["objects"]
    async with open_relay(job) as relay:

        async def work() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                await relay()

        async with trio.open_nursery() as nursery:
            for _ in range(job["concurrency"]):
                nursery.start_soon(work)


def main() -> None:
    job = json.loads(sys.argv[1])
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    trio.run(relay_all, job)
    elapsed_s = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"elapsed_s": elapsed_s, "cpu_s": cpu_s, "peak_rss_bytes": after.ru_maxrss * 1024}))


if __name__ == "__main__":
    main()
