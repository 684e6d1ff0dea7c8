"""The tables of a PostgreSQL database, for one transaction."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen
from psycopg import Pipeline

from streamwarm.backlog.core.odd import OddRows
from streamwarm.backlog.core.survey import Page, read_page
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
    _odd: OddRows

    @classmethod
    def over(
        cls, connection: PgConnection, pipeline: Pipeline, queries: Mapping[str, str], odd: OddRows
    ) -> PostgresTables:
        sql = Statements(connection, pipeline, queries)
        tables = PostgresJobs(sql, odd), PostgresAttempts(sql, odd), PostgresMedia(sql, odd), PostgresShared(sql, odd)
        return cls(*tables, sql, odd)

    def survey(self, page: Page) -> Page | None:
        return read_page(page, self._odd, self._sql.all)

    @property
    def wrote(self) -> bool:
        """Whether the transaction changes anything."""
        return self._sql.wrote

    def finish(self) -> PgCursor | None:
        """Write what was collected in memory.

        Returns the cursor that will have the newest event's `seq` (`value`), or None if there was no event.
        """
        self.media.write_collected()
        return self.jobs.write_collected(self.media)
