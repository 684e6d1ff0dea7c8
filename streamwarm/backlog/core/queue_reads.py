"""Reads the best queued jobs, inside one transaction. Synchronous and without I/O of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from attrs import frozen

from streamwarm.backlog.core.ordering import bands_by_right, fair_shares, rank
from streamwarm.backlog.core.tables import JobTable
from streamwarm.fetch.source import CachedObject
from streamwarm.model import Kind, MediaKey, QueuedJob, State
from streamwarm.priority import PausedTimes


@frozen
class Wanted:
    """Which jobs `Store.queued` asks for; see there."""

    limit: int
    without: Collection[str]
    paused: PausedTimes
    copies: Collection[CachedObject] | None
    refused_kinds: Mapping[str, Collection[Kind]]

    def takes(self, job: QueuedJob) -> bool:
        return job.kind not in self.refused_kinds.get(job.destination, ())


def read_queue(jobs: JobTable, now: float, max_wait_s: float, wanted: Wanted) -> list[QueuedJob]:
    """Returns the best `limit` jobs, best first."""
    counts = {name: count for name, count in jobs.queued_counts().items() if count and name not in wanted.without}
    overdue_to = {name: wanted.paused.of(name).overdue_to(now, max_wait_s) for name in counts}
    if wanted.copies is not None:
        best = [job for job in _served_by(wanted.copies, jobs, list(counts)) if wanted.takes(job)]
    else:
        best = []
        for name, share in fair_shares(counts, wanted.limit).items():
            if counts[name] <= share:
                best += filter(wanted.takes, jobs.queued_at(name))
            else:
                kinds = wanted.refused_kinds.get(name, ())
                best += _best_of(jobs, name, share, now=now, overdue_to=overdue_to[name], without_kinds=kinds)
    best.sort(key=lambda job: rank(job, now=now, overdue_to=overdue_to[job.destination]))
    return best[: wanted.limit]


def _served_by(copies: Collection[CachedObject], jobs: JobTable, destinations: Sequence[str]) -> list[QueuedJob]:
    """Returns the queued jobs that one of `copies` can serve, in any order.

    A live job is found by its media key, so no other queued job is read. Each copy costs two look-ups per destination
    and kind: of the job that names its digest, and of the one that names none.
    """
    served: set[tuple[str, str | None]] = {(one.r2_key, sha256) for one in copies for sha256 in (None, one.sha256)}
    keys = {
        MediaKey.of(name, kind, sha256=sha256, r2_key=r2_key)
        for name in destinations
        for kind in Kind
        for r2_key, sha256 in served
    }
    # A key with a digest is found under any name, so the name is compared too.
    live = jobs.live(keys).values()
    return [s.as_queued for s in live if s.job.state is State.QUEUED and (s.job.r2_key, s.job.sha256) in served]


def _best_of(
    jobs: JobTable,
    destination: str,
    share: int,
    *,
    now: float,
    overdue_to: float,
    without_kinds: Collection[Kind],
) -> list[QueuedJob]:
    best: list[QueuedJob] = []
    scores = jobs.base_scores(destination)
    for bands in bands_by_right(destination, scores, now=now, overdue_to=overdue_to, without_kinds=without_kinds):
        missing = share - len(best)
        if missing <= 0:
            break
        best += jobs.queued_in(bands, missing)
    return best
