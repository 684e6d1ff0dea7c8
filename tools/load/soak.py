"""Soak: a modest load with faults for as long as asked, and nothing of the service may grow meanwhile.

Rounds of the same jobs over the same objects: push, follow, verify, forget the warm records, again; each round with new
connections and new faults. So what is stored is the same at every round's end, and what grows is a leak. `tools/soak`
runs it.
"""

from __future__ import annotations

import json
import math
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import trio
from attrs import define, evolve, field, frozen

from load.cli import exits
from load.flat import Judgement, Point, Rule, judge
from load.http_clients import HttpError
from load.options import Mix, Options, SandboxOptions
from load.plan import Plan, make_plan, plan_faults
from load.processes import usage
from load.run import run_plan
from load.sampler import read_metrics
from load.sandbox import open_sandbox
from load.target import Target
from streamwarm.backlog.sqlite.file import CHECKPOINT_PAGES
from streamwarm.settle.publisher import KEPT

LOOK_EVERY_S = 0.5
SERVICE = str(Path(__file__).with_name("watched_service.py"))
FORGETTERS = 4
REST_S = 20.0
SAY_EVERY_S = 60.0

FILL_JOBS = KEPT // 3 + 100
"""So many jobs, of three events each and more, go first and as fast as they can: what is bounded, the memory of events
above all, must be full before growth means anything."""

FILL_FROM_S = 15.0

RULES: Mapping[str, Rule] = {
    "resident_mb": Rule("resident memory", "MB", slack=4.0, share=0.08),
    "blocks": Rule("Python's blocks", "thousands", slack=5.0, share=0.01),
    "open_files": Rule("open files", "", slack=12.0),
    "threads": Rule("threads", "", slack=6.0),
    "tasks": Rule("trio tasks", "", slack=12.0),
    "pool": Rule("pool connections", "", slack=8.0),
    "database_kb": Rule("database", "KB", slack=256.0, share=0.1),
}
"""What must be flat. Of memory, 8 % is what an allocator's moods come to. Blocks know no moods, and waver by the
jobs in flight alone: a leak shows from a quarter of a block a job in an hour, from three in five minutes.
The counts go up and down with the clients connected and the jobs in flight; in a short run their middle moves by that
much, and a leak of one in a hundred jobs is far beyond it in an hour. The database is the pages in use: a sweep frees
pages, and SQLite keeps them; they waver with the jobs between two sweeps."""

COUNTS = "counts"
DATABASE = "streamwarm.db"
MAX_LOG_BYTES = 2 * CHECKPOINT_PAGES * 4096
"""SQLite's log is moved into the file at so many pages, and is never shorter afterwards: a ceiling, no slope. Twice,
since readers may put the move off."""


@frozen
class Shape:
    """How long, and how hard."""

    seconds: float
    rate: float
    seed: int

    @property
    def round_jobs(self) -> int:
        """A round takes at most half a minute, and there are at least four."""
        return max(8, round(self.rate * min(30.0, self.seconds / 5)))

    @property
    def fill_jobs(self) -> int:
        """Before the clock starts; a run that is too short to show a leak is not made to wait for it."""
        return FILL_JOBS if self.seconds >= FILL_FROM_S else round(self.rate * self.seconds)

    @property
    def keep_ended_s(self) -> float:
        return min(60.0, self.seconds / 10)


@define(eq=False)
class Course:
    """What was seen of the service over time."""

    target: Target
    folder: Path
    seen: dict[str, list[Point]] = field(factory=lambda: {name: [] for name in RULES})

    async def watch(self) -> None:
        started_at = trio.current_time()
        while True:
            at_s = trio.current_time() - started_at
            for name, value in (await self._look()).items():
                self.seen[name].append((at_s, value))
            await trio.sleep(LOOK_EVERY_S)

    async def _look(self) -> dict[str, float]:
        taken = usage(self.target.pid) if self.target.pid is not None else None
        tasks, blocks = _counts_in(self.folder / COUNTS)
        try:
            pool = (await read_metrics(self.target)).total("streamwarm_pool_connections", state=("active", "idle"))
        except HttpError:
            pool = math.nan
        return {
            "resident_mb": taken.resident_bytes / 1e6 if taken else math.nan,
            "open_files": taken.open_files if taken else math.nan,
            "threads": taken.threads if taken else math.nan,
            "tasks": tasks,
            "blocks": blocks / 1000,
            "pool": pool,
            "database_kb": _used_kilobytes(self.folder / DATABASE),
        }

    def judgements(self) -> list[Judgement]:
        return [judge(rule, self.seen[name]) for name, rule in RULES.items()]


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--seconds", type=click.FloatRange(5), help="How long; with --minutes or --hours, in all.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True))
@click.option("--hours", type=click.FloatRange(0, min_open=True), help="Default: one.")
@click.option("--rate", type=click.FloatRange(0.5, 200), default=8.0, show_default=True, help="Jobs a second.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the judgements as one JSON object on the last line, too.")
@exits
def main(
    *, seconds: float | None, minutes: float | None, hours: float | None, rate: float, seed: int, as_json: bool
) -> None:
    """Load a service of its own, with faults, and see that nothing of it grows.

    Exit 0 only if every job of every round ended as expected, every digest agrees, and memory, open files, threads,
    tasks, pool connections and the database are flat.
    """
    in_all = (seconds or 0) + (minutes or 0) * 60 + (hours or 0) * 3600
    shape = Shape(in_all or 3600.0, rate, seed)
    wrong, judgements, jobs = trio.run(_soak, shape, lambda text: click.echo(text, err=True))
    for judgement in judgements:
        click.echo(str(judgement))
    for line in wrong:
        click.echo(f"WRONG: {line}", err=True)
    ok = not wrong and all(judgement.is_flat for judgement in judgements)
    click.echo(f"{jobs:,} jobs in {shape.seconds:,.0f} s: {'all well, all flat' if ok else 'NOT WELL'}")
    if as_json:
        click.echo(json.dumps({"ok": ok, "jobs": jobs, "wrong": wrong, "flat": _as_json(judgements)}))
    sys.exit(0 if ok else 1)


async def _soak(shape: Shape, say: Callable[[str], None]) -> tuple[list[str], list[Judgement], int]:
    """What went wrong, what was seen, and how many jobs there were."""
    options = Options(
        jobs=shape.round_jobs,
        clients=8,
        rate=shape.rate,
        mix=Mix.MIXED,
        size_scale=0.05,
        repeats=0.2,
        bad=0.05,
        faults=0.05,
        seed=shape.seed,
        timeout_s=300.0,
    )
    with tempfile.TemporaryDirectory(prefix="streamwarm-soak-") as text:
        folder = Path(text)
        program = ("-P", SERVICE, str(folder / COUNTS))
        sandbox = SandboxOptions(destinations=3, source_faults=0.05, keep_ended_s=shape.keep_ended_s, program=program)
        async with open_sandbox(sandbox, folder) as target:
            plan = make_plan(options, target.destinations, salt=shape.seed, prefix="soak")
            await target.bucket.fill(plan.objects)
            say(f"filling what is bounded: {shape.fill_jobs:,} jobs as fast as they go …")
            wrong = await _fill(shape, options, target, plan)
            say(f"soaking for {shape.seconds:,.0f} s: rounds of {len(plan.jobs)} jobs at {shape.rate:g} a second …")
            course, jobs = Course(target, folder), 0
            async with trio.open_nursery() as nursery:
                nursery.start_soon(course.watch)
                if not wrong:
                    wrong, jobs = await _rounds(shape, options, target, plan, say)
                nursery.cancel_scope.cancel()
            wrong += [] if wrong else await _left_over(target, folder)
    return wrong, course.judgements(), jobs


async def _fill(shape: Shape, options: Options, target: Target, plan: Plan) -> list[str]:
    """Rounds without a pause and without spoiled uploads; what went wrong in them."""
    at_once = evolve(plan, jobs=[evolve(job, at_s=None) for job in plan.jobs], faults=())
    for _ in range(math.ceil(shape.fill_jobs / len(plan.jobs))):
        finished = await run_plan(evolve(options, rate=None), target, at_once, shows=False)
        if finished.summary["wrong"]:
            return [f"while filling: {line}" for line in finished.summary["wrong"]]
        await _forget(target, plan)
    return []


async def _rounds(
    shape: Shape, options: Options, target: Target, plan: Plan, say: Callable[[str], None]
) -> tuple[list[str], int]:
    jobs = number = 0
    began_at = said_at = time.monotonic()
    while time.monotonic() < began_at + shape.seconds:
        number += 1
        for emulator in target.distinct_emulators():
            await emulator.inject(plan_faults(options, random.Random(f"{shape.seed}/{number}")))
        finished = await run_plan(options, target, evolve(plan, faults=()), shows=False)
        jobs += len(plan.jobs)
        if finished.summary["wrong"]:
            return [f"round {number}: {line}" for line in finished.summary["wrong"]], jobs
        if time.monotonic() >= said_at + SAY_EVERY_S:
            said_at = time.monotonic()
            say(f"after {said_at - began_at:,.0f} s: {jobs:,} jobs, {finished.summary['resident_mb']} MB")
        await _forget(target, plan)
    return [], jobs


async def _forget(target: Target, plan: Plan) -> None:
    keys = iter({(job.destination, job.kind, job.sha256 or job.r2_key) for job in plan.jobs})

    async def forget_each() -> None:
        for key in keys:
            await target.http.forget(*key)

    async with trio.open_nursery() as nursery:
        for _ in range(FORGETTERS):
            nursery.start_soon(forget_each)


async def _left_over(target: Target, folder: Path) -> list[str]:
    """What a service at rest must not hold; it has `REST_S` to come to rest."""
    held = await _held(target)
    with trio.move_on_after(REST_S):
        while any(held.values()):
            await trio.sleep(LOOK_EVERY_S)
            held = await _held(target)
    wrong = [f"at rest there are still {count:.0f} {name}" for name, count in held.items() if count]
    log_bytes = sum(file.stat().st_size for file in folder.glob(f"{DATABASE}-wal"))
    if log_bytes > MAX_LOG_BYTES:
        wrong.append(f"the database's log has {log_bytes:,} bytes; {MAX_LOG_BYTES:,} are allowed")
    return wrong


async def _held(target: Target) -> dict[str, float]:
    metrics = await read_metrics(target)
    return {
        "workers busy": metrics.total("streamwarm_workers_busy"),
        "pool connections active": metrics.total("streamwarm_pool_connections", state="active"),
        "jobs queued, waiting or running": metrics.total(
            "streamwarm_queue_depth", state=("queued", "waiting", "running")
        ),
        "websocket clients": metrics.total("streamwarm_websocket_clients"),
    }


def _used_kilobytes(path: Path) -> float:
    """Pages in use, seen through the log."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            count, free, size = (
                database.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
    except sqlite3.Error:
        return math.nan
    return float((count - free) * size / 1000)


def _counts_in(path: Path) -> tuple[float, float]:
    """Tasks and blocks, as `watched_service.py` writes them."""
    try:
        tasks, blocks = path.read_text().split()
    except (OSError, ValueError):
        return math.nan, math.nan
    return float(tasks), float(blocks)


def _as_json(judgements: Sequence[Judgement]) -> dict[str, Any]:
    return {
        one.rule.name: {"flat": one.is_flat, "middle": one.middle, "growth": one.growth, "allowed": one.allowed}
        for one in judgements
    }


if __name__ == "__main__":
    main()
