"""Runs named queries over a PostgreSQL connection, for one transaction.

The connection is in pipeline mode: a statement whose result is not read is only sent. A transaction waits for the
server once per query whose rows it reads, and once at the commit, however much it writes. Each such read ends with a
sync; only then does the server see the session as idle, which lets it end the session if this host hangs while it holds
locks.
Many rows are sent as one array per column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import define
from psycopg import Cursor, Pipeline

from streamwarm.backlog.postgres.server import PgConnection

PgCursor = Cursor[dict[str, Any]]


@define(eq=False)
class Statements:
    """The queries by name, for one transaction. `wrote`: whether the transaction changes anything."""

    _connection: PgConnection
    _pipeline: Pipeline
    _queries: Mapping[str, str]
    wrote: bool = False

    def one(self, query: str, **parameters: object) -> dict[str, Any] | None:
        """The first row, or None. Waits for the server."""
        return self._read(query, **parameters).fetchone()

    def all(self, query: str, **parameters: object) -> list[dict[str, Any]]:
        """All rows. Waits for the server."""
        return self._read(query, **parameters).fetchall()

    def write(self, query: str, **parameters: object) -> PgCursor:
        """Send a statement that changes rows."""
        self.wrote = True
        return self.send(query, **parameters)

    def change(self, query: str, **parameters: object) -> bool:
        """Change at most one row and wait for the server. Returns True if there was one to change."""
        self.wrote = True
        return self.one(query, **parameters) is not None

    def send(self, query: str, **parameters: object) -> PgCursor:
        """Send a statement. Its cursor has rows after the next `sync`."""
        return self._connection.execute(self._queries[query], parameters)

    def sync(self) -> None:
        """Wait for the results of all that was sent."""
        self._pipeline.sync()

    def _read(self, query: str, **parameters: object) -> PgCursor:
        cursor = self.send(query, **parameters)
        self.sync()
        return cursor


def columns(found: Iterable[Mapping[str, object]]) -> dict[str, list[Any]]:
    """Rows as one list per column. There must be at least one row."""
    whole = list(found)
    return {name: _same_type(name, [row[name] for row in whole]) for name in whole[0]}


def _same_type(name: str, values: list[Any]) -> list[Any]:
    """A list is sent as one type, but a time may be an `int` in Python."""
    if name == "at" or name.endswith("_at"):
        return [None if value is None else float(value) for value in values]
    return values
