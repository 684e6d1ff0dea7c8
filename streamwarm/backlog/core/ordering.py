"""Which queued jobs go first, without reading the whole queue.

A job's score is a base that never changes plus points for its age (contract, section 4). The base has few values (15
today) and age has three bands. A fourth band, of jobs that waited `max_wait_s`, goes before all. So the order within a
destination is a merge of at most 60 ranges. An index on `(destination, base_score, queued_at, seq)` already has each of
them in order. Ties go by arrival in the queue: `(queued_at, seq)`.

Destinations with jobs of equal score are served round-robin, and only the ready queue knows which is next. So it is
given a share of each destination's jobs, and no destination can fill the queue while another one waits.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping

from attrs import frozen

from streamwarm.model import Kind, QueuedJob
from streamwarm.priority import FRESH_S, STALE_S, age_points, score


@frozen
class Band:
    """The queued jobs of one destination and base score with `from_at <= queued_at <= to_at`.

    `without_kinds` are left out: each stands between commas (`,voice,`), so that one text serves every database.
    """

    destination: str
    base_score: int
    from_at: float
    to_at: float
    without_kinds: str = ""

    def has_kind(self, kind: Kind) -> bool:
        return f",{kind.value}," not in self.without_kinds


def bands_by_right(
    destination: str,
    base_scores: Iterable[int],
    *,
    now: float,
    overdue_to: float,
    without_kinds: Collection[Kind] = (),
) -> list[list[Band]]:
    """All bands of a destination, best first; bands of equal right are in one list.

    Jobs that were queued at `overdue_to` or before come first: they waited `max_wait_s` outside the pauses. Then come
    the others by score. Both times are Unix seconds.
    """
    ages = (
        (age_points(0.0), math.nextafter(now - FRESH_S, math.inf), math.inf),
        (age_points(FRESH_S), now - STALE_S, now - FRESH_S),
        (age_points(math.inf), -math.inf, math.nextafter(now - STALE_S, -math.inf)),
    )
    without = "".join(f",{kind.value}," for kind in sorted(without_kinds))
    groups: dict[float, list[Band]] = {}
    for base in base_scores:
        groups.setdefault(math.inf, []).append(Band(destination, base, -math.inf, overdue_to, without))
        for points, from_at, to_at in ages:
            band = Band(destination, base, max(from_at, math.nextafter(overdue_to, math.inf)), to_at, without)
            if band.from_at <= band.to_at:
                groups.setdefault(base + points, []).append(band)
    return [groups[right] for right in sorted(groups, reverse=True)]


def rank(job: QueuedJob, *, now: float, overdue_to: float) -> tuple[float, float, int]:
    """The order of `bands_by_right` as a sort key: the lower goes first."""
    right = math.inf if job.queued_at <= overdue_to else score(job.kind, job.bytes, now - job.queued_at)
    return (-right, job.queued_at, job.seq)


def fair_shares(queued: Mapping[str, int], limit: int) -> dict[str, int]:
    """How many jobs to read of each destination, given how many each has: as equal as possible, `limit` in total.

    Every destination gets at least one, so the total exceeds `limit` if there are more destinations than that.
    """
    shares: dict[str, int] = {}
    left = limit
    for number, (destination, jobs) in enumerate(sorted(queued.items(), key=lambda item: item[1])):
        equal = -(-left // (len(queued) - number))  # rounded up, so that all of `limit` is used
        shares[destination] = min(jobs, max(1, equal))
        left = max(0, left - shares[destination])
    return shares
