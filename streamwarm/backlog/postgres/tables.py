"""The tables of a PostgreSQL database, for one transaction."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen
from psycopg import Pipeline

from streamwarm.backlog.postgres.attempts import PostgresAttempts
from streamwarm.backlog.postgres.jobs import PostgresJobs
from streamwarm.backlog.postgres.media import PostgresMedia
from streamwarm.backlog.postgres.server import PgConnection
from streamwarm.backlog.postgres.shared import PostgresShared
from streamwarm.backlog.postgres.statements import PgCursor, Statements


@frozen(eq=False)
class PostgresTables:
    """The `Tables` of one transaction. It locks what it reads in order to change it."""

    jobs: PostgresJobs
    attempts: PostgresAttempts
    media: PostgresMedia
    shared: PostgresShared
    _sql: Statements

    @classmethod
    def over(cls, connection: PgConnection, pipeline: Pipeline, queries: Mapping[str, str]) -> PostgresTables:
        sql = Statements(connection, pipeline, queries)
        return cls(PostgresJobs(sql), PostgresAttempts(sql), PostgresMedia(sql), PostgresShared(sql), sql)

    @property
    def wrote(self) -> bool:
        """Whether the transaction changes anything."""
        return self._sql.wrote

    def finish(self) -> PgCursor | None:
        """Write what was collected in memory.

        Returns the cursor that will have the newest event's `seq` (`value`), or None if there was no event.
        """
        self.media.write_collected()
        return self.jobs.write_collected()
