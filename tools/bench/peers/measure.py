"""One worker at one workload: its figures, and what held it back."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import trio
from attrs import asdict, frozen
from load.spread import percentile

from peers.far_sides import FarSides, open_far_sides
from peers.workers import Cost, Ends, RunWorker, WorkerFailed, python_program, run_ours, run_program
from peers.workloads import WORKERS, Workload

RUN_TIMEOUT_S = 1_800.0
BUSY = 0.9
"""A process that used so much of one core, or all of them of the machine, had no more to give."""


@frozen
class Figures:
    """`p50_s` and `p95_s` are from push to end, of the photos alone where there are any beside others. `own_busy` is
    the share of the cores that the worker can use, `far_busy` the busier far side's share of one core, `machine_busy`
    the share of all cores that the run took with its far sides and its client, `others_busy` what anybody else took."""

    seconds: float
    jobs_per_s: float
    mb_per_s: float
    p50_s: float
    p95_s: float
    cpu_s: float
    peak_mb: float
    own_busy: float
    far_busy: float
    machine_busy: float
    others_busy: float


def all_workers(undici: Path | None) -> dict[str, RunWorker]:
    """By name. The seed worker needs a folder with undici in it."""
    plain = python_program("plain_worker.py")
    workers: dict[str, RunWorker] = {
        "streamwarm": run_ours,
        "streamwarm-2": partial(run_ours, processes=2),
        "httpx": partial(run_program, command=plain, client="httpx"),
        "curl": partial(run_program, command=plain, client="curl", cores=2 * WORKERS),
    }
    if undici is not None:
        node = ["node", str(undici / "worker.mjs")]
        workers["seed-buffered"] = partial(run_program, command=node, mode="buffered")
        workers["seed-streaming"] = partial(run_program, command=node, mode="streaming")
    return workers


async def measure(run: RunWorker, workload: Workload, certificate: list[str]) -> Figures:
    """Raises `WorkerFailed` where a job failed or not every byte arrived; `StartError`; `trio.TooSlowError`."""
    with trio.fail_after(RUN_TIMEOUT_S):
        async with open_far_sides(workload, certificate) as far:
            far_before, ours_before = [side.cpu_s() for side in far.each], time.process_time()
            machine = MachineTime()
            ends, cost = await run(workload, far)
            far_cpu = [side.cpu_s() - before for side, before in zip(far.each, far_before, strict=True)]
            harness_cpu = time.process_time() - ours_before
            others_busy = machine.busy_for_others(sum(far_cpu) + harness_cpu + cost.cpu_s)
            await _check(workload, far, ends)
    return _figures(workload, ends, cost, far_cpu, harness_cpu, others_busy)


async def _check(workload: Workload, far: FarSides, ends: Ends) -> None:
    if ends.failed:
        raise WorkerFailed(f"{len(ends.failed)} jobs failed, the first with: {ends.failed[0]}")
    taken = await far.sink.taken()
    if taken["requests"] < len(workload.jobs) or taken["bytes"] < workload.bytes:
        raise WorkerFailed(
            f"the sink took {taken['requests']} uploads and {taken['bytes']} bytes; "
            f"{len(workload.jobs)} and more than {workload.bytes} were due"
        )


class MachineTime:
    """What the whole machine did from now on, by Linux's /proc/stat; the hypervisor's theft counts as somebody else's.

    A run's start and end are in it and not in the run's own figures, so of a short run it tells too much.
    """

    def __init__(self) -> None:
        self._busy_s, self._cores = self._read()
        self._started_at = time.monotonic()

    def busy_for_others(self, own_s: float) -> float:
        """The share of all cores that went to others than those who took `own_s` of CPU time."""
        elapsed_s = time.monotonic() - self._started_at
        return max(0.0, self._read()[0] - self._busy_s - own_s) / elapsed_s / self._cores

    @staticmethod
    def _read() -> tuple[float, int]:
        try:
            lines = Path("/proc/stat").read_text().splitlines()
        except OSError:
            return 0.0, 1
        user, nice, system, _idle, _iowait, irq, softirq, stolen = (int(word) for word in lines[0].split()[1:9])
        busy = user + nice + system + irq + softirq + stolen
        cores = sum(line.startswith("cpu") for line in lines) - 1
        return busy / os.sysconf("SC_CLK_TCK"), cores


def _figures(
    workload: Workload, ends: Ends, cost: Cost, far_cpu: Sequence[float], harness_cpu: float, others_busy: float
) -> Figures:
    seconds = max(ends.at_s.values())
    cores = os.cpu_count() or 1
    kinds = {job.kind for job in workload.jobs}
    judged = [job for job in workload.jobs if kinds == {job.kind} or job.kind == "photo"]
    waits = [ends.at_s[job.number] - job.at_s for job in judged]
    return Figures(
        seconds=seconds,
        jobs_per_s=len(workload.jobs) / seconds,
        mb_per_s=workload.bytes / 1e6 / seconds,
        p50_s=percentile(waits, 0.5) or 0.0,
        p95_s=percentile(waits, 0.95) or 0.0,
        cpu_s=cost.cpu_s,
        peak_mb=cost.peak_rss_bytes / 1e6,
        own_busy=cost.cpu_s / seconds / min(cost.cores, cores),
        far_busy=max(far_cpu) / seconds,
        machine_busy=(cost.cpu_s + sum(far_cpu) + harness_cpu) / seconds / cores,
        others_busy=others_busy,
    )


def held_by(figures: Figures, workload: Workload) -> str:
    """What kept a run from being faster, as far as CPU time and the latencies tell."""
    floor_s = workload.floor_s * len(workload.jobs) / WORKERS
    if floor_s and not workload.paced and figures.seconds < floor_s / BUSY:
        return "the latencies"
    if figures.far_busy > BUSY:
        return "**the far side**"
    if figures.own_busy > BUSY:
        return "its own CPU"
    if figures.machine_busy > BUSY:
        return "the machine's cores, shared with the far sides and the client"
    if figures.machine_busy + figures.others_busy > BUSY:
        return f"the machine's other users ({figures.others_busy:.0%} of it)"
    return "the latencies" if workload.paced else "waiting: disk syncs, hand-overs"


def median(runs: Sequence[Figures]) -> Figures:
    each: list[Mapping[str, Any]] = [asdict(run) for run in runs]
    return Figures(**{name: statistics.median(one[name] for one in each) for name in each[0]})
