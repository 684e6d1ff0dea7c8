"""What the download cache saves: one library warmed for several bots, with retries, over a bucket on loopback.

    python tools/bench/cache/run.py [--objects 40] [--bots 4] [--failing 0.2] [--megabytes 256]

First the workload: every object goes to every bot, five jobs at a time, object by object or bot by bot; some attempts
fail after the last byte and come again. It prints requests, hits and the bytes that the bucket sent, with and without
the cache, and exits 1 unless in both orders at least 60 % of requests hit and the bucket's bytes fall by at least 60 %.
(A library of more objects than the cache has entries, warmed bot by bot, is beyond any cache of that size: try 60.)

Then what filling costs: CPU seconds per GB of one object streamed directly, through a filling cache, and from it. The
reader hashes what it gets, as a transfer does; the bucket's own CPU time, in the same process, is part of each figure.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio
from attrs import define, field

from streamwarm.fetch.cache.file import make_private_folder
from streamwarm.fetch.cache.source import CachedSource, open_cache
from streamwarm.fetch.credentials import Bucket
from streamwarm.fetch.r2 import R2Source
from streamwarm.fetch.source import Source
from streamwarm.net.pool import open_client
from streamwarm.s3.sigv4 import SigningKeys

WORKERS = 5
MAX_ATTEMPTS = 5
REQUIRED = 0.6
BLOCK = random.Random(1).randbytes(256 * 1024)


@define
class LoopbackBucket:
    """Serves keys of the form `NAME-SIZE`: SIZE bytes of a fixed block, and counts them."""

    bytes_out: int = 0
    gets: int = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        received = b""
        while chunk := await stream.receive_some():
            received += chunk
            while b"\r\n\r\n" in received:
                request, _, received = received.partition(b"\r\n\r\n")
                method, target, _ = request.split(b"\r\n", 1)[0].split(b" ")
                await self._answer(stream, method, int(target.rpartition(b"-")[2]), target)

    async def _answer(self, stream: trio.SocketStream, method: bytes, size: int, target: bytes) -> None:
        etag = hashlib.md5(target, usedforsecurity=False).hexdigest()
        await stream.send_all(f'HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nETag: "{etag}"\r\n\r\n'.encode())
        if method == b"HEAD":
            return
        self.gets += 1
        for start in range(0, size, len(BLOCK)):
            piece = BLOCK[: size - start]
            await stream.send_all(piece)
            self.bytes_out += len(piece)


@define
class Tally:
    requests: int = 0
    delivered_bytes: int = 0
    attempts: dict[tuple[str, int], int] = field(factory=dict)


@asynccontextmanager
async def bucket_and_source() -> AsyncIterator[tuple[LoopbackBucket, R2Source]]:
    bucket = LoopbackBucket()
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, bucket.serve, 0, host="127.0.0.1"))
        url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        async with open_client() as client:
            where = Bucket(url, "media", "auto", "bench", "bench")
            yield bucket, R2Source(client, where, signing_keys=SigningKeys(), now=time.time, uniform=random.random)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def cached(source: R2Source) -> AsyncIterator[CachedSource]:
    """With the default limits, and as for several destinations."""
    with tempfile.TemporaryDirectory() as parent:
        folder = make_private_folder(Path(parent))
        room = {"max_entries": 50, "max_bytes": 1 << 30}
        run_sync = trio.to_thread.run_sync
        async with open_cache(source, folder=folder, ttl_s=300, eager=True, run_sync=run_sync, **room) as cache:
            yield cache


async def read(source: Source, r2_key: str, sha256: str | None = None) -> int:
    digest, size = hashlib.sha256(), 0
    async with source.open_object(r2_key, sha256=sha256) as opened:
        async for piece in opened.pieces():
            digest.update(piece)
            size += len(piece)
    return size


async def work(source: Source, jobs: Sequence[tuple[str, int]], failing: float) -> Tally:
    """Five workers take the jobs in order; a failed attempt comes again after the jobs that wait."""
    tally, chance = Tally(), random.Random(2)
    send, receive = trio.open_memory_channel[tuple[str, int]](len(jobs))
    left = len(jobs)

    async def worker() -> None:
        nonlocal left
        async for job in receive.clone():
            tally.requests += 1
            tally.attempts[job] = tally.attempts.get(job, 0) + 1
            tally.delivered_bytes += await read(source, job[0])
            if chance.random() < failing and tally.attempts[job] < MAX_ATTEMPTS:
                send.send_nowait(job)  # its own place in the channel is free again
                continue
            left -= 1
            if not left:
                send.close()

    for job in jobs:
        send.send_nowait(job)
    async with trio.open_nursery() as nursery:
        for _ in range(WORKERS):
            nursery.start_soon(worker)
    return tally


async def workload(objects: int, bots: int, failing: float) -> bool:
    sizes = random.Random(3)
    library = [f"object{i}-{int(sizes.lognormvariate(14, 1.5)) + 1}" for i in range(objects)]
    orders = {
        "object by object": [(key, bot) for key in library for bot in range(bots)],
        "bot by bot": [(key, bot) for bot in range(bots) for key in library],
    }
    good = True
    for name, jobs in orders.items():
        async with bucket_and_source() as (bucket, source):
            await work(source, jobs, failing)
            without = bucket.bytes_out
        async with bucket_and_source() as (bucket, source), cached(source) as cache:
            tally = await work(cache, jobs, failing)
            stats, sent = cache.stats(), bucket.bytes_out
        hit, saved = stats.hits / tally.requests, 1 - sent / without
        print(
            f"{name}: {objects} objects, {bots} bots, {tally.requests} requests "
            f"({tally.requests - len(jobs)} retries): {hit:.0%} hit; the bucket sent {sent / 1e6:.0f} MB "
            f"instead of {without / 1e6:.0f} MB: {saved:.0%} less"
        )
        good = good and hit >= REQUIRED and saved >= REQUIRED
    return good


async def cost(megabytes: int) -> None:
    size = megabytes * 1_000_000
    async with bucket_and_source() as (_, source), cached(source) as cache:
        await measured("directly", read(source, f"direct-{size}"), size)
        await measured("filling", read(cache, f"cached-{size}"), size)
        await measured("from the cache", read(cache, f"cached-{size}"), size)


async def measured(name: str, reading: object, size: int) -> None:
    cpu, wall = time.process_time(), time.perf_counter()
    await reading  # type: ignore[misc]
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"{name}: {cpu / size * 1e9:.2f} CPU-s/GB, {size / wall / 1e6:.0f} MB/s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=40)
    parser.add_argument("--bots", type=int, default=4)
    parser.add_argument("--failing", type=float, default=0.2, help="share of attempts that fail after the last byte")
    parser.add_argument("--megabytes", type=int, default=256, help="size of the object whose cost is measured")
    given = parser.parse_args()
    good = trio.run(workload, given.objects, given.bots, given.failing)
    trio.run(cost, given.megabytes)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
