"""Attempts that have ended, in SQLite."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from streamwarm.attempts import AttemptRecord, LaneAttempt
from streamwarm.backlog.core import rows
from streamwarm.backlog.core.attempts import KEPT_ATTEMPTS
from streamwarm.backlog.core.decode import ATTEMPTS, LANE_ATTEMPTS
from streamwarm.backlog.core.odd import OddRows
from streamwarm.backlog.sqlite.statements import Statements
from streamwarm.model import Job


@frozen(eq=False)
class SqliteAttempts:
    """An `AttemptTable`."""

    _sql: Statements
    _odd: OddRows

    def append(self, attempts: Sequence[AttemptRecord]) -> None:
        self._sql.run_many("insert_attempt", map(rows.attempt_row, attempts))
        old = ((one.job_id, one.number - KEPT_ATTEMPTS) for one in attempts)
        self._sql.run_many(
            "delete_old_attempts", ({"job_id": job_id, "up_to": up_to} for job_id, up_to in old if up_to > 0)
        )

    def of_job(self, job_id: str) -> list[AttemptRecord]:
        return self._odd.read_all(ATTEMPTS, self._sql.all("attempts_of_job", job_id=job_id))

    def at_lane(self, lane: str, *, since: float, limit: int) -> list[LaneAttempt]:
        found = self._sql.all("attempts_at_lane", lane=lane, since=since, limit=limit)
        return self._odd.read_all(LANE_ATTEMPTS, found)

    def delete(self, jobs: Sequence[Job]) -> None:
        self._sql.run_many("delete_attempts_of_job", ({"job_id": job.id} for job in jobs))
