"""The order of jobs as its rule reads: look at every job, every time. Queue and stores are held against it."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from streamwarm.model import QueuedJob, Route
from streamwarm.priority import score


@define
class NaiveQueue:
    """`served` are destinations, the one served last at the end."""

    max_wait_s: float
    jobs: list[QueuedJob] = field(factory=list)
    served: list[str] = field(factory=list)

    def pop_best(self, now: float, free_at: Callable[[Route], float]) -> QueuedJob | None:
        may_go = [job for job in self.jobs if free_at(job.route) <= now]
        if not may_go:
            return None
        best = min(may_go, key=lambda job: self._rank(job, now))
        self.jobs.remove(best)
        self.served.append(best.destination)
        return best

    def _rank(self, job: QueuedJob, now: float) -> tuple[bool, int, int, float, int]:
        waited_s = now - job.queued_at
        in_time = waited_s < self.max_wait_s
        points = score(job.kind, job.bytes, waited_s) if in_time else 0
        return in_time, -points, self._turn(job.destination), job.queued_at, job.seq

    def _turn(self, destination: str) -> int:
        return max((n for n, served in enumerate(self.served, 1) if served == destination), default=0)
