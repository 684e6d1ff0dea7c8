"""One load run, start to end: prepare, push and follow, look on, verify, sum up."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import evolve, frozen

from load.clients import Crowd
from load.ledger import Ledger, Record
from load.metrics import Metrics
from load.options import Options, Repush
from load.plan import Plan, make_plan
from load.processes import Usage, usage
from load.repush import LookUps, judge_again, plan_again
from load.sampler import Sampler, read_metrics
from load.sandbox import open_sandbox
from load.summary import Outcome, summarise
from load.target import Target, find_target
from load.verify import verify
from load.view import View, make_console
from streamwarm.cli.client import Unreachable

INTERRUPTED = "interrupted"
COUNTED_S = 3.0
SENT = ("done", "failed", "unknown", "cancelled")
"""Outcomes of jobs that a worker had."""

SHOWN = 20
"""Lines of what was wrong with a second push, at most."""


@frozen
class Finished:
    """A run that is over, whether or not all went well. `cut` is why it ended before its jobs did."""

    summary: dict[str, Any]
    ledger: Ledger
    sampler: Sampler
    interrupted: bool = False
    cut: str | None = None


@asynccontextmanager
async def open_target(options: Options) -> AsyncIterator[Target]:
    """The service to load: one of our own, or one that runs already."""
    if options.sandbox is None:
        yield await find_target(options.target)
        return
    with tempfile.TemporaryDirectory(prefix="streamwarm-load-") as folder:
        async with open_sandbox(options.sandbox, Path(folder), options.mix) as target:
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
        if target.refusing is not None:
            await emulator.refuse(target.refusing.rules())
    say(f"pushing {len(plan.jobs):,} jobs from {options.clients} clients to {target.websocket} ({options.loop}) …")
    already = await _delivered(target)
    first = await run_plan(options, target, plan, already=already)
    if options.repush is None or first.cut or not any(r.state == "done" for r in first.ledger.records):
        return first
    return await _push_again(options, options.repush, target, plan, first, already, say)


async def _push_again(
    options: Options,
    repush: Repush,
    target: Target,
    plan: Plan,
    first: Finished,
    already: Mapping[str, int],
    say: Callable[[str], None],
) -> Finished:
    """Replace a share of the objects, push the same keys again, and add what came of it to the first push's figures."""
    again = await trio.to_thread.run_sync(plan_again, options, repush, plan, first.ledger.records)
    say(f"replacing {len(again.objects):,} objects and pushing {len(again.jobs):,} jobs again …")
    await target.bucket.fill(again.objects)
    look_ups = LookUps(target.http)
    async with look_ups.asking(len(again.jobs)):
        second = await run_plan(
            options, target, Plan(again.objects, again.jobs, []), already=already, on_end=look_ups.note
        )
    deliveries = [one for emulator in target.distinct_emulators() for one in await emulator.deliveries(0)]
    figures, wrong = judge_again(again, repush, second.ledger.records, look_ups.answers, deliveries)
    cpu_s = second.summary["cpu_s"]
    figures["seconds"] = second.summary["seconds"]
    figures["cpu_ms_per_job"] = None if cpu_s is None else round(cpu_s * 1000 / len(again.jobs), 2)
    wrong = [f"pushed again: {line}" for line in [*second.summary["wrong"], *wrong[:SHOWN]]]
    summary = first.summary | {"repush": figures, "wrong": [*first.summary["wrong"], *wrong]}
    summary["ok"] = first.summary["ok"] and second.summary["ok"] and not wrong
    return evolve(first, summary=summary, interrupted=second.interrupted, cut=second.cut)


async def _delivered(target: Target) -> dict[str, int]:
    return {emulator.base_url: await emulator.delivered() for emulator in target.distinct_emulators()}


async def run_plan(
    options: Options,
    target: Target,
    plan: Plan,
    *,
    shows: bool = True,
    already: Mapping[str, int] | None = None,
    on_end: Callable[[Record], None] = lambda _: None,
) -> Finished:
    """Push a plan whose objects are in the bucket, follow every job, and verify. `already` counts each emulator's
    deliveries before those that jobs may answer with, now if it is None. `on_end` is called with each job that ends.

    A service that goes away in the middle, or Ctrl-C, ends the run early; what is known until then is summed up.
    Raises `Unreachable` and `HttpError` where the service was never there.
    """
    already = await _delivered(target) if already is None else already
    before, usage_before = await read_metrics(target), _usage(target)
    wall_offset_s = trio.current_time() - time.time()
    ledger = Ledger(trio.current_time, wall_offset_s if target.pid is not None else None)
    crowd = Crowd(target.websocket, target.token, plan.jobs, options.clients, options.in_flight, ledger, on_end)
    sampler = Sampler(target, trio.current_time, lambda: ledger.ended, metrics=before, usage=usage_before)
    async with trio.open_nursery() as beside:
        beside.start_soon(sampler.run)
        if target.trouble is not None:
            beside.start_soon(target.trouble.make, lambda: ledger.ended, len(plan.jobs))
        if shows:
            beside.start_soon(View(make_console(), ledger, sampler, len(plan.jobs)).run)
        cut = await _push_and_follow(crowd, options.timeout_s)
        beside.cancel_scope.cancel()
    await sampler.look()
    if cut is None:
        await _until_counted(sampler, before, ledger)
    refused = [one for emulator in target.distinct_emulators() for one in await emulator.refused()]
    outcome = Outcome(
        records=ledger.records,
        planned=len(plan.jobs),
        samples=sampler.samples,
        before=before,
        after=sampler.metrics,
        usage_before=usage_before,
        usage_after=sampler.usage,
        verdict=await verify(target, ledger.records, already),
        first_bytes=dict(target.first_bytes()),
        wall_offset_s=wall_offset_s,
        refused_full=crowd.refused_full,
        cut=cut,
        trouble=None if target.trouble is None else target.trouble.cost(ledger.records),
        refusing=None if target.refusing is None else target.refusing.cost(ledger.records, refused),
    )
    return Finished(summarise(outcome), ledger, sampler, interrupted=cut == INTERRUPTED, cut=cut)


async def _push_and_follow(crowd: Crowd, timeout_s: float) -> str | None:
    """None if every job ended, else why the run was cut. Raises `Unreachable` where not all clients got in."""
    cut: list[str] = []

    async def until_interrupted(scope: trio.CancelScope, task_status: trio.TaskStatus[None]) -> None:
        with trio.open_signal_receiver(signal.SIGINT) as signals:
            task_status.started()
            async for _ in signals:
                cut.append(INTERRUPTED)
                scope.cancel()

    async with trio.open_nursery() as nursery:
        await nursery.start(until_interrupted, nursery.cancel_scope)
        nursery.cancel_scope.deadline = trio.current_time() + timeout_s
        try:
            await crowd.run()
        except* Unreachable as gone:
            if not crowd.all_in:
                raise
            cut.append(f"the service went away: {innermost(gone)}")
        nursery.cancel_scope.cancel()
    if not cut and crowd.ledger.ended < len(crowd.jobs):
        cut.append(f"not every job had ended after {timeout_s:g} s (--timeout)")
    return cut[0] if cut else None


async def _until_counted(sampler: Sampler, before: Metrics, ledger: Ledger) -> None:
    """A service of several processes counts what the others did up to half a second later."""
    ended = len({record.id for record in ledger.records if record.running_at is not None})
    with trio.move_on_after(COUNTED_S):
        while sampler.metrics.since(before, "streamwarm_jobs_total", outcome=SENT) < ended:
            await trio.sleep(0.1)
            await sampler.look()


def _usage(target: Target) -> Usage | None:
    return usage(target.pid) if target.pid is not None else None


def innermost(exc: BaseException) -> BaseException:
    """Nurseries wrap what one task raised in a group."""
    while isinstance(exc, BaseExceptionGroup):
        exc = next((e for e in exc.exceptions if isinstance(e, KeyboardInterrupt)), exc.exceptions[0])
    return exc
