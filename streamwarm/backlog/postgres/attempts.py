"""Attempts that have ended, in PostgreSQL. All of a transaction's are written with one statement, without a reading."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from streamwarm.attempts import AttemptRecord, LaneAttempt
from streamwarm.backlog.core import rows
from streamwarm.backlog.core.attempts import KEPT_ATTEMPTS
from streamwarm.backlog.core.decode import ATTEMPTS, LANE_ATTEMPTS
from streamwarm.backlog.core.odd import OddRows
from streamwarm.backlog.postgres.statements import Statements, columns
from streamwarm.model import Job


@frozen(eq=False)
class PostgresAttempts:
    """An `AttemptTable`."""

    _sql: Statements
    _odd: OddRows

    def append(self, attempts: Sequence[AttemptRecord]) -> None:
        if not attempts:
            return
        self._sql.write("insert_attempts", **columns(map(rows.attempt_row, attempts)))
        old = [one for one in attempts if one.number > KEPT_ATTEMPTS]
        if old:
            self._sql.write(
                "delete_old_attempts",
                job_id=[one.job_id for one in old],
                up_to=[one.number - KEPT_ATTEMPTS for one in old],
            )

    def of_job(self, job_id: str) -> list[AttemptRecord]:
        return self._odd.read_all(ATTEMPTS, self._sql.all("attempts_of_job", job_id=job_id))

    def at_lane(self, lane: str, *, since: float, limit: int) -> list[LaneAttempt]:
        found = self._sql.all("attempts_at_lane", lane=lane, since=since, limit=limit)
        return self._odd.read_all(LANE_ATTEMPTS, found)

    def delete(self, jobs: Sequence[Job]) -> None:
        if jobs:
            self._sql.write("delete_attempts_of_jobs", ids=[job.id for job in jobs])
