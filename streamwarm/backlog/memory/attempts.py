"""Attempts that have ended, in a dictionary."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from streamwarm.backlog.core.attempts import KEPT_ATTEMPTS
from streamwarm.model import AttemptRecord, Job


@define(eq=False)
class MemoryAttempts:
    """An `AttemptTable`. `_attempts` has each job's by number."""

    _attempts: dict[str, dict[int, AttemptRecord]] = field(factory=dict)

    def append(self, attempts: Sequence[AttemptRecord]) -> None:
        for one in attempts:
            of_job = self._attempts.setdefault(one.job_id, {})
            of_job.setdefault(one.number, one)
            of_job.pop(one.number - KEPT_ATTEMPTS, None)

    def of_job(self, job_id: str) -> list[AttemptRecord]:
        return list(self._attempts.get(job_id, {}).values())

    def delete(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._attempts.pop(job.id, None)
