"""The queued jobs that the dispatcher holds, best first. Pure: time is passed in (Unix seconds).

A binary heap of `(-score, seq)` with lazy deletion: an entry counts only while it is the newest one of its job. A job's
score changes twice in its life, at known times, so a second heap holds those times and a change costs O(log n); nothing
is ever scanned to find the best.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable

from attrs import define, field, frozen

from streamwarm.dispatch.priority import next_change_s, score
from streamwarm.model import QueuedJob

OVERDUE = 1_000_000
"""Added to the score of a job that waited `max_wait_s`: above any score of the table, so that nothing starves."""


@frozen
class _Held:
    job: QueuedJob
    score: int


@define
class ReadyQueue:
    """At most `max_queue` jobs; `max_wait_s` as in the contract."""

    max_queue: int
    max_wait_s: float
    _held: dict[str, _Held] = field(factory=dict)
    _best: list[tuple[int, int, str]] = field(factory=list)
    _changes: list[tuple[float, str]] = field(factory=list)

    def __len__(self) -> int:
        return len(self._held)

    def replace(self, jobs: Iterable[QueuedJob], now: float) -> None:
        """Hold these instead, the store's best, at most `max_queue` of them."""
        self._held.clear()
        self._best.clear()
        self._changes.clear()
        for job in itertools.islice(jobs, self.max_queue):
            self._place(job, now)

    def reorder(self, now: float) -> int:
        """Re-score the jobs whose waiting time has crossed a line; how many changed."""
        changed = 0
        while self._changes and self._changes[0][0] <= now:
            _, job_id = heapq.heappop(self._changes)
            held = self._held.get(job_id)
            if held is not None:
                before = held.score
                self._place(held.job, now)
                changed += self._held[job_id].score != before
        return changed

    def pop_best(self, now: float, allowed: Callable[[QueuedJob], bool]) -> QueuedJob | None:
        """The best job that may be handed out now, or None. Those that may not keep their places."""
        self.reorder(now)
        passed_over: list[tuple[int, int, str]] = []
        found: QueuedJob | None = None
        while self._best and found is None:
            entry = heapq.heappop(self._best)
            held = self._held.get(entry[2])
            if held is None or -entry[0] != held.score or entry[1] != held.job.seq:
                continue  # an entry from before a change of score
            if allowed(held.job):
                found = held.job
            else:
                passed_over.append(entry)
        for entry in passed_over:
            heapq.heappush(self._best, entry)
        if found is not None:
            del self._held[found.id]
        return found

    def _place(self, job: QueuedJob, now: float) -> None:
        waited_s = now - job.queued_at
        points = score(job.kind, job.bytes, waited_s) + (OVERDUE if waited_s >= self.max_wait_s else 0)
        self._held[job.id] = _Held(job, points)
        heapq.heappush(self._best, (-points, job.seq, job.id))
        change_s = next_change_s(waited_s)
        if waited_s < self.max_wait_s:
            change_s = min(change_s, self.max_wait_s) if change_s is not None else self.max_wait_s
        if change_s is not None:
            # STALE_POINTS apply *after* ten minutes: an instant later, so that the change is seen when it is looked at.
            heapq.heappush(self._changes, (job.queued_at + change_s + 1e-3, job.id))
