"""One measured run in a process of its own: objects from the source into the sink, five at a time.

The client is streamwarm's (`streamwarm`) or httpx as it comes (`httpx`); all else is the same. Prints one
JSON object.
"""

from __future__ import annotations

import hashlib
import json
import resource
import ssl
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import trio

from streamwarm.net.pool import open_client


def open_peer(name: str, ca_file: str | None, connections: int) -> httpx.AsyncClient:
    if name == "streamwarm":
        return open_client(connections=connections, ca_file=Path(ca_file) if ca_file else None)
    context = ssl.create_default_context(cafile=ca_file)
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    return httpx.AsyncClient(verify=context, limits=limits, timeout=60, trust_env=False)


async def digested(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    digest = hashlib.sha256()
    async for piece in pieces:
        digest.update(piece)
        yield piece


async def relay_one(client: httpx.AsyncClient, job: dict[str, Any]) -> None:
    size = job["bytes"]
    async with client.stream("GET", f"{job['source']}/{size}") as source:
        pieces = source.aiter_raw()
        answer = await client.put(
            f"{job['sink']}/object",
            content=digested(pieces) if job["digest"] else pieces,
            headers={"Content-Length": str(size)},
        )
    if answer.text != str(size):
        raise RuntimeError(f"the sink took {answer.text} bytes of {size}")


async def relay_all(job: dict[str, Any]) -> None:
    left = job["objects"]
    async with open_peer(job["client"], job["ca_file"], 50) as client:

        async def work() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                await relay_one(client, job)

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
