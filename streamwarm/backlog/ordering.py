"""Which queued jobs go first, without reading the whole queue.

A job's score is a base that never changes plus points for its age (contract, section 4). The base takes few
values (15 today) and age has three bands, so the order is a merge of at most 45 ranges, each of which an
index on `(base_score, queued_at, seq)` already holds in order. Jobs older than `max_wait_s` go before all,
oldest first. Ties go by arrival in the queue: `(queued_at, seq)`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from attrs import frozen

from streamwarm.dispatch.priority import FRESH_S, STALE_S, age_points, score
from streamwarm.model import QueuedJob


@frozen
class Band:
    """The queued jobs of one base score with `from_at <= queued_at <= to_at`; all have the same score now."""

    base_score: int
    from_at: float
    to_at: float


def overdue_before(now: float, max_wait_s: float) -> float:
    """A job queued before this moment has waited too long."""
    return now - max_wait_s


def bands_by_score(base_scores: Iterable[int], *, now: float, max_wait_s: float) -> list[list[Band]]:
    """All bands that are not overdue, those of equal score together, best first."""
    fresh_from = math.nextafter(now - FRESH_S, math.inf)
    stale_to = math.nextafter(now - STALE_S, -math.inf)
    ages = (
        (age_points(0.0), fresh_from, math.inf),
        (age_points(FRESH_S), now - STALE_S, now - FRESH_S),
        (age_points(math.inf), -math.inf, stale_to),
    )
    groups: dict[int, list[Band]] = {}
    for base in base_scores:
        for points, from_at, to_at in ages:
            band = Band(base, max(from_at, overdue_before(now, max_wait_s)), to_at)
            if band.from_at <= band.to_at:
                groups.setdefault(base + points, []).append(band)
    return [groups[total] for total in sorted(groups, reverse=True)]


def rank(job: QueuedJob, *, now: float, max_wait_s: float) -> tuple[float, float, int]:
    """The same order as a sort key: lower goes first."""
    if job.queued_at < overdue_before(now, max_wait_s):
        return (-math.inf, job.queued_at, job.seq)
    return (-score(job.kind, job.bytes, now - job.queued_at), job.queued_at, job.seq)
