"""Named statements over a PostgreSQL connection, for one transaction.

The connection is in pipeline mode: a statement whose result nobody asks for is only sent, so a transaction waits for
the server once for each *reading* it does and once for its end, whatever it writes. A reading ends with a
synchronisation: only then does the server see a session as idle, and end it when this host hangs with locks in hand.
Rows go over as one array a column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import define
from psycopg import Cursor, Pipeline

from streamwarm.backlog.postgres.server import PgConnection


@define(eq=False)
class Statements:
    """What one transaction says. `wrote`: whether it changes anything."""

    connection: PgConnection
    _pipeline: Pipeline
    _queries: Mapping[str, str]
    wrote: bool = False

    def _one(self, query: str, **parameters: object) -> dict[str, Any] | None:
        return self._read(query, **parameters).fetchone()

    def _all(self, query: str, **parameters: object) -> list[dict[str, Any]]:
        return self._read(query, **parameters).fetchall()

    def _read(self, query: str, **parameters: object) -> Cursor[dict[str, Any]]:
        cursor = self._run(query, **parameters)
        self._pipeline.sync()
        return cursor

    def _write(self, query: str, **parameters: object) -> Cursor[dict[str, Any]]:
        self.wrote = True
        return self._run(query, **parameters)

    def _run(self, query: str, **parameters: object) -> Cursor[dict[str, Any]]:
        return self.connection.execute(self._queries[query], parameters)


def columns(found: Iterable[Mapping[str, object]]) -> dict[str, list[Any]]:
    """Rows as one list a column."""
    whole = list(found)
    return {name: _same_type(name, [row[name] for row in whole]) for name in whole[0]}


def _same_type(name: str, values: list[Any]) -> list[Any]:
    """A list goes over as one type; a time may be a whole number to Python."""
    if name == "at" or name.endswith("_at"):
        return [None if value is None else float(value) for value in values]
    return values
