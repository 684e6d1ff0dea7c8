"""The tables of a SQLite file, seen through one connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from attrs import frozen

from streamwarm.backlog.core.odd import OddRows
from streamwarm.backlog.core.survey import Page, read_page
from streamwarm.backlog.sqlite.attempts import SqliteAttempts
from streamwarm.backlog.sqlite.jobs import SqliteJobs
from streamwarm.backlog.sqlite.media import SqliteMedia
from streamwarm.backlog.sqlite.shared import SqliteShared
from streamwarm.backlog.sqlite.statements import Statements


@frozen(eq=False)
class SqliteTables:
    """The `Tables` of one connection, whose row factory is `sqlite3.Row`."""

    connection: sqlite3.Connection
    jobs: SqliteJobs
    attempts: SqliteAttempts
    media: SqliteMedia
    shared: SqliteShared
    _sql: Statements
    _odd: OddRows

    @classmethod
    def over(cls, connection: sqlite3.Connection, queries: Mapping[str, str], odd: OddRows) -> SqliteTables:
        statements = Statements(connection, queries)
        return cls(
            connection,
            SqliteJobs(statements, odd),
            SqliteAttempts(statements, odd),
            SqliteMedia(statements, odd),
            SqliteShared(statements, odd),
            statements,
            odd,
        )

    def survey(self, page: Page) -> Page | None:
        return read_page(page, self._odd, self._sql.all)
