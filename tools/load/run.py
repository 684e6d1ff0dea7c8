"""One load run, start to end: prepare, push and follow, look on, verify, sum up."""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import frozen

from load.clients import Crowd
from load.ledger import Ledger
from load.options import Options
from load.plan import Plan, make_plan
from load.processes import Usage, usage
from load.sampler import Sampler, read_metrics
from load.sandbox import open_sandbox
from load.summary import Outcome, summarise
from load.target import Target, find_target
from load.verify import verify
from load.view import View, make_console


@frozen
class Finished:
    """A run that is over, whether or not all went well."""

    summary: dict[str, Any]
    ledger: Ledger
    sampler: Sampler


@asynccontextmanager
async def open_target(options: Options) -> AsyncIterator[Target]:
    """The service to load: one of our own, or one that runs already."""
    if options.sandbox is None:
        yield await find_target(options.target)
        return
    with tempfile.TemporaryDirectory(prefix="streamwarm-load-") as folder:
        async with open_sandbox(options.sandbox, Path(folder)) as target:
            yield target


async def run_load(options: Options, say: Callable[[str], None]) -> Finished:
    """Raises `Unreachable`, `HttpError`, `StartError`, `SettingsError` or `click.UsageError` where it cannot be run."""
    async with open_target(options) as target:
        return await load_target(options, target, say)


async def load_target(options: Options, target: Target, say: Callable[[str], None]) -> Finished:
    """One run against a target that is up."""
    salt = time.time_ns()
    plan = await trio.to_thread.run_sync(
        lambda: make_plan(options, target.destinations, salt=salt, prefix=f"loadgen/{salt:x}")
    )
    megabytes = sum(made.size_bytes for made in plan.objects) / 1e6
    say(f"putting {len(plan.objects):,} objects, {megabytes:,.1f} MB, into the bucket …")
    await target.bucket.fill(plan.objects)
    for emulator in target.distinct_emulators():
        await emulator.inject(plan.faults)
    say(f"pushing {len(plan.jobs):,} jobs from {options.clients} clients to {target.websocket} ({options.loop}) …")
    return await run_plan(options, target, plan)


async def run_plan(options: Options, target: Target, plan: Plan) -> Finished:
    """Push a plan whose objects are in the bucket, follow every job, and verify."""
    already = {emulator.base_url: await emulator.delivered() for emulator in target.distinct_emulators()}
    before, usage_before = await read_metrics(target), _usage(target)
    wall_offset_s = trio.current_time() - time.time()
    ledger = Ledger(trio.current_time, wall_offset_s if target.pid is not None else None)
    crowd = Crowd(target.websocket, target.token, plan.jobs, options.clients, options.in_flight, ledger)
    sampler = Sampler(target, trio.current_time, lambda: ledger.ended)
    view = View(make_console(), ledger, sampler, len(plan.jobs))
    async with trio.open_nursery() as beside:
        beside.start_soon(sampler.run)
        beside.start_soon(view.run)
        with trio.move_on_after(options.timeout_s):
            await crowd.run()
        beside.cancel_scope.cancel()
    usage_after = _usage(target)
    await sampler.look()
    outcome = Outcome(
        records=ledger.records,
        planned=len(plan.jobs),
        samples=sampler.samples,
        before=before,
        after=await read_metrics(target),
        usage_before=usage_before,
        usage_after=usage_after,
        verdict=await verify(target, ledger.records, already),
        first_bytes=dict(target.first_bytes()),
        wall_offset_s=wall_offset_s,
        refused_full=crowd.refused_full,
    )
    return Finished(summarise(outcome), ledger, sampler)


def _usage(target: Target) -> Usage | None:
    return usage(target.pid) if target.pid is not None else None
