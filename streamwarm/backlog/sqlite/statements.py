"""Runs named queries over a SQLite connection.

Rows are looked up with one statement per key, not with lists in one statement. A prepared look-up costs a few
microseconds, and a client's text never has to be packed into JSON or SQL.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

from attrs import frozen

from streamwarm.backlog.core.odd import Row

MAX_INTEGER = 2**63 - 1
"""SQLite's largest integer: an upper bound for any `seq` or score."""


@frozen(eq=False)
class Statements:
    """The queries by name, over one connection whose row factory is `sqlite3.Row`."""

    connection: sqlite3.Connection
    _queries: Mapping[str, str]

    def one(self, query: str, **parameters: object) -> Row:
        """The first row, or None."""
        return self.cursor(query, **parameters).fetchone()

    def all(self, query: str, **parameters: object) -> list[Row]:
        return self.cursor(query, **parameters).fetchall()

    def run(self, query: str, **parameters: object) -> int:
        """Returns how many rows it changed."""
        return self.cursor(query, **parameters).rowcount

    def run_many(self, query: str, parameters: Iterable[Mapping[str, object]]) -> None:
        self.connection.executemany(self._queries[query], list(parameters))

    def cursor(self, query: str, **parameters: object) -> sqlite3.Cursor:
        return self.connection.execute(self._queries[query], parameters)
