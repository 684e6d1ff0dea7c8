"""From jobs that were chosen to claims in lanes. Pure.

Several processes hold the best of one queue in one order, so often another one was faster to take a job. In its place
comes the next best of the same destination (a spare): the lane that was reserved for the one will do for the other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from attrs import evolve, frozen

from streamwarm.dispatch.ready_queue import ReadyQueue
from streamwarm.model import Claim, Lane, QueuedJob

SPARES = 16
"""How many jobs may be claimed in the place of one. Of two processes that share a queue, half of the claims came to
nothing without any, each at the price of a commit, and of a new look at the queue."""


@frozen
class Chosen:
    """A job with the lane that is reserved for it."""

    job: QueuedJob
    lane: Lane | None


def spares_for(chosen: Sequence[Chosen], queue: ReadyQueue) -> dict[str, list[str]]:
    """The ids of each destination's next best jobs."""
    return {name: queue.spares(name, SPARES) for name in {one.job.destination for one in chosen}}


def passed_over(chosen: Sequence[Chosen], spares: dict[str, list[str]], claims: Sequence[Claim]) -> list[str]:
    """The spares that are not queued any more: those up to the last that was claimed, and where a place stayed empty,
    all of them."""
    asked, got = (Counter(one.job.destination for one in some) for some in (chosen, claims))
    ids = {claim.job.id for claim in claims}
    gone: list[str] = []
    for name, held in spares.items():
        last = max((place for place, job_id in enumerate(held) if job_id in ids), default=-1)
        gone += held if got[name] < asked[name] else held[: last + 1]
    return gone


def in_lanes(chosen: Sequence[Chosen], claims: Sequence[Claim]) -> tuple[list[Claim], list[Chosen]]:
    """Each claim with a lane that was reserved at its destination; and for whom nothing was left."""
    claimed: dict[str, list[Claim]] = defaultdict(list)
    for claim in reversed(claims):
        claimed[claim.job.destination].append(claim)
    placed: list[Claim] = []
    without: list[Chosen] = []
    for one in chosen:
        if claimed[one.job.destination]:
            placed.append(evolve(claimed[one.job.destination].pop(), lane=one.lane))
        else:
            without.append(one)
    return placed, without
