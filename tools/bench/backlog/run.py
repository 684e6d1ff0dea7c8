"""How fast the backlog is, and whether it stays so as it grows: durable pushes, claims and completions a second.

    python tools/bench/backlog/run.py [--rows 10000 100000 1000000] [--seconds 1] [--rounds 3] [--folder DIR]

For each number of stored jobs (the older half done, the newer queued, at four destinations) it measures, on SQLite with
`synchronous=FULL`:

- push: four callers push 100 jobs at a time, each answered after its commit;
- work: jobs are read in order, claimed and completed, 50 at a time, both side by side as the dispatcher and the
  completer do it; and the same 5 at a time, as five workers that all end together need it;
- refresh: what reading the best 500 of the queue costs.

In every round peers take their turns between ours, one commit a change, on files of their own: litequeue takes part
where it is installed (`uv run --with litequeue ...`). What is printed is the median of the rounds; CPU and what is
written to the disk (log and file) are those of the whole process. Exits 1 unless at every size there are at least 5,000
pushes and 2,000 completed jobs a second, and the largest size is within a factor of two of the smallest.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import secrets
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path

import trio
from attrs import field, fields, frozen

sys.path.insert(0, str(Path(__file__).parent))

from fill import BOTS, fill
from peers import Peer, open_peers

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.settlement import Done
from streamwarm.backlog.sqlite.store import open_sqlite_store
from streamwarm.backlog.store import Store
from streamwarm.model import Claim, Kind, NewJob, SeenObject

PUSHERS, PUSH_BATCH = 4, 100
LARGE_BATCH, WORKERS = 50, 5
MAX_QUEUE = 500
PUSHES_WANTED, WORK_WANTED = 5_000, 2_000
FLAT_WITHIN = 2.0
LIMITS = StoreBounds(max_pending=100_000_000)

_numbers = itertools.count()


@frozen
class Figures:
    """One round at one size. Rates are jobs a second; `peers` are (pushes, completed) by name, of the same round."""

    push: float
    push_cpu_us: float
    push_written_kb: float
    work: float
    work_cpu_us: float
    work_written_kb: float
    work_by_five: float
    refresh_ms: float
    peers: dict[str, tuple[float, float]]


def new_jobs(count: int) -> list[NewJob]:
    kinds = (Kind.PHOTO, Kind.VIDEO, Kind.DOCUMENT)
    numbers = itertools.islice(_numbers, count)
    return [
        NewJob(f"bot{n % BOTS}", kinds[n % 3], f"media/new/object-{n}.jpg", bytes=n % 50 * 500_000) for n in numbers
    ]


def written_bytes() -> int:
    """What this process has caused to be written to disks (Linux; elsewhere 0)."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


@frozen
class Meter:
    """What this process has used since the meter was started."""

    started: float = field(factory=time.perf_counter)
    cpu: float = field(factory=time.process_time)
    written: int = field(factory=written_bytes)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    def a_job(self, jobs: int) -> tuple[float, float, float]:
        """Jobs a second, CPU microseconds a job, kilobytes written a job."""
        cpu = time.process_time() - self.cpu
        return jobs / self.seconds, cpu / jobs * 1e6, (written_bytes() - self.written) / jobs / 1000


async def push_rate(store: Store, seconds: float) -> tuple[float, float, float]:
    """As `Meter.a_job` tells."""
    pushed = 0
    meter = Meter()

    async def pusher() -> None:
        nonlocal pushed
        while meter.seconds < seconds:
            await store.push(new_jobs(PUSH_BATCH))
            pushed += PUSH_BATCH

    async with trio.open_nursery() as nursery:
        for _ in range(PUSHERS):
            nursery.start_soon(pusher)
    return meter.a_job(pushed)


async def work_rate(store: Store, seconds: float, batch: int) -> tuple[float, float, float]:
    """As `Meter.a_job` tells, of jobs claimed and completed."""
    completed = 0
    meter = Meter()
    send, receive = trio.open_memory_channel[list[Claim]](1)

    async def claim() -> None:
        async with send:
            while True:
                read = await store.queued(MAX_QUEUE)
                for first in range(0, MAX_QUEUE, batch):
                    if meter.seconds > seconds:
                        return
                    await send.send(await store.claim([job.id for job in read[first : first + batch]]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(claim)
        async for claims in receive:
            kept = await store.settle([_done(claim) for claim in claims])
            assert all(kept), "a lease was lost"
            assert len(kept) == batch, f"{len(kept)} of {batch} jobs were there to be claimed"
            completed += len(kept)
    return meter.a_job(completed)


def _done(claim: Claim) -> Done:
    result = {"file_id": f"AgACAgIAAxkDAAIB{claim.job.seq}", "message_id": claim.job.seq}
    return Done(claim.lease, result, SeenObject(claim.job.r2_key, 50_000, '"e"', "image/jpeg", f"{claim.job.seq:064x}"))


async def refresh_ms(store: Store) -> float:
    times = []
    for _ in range(20):
        started = time.perf_counter()
        await store.queued(MAX_QUEUE)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


async def measure(path: str, peers: list[Peer], seconds: float) -> Figures:
    numbers = itertools.count()
    async with open_sqlite_store(
        path,
        limits=LIMITS,
        now=time.time,
        run_sync=trio.to_thread.run_sync,
        new_id=lambda: f"{next(numbers):012x}{secrets.token_hex(8)}",
        new_token=secrets.token_hex,
    ) as store:
        push = await push_rate(store, seconds)
        of_peers = {peer.name: peer.rates(seconds / 2) for peer in peers}
        work = await work_rate(store, seconds, LARGE_BATCH)
        by_five, *_ = await work_rate(store, seconds, WORKERS)
        return Figures(*push, *work, by_five, await refresh_ms(store), of_peers)


def sync_ms(folder: str) -> float:
    """What the disk takes for a commit at the least: 4 KiB and a sync, the median of 100."""
    times = []
    with open(f"{folder}/sync", "wb", buffering=0) as file:
        for _ in range(100):
            file.write(bytes(4096))
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


def show(rows: int, rounds: list[Figures]) -> Medians:
    median = Medians.of(rounds)
    print(
        f"{rows:>9,} | {median.push:>8.0f} | {median.work:>9.0f} | {median.work_by_five:>9.0f} | "
        f"{median.refresh_ms:>7.1f} | {median.push_cpu_us:>8.0f} | {median.work_cpu_us:>8.0f} | "
        f"{median.push_written_kb:>7.1f} | {median.work_written_kb:>8.1f}",
        flush=True,
    )
    for name in rounds[0].peers:
        push, work, by_five = (
            statistics.median(ours(one) / one.peers[name][column] for one in rounds)
            for ours, column in ((lambda o: o.push, 0), (lambda o: o.work, 1), (lambda o: o.work_by_five, 1))
        )
        print(f"          | ours to {name}: {push:.1f} pushes, {work:.1f} completed, {by_five:.1f} by five", flush=True)
    return median


@frozen
class Medians:
    push: float
    push_cpu_us: float
    push_written_kb: float
    work: float
    work_cpu_us: float
    work_written_kb: float
    work_by_five: float
    refresh_ms: float

    @classmethod
    def of(cls, rounds: list[Figures]) -> Medians:
        return cls(*(statistics.median(getattr(one, each.name) for one in rounds) for each in fields(cls)))


def verdict(sizes: list[Medians]) -> bool:
    smallest, largest = sizes[0], sizes[-1]
    enough = all(one.push >= PUSHES_WANTED and one.work >= WORK_WANTED for one in sizes)
    flat = largest.push * FLAT_WITHIN >= smallest.push and largest.work * FLAT_WITHIN >= smallest.work
    print(f"at least {PUSHES_WANTED} pushes and {WORK_WANTED} completed a second: {'yes' if enough else 'NO'}")
    print(f"the largest within a factor of {FLAT_WITHIN:g} of the smallest: {'yes' if flat else 'NO'}")
    return enough and flat


def measure_sizes(folder: str, sizes: list[int], rounds: int, seconds: float) -> list[Medians]:
    medians = []
    for rows in sizes:
        path = f"{folder}/{rows}.db"
        fill(path, rows)
        with tempfile.TemporaryDirectory(dir=folder) as for_peers, open_peers(for_peers) as peers:
            medians.append(show(rows, [trio.run(measure, path, peers, seconds) for _ in range(rounds)]))
        for leftover in Path(folder).glob(f"{rows}.db*"):
            leftover.unlink()
    return medians


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each rate is measured in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where the files go; the disk is what is measured (default: a temporary one)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        print(
            f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python "
            f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}; a sync takes {sync_ms(folder):.2f} ms"
        )
        print("     rows | pushes/s | completed | 5 a batch | refresh | CPU-us a | CPU-us a |    KB a |     KB a")
        print(
            "          |          |        /s |        /s |      ms |     push | complete |    push | complete",
            flush=True,
        )
        medians = measure_sizes(folder, given.rows, given.rounds, given.seconds)
    return 0 if verdict(medians) else 1


if __name__ == "__main__":
    raise SystemExit(main())
