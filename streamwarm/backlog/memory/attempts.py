"""Attempts that have ended, in a dictionary."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

from attrs import define, field

from streamwarm.attempts import AttemptRecord, LaneAttempt
from streamwarm.backlog.core.attempts import KEPT_ATTEMPTS
from streamwarm.model import Job


@define(eq=False)
class MemoryAttempts:
    """An `AttemptTable`. `_attempts` has each job's by number; `_job` returns a stored job by its id."""

    _job: Callable[[str], Job | None]
    _attempts: dict[str, dict[int, AttemptRecord]] = field(factory=dict)

    def append(self, attempts: Sequence[AttemptRecord]) -> None:
        for one in attempts:
            of_job = self._attempts.setdefault(one.job_id, {})
            of_job.setdefault(one.number, one)
            of_job.pop(one.number - KEPT_ATTEMPTS, None)

    def of_job(self, job_id: str) -> list[AttemptRecord]:
        return list(self._attempts.get(job_id, {}).values())

    def at_lane(self, lane: str, *, since: float, limit: int) -> list[LaneAttempt]:
        found = (
            LaneAttempt(job.id, job.destination, job.kind, one.ended_at, one.outcome, one.error)
            for job_id, of_job in self._attempts.items()
            if (job := self._job(job_id)) is not None
            for one in of_job.values()
            if one.lane == lane and one.ended_at is not None and one.ended_at > since and one.outcome is not None
        )
        return heapq.nlargest(limit, found, key=lambda one: one.ended_at)

    def delete(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._attempts.pop(job.id, None)
