"""The targets, judged: what was wanted, what was measured, and by how much it is missed. Pure.

They are those that the service was built to. Where one is missed, what held ours back is the run's own word, `held_by`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from peers.measure import Figures, held_by, median
from peers.workloads import WORKERS, Workload

OURS, OURS_TWICE = "streamwarm", "streamwarm-2"
BUFFERED, STREAMING = "seed-buffered", "seed-streaming"
SEED_PER_MINUTE, SEED_P95_MS, SEED_MEMORY_SAVED = 150, 500, 0.90
"""The replaced worker's own headline: media a minute, P95 in milliseconds, memory saved."""

_BASE = "the interpreter, its modules and pools: {:,.0f} MB whatever the work"

Medians = Mapping[str, Mapping[str, Figures]]


@frozen
class Judged:
    """One target. `missed_by` is a share of what was wanted, 0 or less where it is met."""

    target: str
    measured: str
    missed_by: float
    held: str = ""

    def as_row(self) -> str:
        verdict = "met" if self.missed_by <= 0 else f"**missed by {max(0.01, self.missed_by):.0%}**"
        return f"| {self.target} | {self.measured} | {verdict} | {self.held if self.missed_by > 0 else ''} |"


def medians_of(runs: Mapping[str, Mapping[str, Sequence[Figures]]]) -> Medians:
    return {
        name: {worker: median(figures) for worker, figures in by_worker.items() if figures}
        for name, by_worker in runs.items()
    }


def targets_table(workloads: Mapping[str, Workload], medians: Medians, copied: Mapping[str, Any] | None) -> str:
    """One row a target that these runs can judge; `copied` are the copy's medians by copier."""
    judged = [*_against_seed(workloads, medians), *_by_latency(workloads, medians)]
    judged += [*_headline(workloads, medians), *_copy(copied or {})]
    lines = ["### Targets", "", "| target | measured | | what holds it |", "|---|---|---|---|"]
    return "\n".join([*lines, *(one.as_row() for one in judged)])


def _at_least(target: str, wanted: float, got: float, measured: str, held: str) -> Judged:
    return Judged(target, measured, 1 - got / wanted, held)


def _at_most(target: str, wanted: float, got: float, measured: str, held: str) -> Judged:
    return Judged(target, measured, got / wanted - 1, held)


def _against_seed(workloads: Mapping[str, Workload], medians: Medians) -> Iterable[Judged]:
    photos = medians.get("a", {})
    if BUFFERED in photos:
        ours = [(name, photos[name]) for name in (OURS, OURS_TWICE) if name in photos]
        if ours:
            name, best = max(ours, key=lambda one: one[1].jobs_per_s)
            ratio = best.jobs_per_s / photos[BUFFERED].jobs_per_s
            each = ", ".join(f"{n} {f.jobs_per_s / photos[BUFFERED].jobs_per_s:.2f} ×" for n, f in ours)
            held = f"{name}: {held_by(best, workloads['a'])}"
            yield _at_least("(a) throughput at least that of seed-buffered", 1.0, ratio, each, held)
    for name in ("b", "c"):
        for peer, share, words in ((BUFFERED, 1 / 3, "a third"), (STREAMING, 1 / 2, "half")):
            if {OURS, peer} <= medians.get(name, {}).keys():
                ours_, against = medians[name][OURS], medians[name][peer]
                speed, memory = ours_.mb_per_s / against.mb_per_s, ours_.peak_mb / against.peak_mb
                held = held_by(ours_, workloads[name])
                yield _at_least(
                    f"({name}) at least 1.25 × the throughput of {peer}", 1.25, speed, f"{speed:.2f} ×", held
                )
                yield _at_most(
                    f"({name}) at most {words} of the memory of {peer}",
                    share,
                    memory,
                    f"{memory:.2f} ({ours_.peak_mb:,.0f} of {against.peak_mb:,.0f} MB)",
                    _BASE.format(ours_.peak_mb),
                )


def _by_latency(workloads: Mapping[str, Workload], medians: Medians) -> Iterable[Judged]:
    if OURS in medians.get("d", {}):
        ours, workload = medians["d"][OURS], workloads["d"]
        most = WORKERS / workload.floor_s
        measured = f"{ours.jobs_per_s / most:.1%} of {most:.2f} jobs a second"
        held = held_by(ours, workload)
        rounds = len(workload.jobs) / WORKERS
        if rounds != int(rounds) or rounds < 20:
            held += f"; {len(workload.jobs)} jobs are {rounds:.1f} rounds of five, too few to fill them"
        # By the contract's priority videos go last, so all of their bytes are moved at once, when no photo fills in.
        held += f"; the {workload.bytes / 1e6:,.0f} MB themselves, most of them in the last rounds, are left out of it"
        yield _at_least("(d) at least 95 % of 5 / latency", 0.95, ours.jobs_per_s / most, measured, held)
    if OURS in medians.get("paced", {}):
        ours, workload = medians["paced"][OURS], workloads["paced"]
        ideal = ideal_p95_s(workload) / workload.floor_s
        measured = f"{ours.p95_s / workload.floor_s:.2f} × ({ours.p95_s * 1000:,.0f} ms)"
        held = f"{held_by(ours, workload)}; five workers that took no more than those would have {ideal:.2f} ×"
        yield _at_most(
            "(paced) p95 of photos at most 1.2 × the latencies", 1.2, ours.p95_s / workload.floor_s, measured, held
        )


def ideal_p95_s(workload: Workload) -> float:
    """The p95 of photos, in seconds, by five workers that take the latencies and no more, in order of arrival."""
    free_at = [0.0] * WORKERS
    waits = []
    for job in sorted(workload.jobs, key=lambda job: job.at_s):
        free_at.sort()
        free_at[0] = max(free_at[0], job.at_s) + workload.floor_s
        if job.kind == "photo":
            waits.append(free_at[0] - job.at_s)
    waits.sort()
    return waits[max(0, -(-95 * len(waits) // 100) - 1)] if waits else workload.floor_s


def _headline(workloads: Mapping[str, Workload], medians: Medians) -> Iterable[Judged]:
    for name in ("a", "d"):
        if OURS in medians.get(name, {}):
            a_minute = medians[name][OURS].jobs_per_s * 60
            target = f"the seed's headline in ({name}): {SEED_PER_MINUTE} media a minute"
            held = held_by(medians[name][OURS], workloads[name])
            yield _at_least(target, SEED_PER_MINUTE, a_minute, f"{a_minute:,.0f}", held)
    if OURS in medians.get("paced", {}):
        p95_ms, floor_ms = medians["paced"][OURS].p95_s * 1000, workloads["paced"].floor_s * 1000
        target = f"the seed's headline in (paced): P95 of {SEED_P95_MS} ms"
        held = f"{floor_ms:.0f} ms of it are the latencies that this run gives its far sides"
        yield _at_most(target, SEED_P95_MS, p95_ms, f"{p95_ms:,.0f} ms", held)
    for name in ("b", "c"):
        if {OURS, BUFFERED} <= medians.get(name, {}).keys():
            ours, against = medians[name][OURS].peak_mb, medians[name][BUFFERED].peak_mb
            saved = 1 - ours / against
            yield _at_least(
                f"the seed's headline in ({name}): {SEED_MEMORY_SAVED:.0%} less memory, than seed-buffered",
                SEED_MEMORY_SAVED,
                saved,
                f"{saved:.0%} less",
                _BASE.format(ours),
            )


def _copy(copied: Mapping[str, Any]) -> Iterable[Judged]:
    if {"streamwarm", "rclone"} <= copied.keys():
        ours, against = copied["streamwarm"], copied["rclone"]
        speed, memory = against["elapsed_s"] / ours["elapsed_s"], ours["peak_rss_mb"] / against["peak_rss_mb"]
        held = "Python's start, and what a small object costs in Python"
        yield _at_least("(copy) throughput at least rclone's", 1.0, speed, f"{speed:.2f} ×", held)
        yield _at_most(
            "(copy) at most half of rclone's memory", 0.5, memory, f"{memory:.2f}", "rclone holds little of so little"
        )
