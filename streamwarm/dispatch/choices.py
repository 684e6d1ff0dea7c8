"""Matches chosen jobs with the claims that the store granted, and names spares for those it could not. Pure.

Several processes load the best of one queue in one order, so another one is often faster to claim a job. Then the next
best job of the same route (a spare) is claimed instead, and goes to the lane that was reserved for the first.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from attrs import evolve, frozen

from streamwarm.dispatch.ready_queue import ReadyQueue
from streamwarm.model import Claim, Lane, QueuedJob, Route

SPARES = 16
"""How many jobs may be claimed instead of one. Without any, half of the claims of two processes that share a queue
found their job taken, and each cost a commit and another read of the queue."""


@frozen
class Chosen:
    """A job and the lane that is reserved for it, if its destination has lanes."""

    job: QueuedJob
    lane: Lane | None


def spares_for(chosen: Sequence[Chosen], queue: ReadyQueue) -> dict[Route, list[str]]:
    """Returns the ids of each route's next best loaded jobs, best first."""
    return {route: queue.spares(route, SPARES) for route in {one.job.route for one in chosen}}


def passed_over(chosen: Sequence[Chosen], spares: dict[Route, list[str]], claims: Sequence[Claim]) -> list[str]:
    """Returns the spares that are not queued any more.

    The store claims the first that is still queued. So those up to the last claimed one are taken, and all of them if
    it found too few.
    """
    asked, got = (Counter(one.job.route for one in some) for some in (chosen, claims))
    ids = {claim.job.id for claim in claims}
    gone: list[str] = []
    for route, candidates in spares.items():
        last = max((position for position, job_id in enumerate(candidates) if job_id in ids), default=-1)
        gone += candidates if got[route] < asked[route] else candidates[: last + 1]
    return gone


def in_lanes(chosen: Sequence[Chosen], claims: Sequence[Claim]) -> tuple[list[Claim], list[Chosen]]:
    """Returns each claim with a lane that was reserved for its route, and the chosen jobs that got no claim."""
    claimed: dict[Route, list[Claim]] = defaultdict(list)
    for claim in reversed(claims):
        claimed[claim.job.route].append(claim)
    with_lane: list[Claim] = []
    without: list[Chosen] = []
    for one in chosen:
        if claimed[one.job.route]:
            with_lane.append(evolve(claimed[one.job.route].pop(), lane=one.lane))
        else:
            without.append(one)
    return with_lane, without
