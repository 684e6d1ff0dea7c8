"""Odd rows: those that this version cannot read. They are set aside one by one, and everything else goes on.

A row is odd if a column has a wrong type or damaged JSON, or if a newer version wrote what this one cannot act on. It
stays in its table, is named once, and is neither handed out nor changed. Pure: `decode` reads a row or raises `Odd`,
and `OddRows` remembers which did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from attrs import define, field, frozen

from streamwarm.errors import UnreadableRow
from streamwarm.model import OddRow

T = TypeVar("T")

Row = Any
"""A `sqlite3.Row`, or any other mapping from column to value."""

Key = tuple[str, str, str]
"""Table, the row's key, and the purpose of the reading."""

KEPT_ODD_ROWS = 100_000
"""How many odd rows are remembered. It bounds the memory; rows beyond it are skipped without a name."""

_SHOWN = 80
"""The longest part of a key that a message shows, in characters."""


class Odd(Exception):
    """A row cannot be read. The message names the column and what is wrong, and never quotes the value."""


@frozen
class Reading(Generic[T]):
    """How one table's rows are read: `decode` returns the value or raises `Odd`; `key` are the columns that name it.

    `purpose` keeps apart what may fail by itself: a job can be shown that cannot be handed out.
    """

    table: str
    key: tuple[str, ...]
    decode: Callable[[Row], T]
    purpose: str = ""

    def key_of(self, row: Row) -> Key:
        return self.table, name_of(self.key, row), self.purpose


@define(eq=False)
class OddRows:
    """The odd rows that this process knows of. One per store; its threads share it.

    A row counts until a reading of it succeeds, or until a whole survey of the store has not met it.
    """

    _found: dict[Key, OddRow] = field(factory=dict)
    _skipped: set[Key] = field(factory=set)
    _met: set[Key] = field(factory=set)
    _news: list[OddRow] = field(factory=list)

    def __len__(self) -> int:
        return len(self._found)

    def read(self, reading: Reading[T], row: Row) -> T | None:
        """The row's value, or None if it is odd."""
        try:
            value = reading.decode(row)
        except Odd as odd:
            self._note(reading.key_of(row), str(odd))
            return None
        if self._found:
            self._drop(reading.key_of(row))
        return value

    def read_all(self, reading: Reading[T], rows: Iterable[Row]) -> list[T]:
        """The values of those rows that can be read."""
        values = (self.read(reading, row) for row in rows)
        return [value for value in values if value is not None]

    def read_partly(self, reading: Reading[T], rows: Iterable[Row]) -> list[T]:
        """Like `read_all`, for a query that returns only some columns. A row that is known to be odd is skipped: its
        oddness may be in another column."""
        values = []
        for row in rows:
            if self._skipped and self._is_skipped(reading, row):
                continue
            try:
                values.append(reading.decode(row))
            except Odd as odd:
                self._note(reading.key_of(row), str(odd))
        return values

    def room(self, table: str, limit: int) -> int:
        """How many rows a query has to ask for so that `limit` are left without those that are known to be odd."""
        return limit + sum(name == table for name, *_ in list(self._skipped)) if self._skipped else limit

    def miss(self, reading: Reading[T], key: dict[str, Any]) -> None:
        """Note that no row has this key: it was deleted."""
        if self._found:
            self._drop(reading.key_of(key))

    def why(self, table: str, **key: Any) -> str | None:
        """Why this row cannot be read, as a sentence with the remedy, or None if it is not odd."""
        found = self._found.get((table, name_of(tuple(key), key), ""))
        return None if found is None else sentence(found)

    def refuse(self, table: str, **key: Any) -> None:
        """Raise `UnreadableRow` if this row is odd."""
        if (why := self.why(table, **key)) is not None:
            raise UnreadableRow(why)

    def take_news(self) -> list[OddRow]:
        """The rows that were found to be odd since the last call."""
        news, self._news = self._news, []
        return news

    def start_survey(self) -> None:
        """All rows are about to be read. Those that are skipped by name are judged anew."""
        self._met.clear()
        self._skipped.clear()

    def end_survey(self, readings: Iterable[Reading[Any]]) -> None:
        """Forget the rows of these readings that the survey has not met: they were deleted."""
        surveyed = {(reading.table, reading.purpose) for reading in readings}
        for key in list(self._found):
            if (key[0], key[2]) in surveyed and key not in self._met:
                self._drop(key)

    def _is_skipped(self, reading: Reading[Any], row: Row) -> bool:
        key = reading.key_of(row)
        return key in self._skipped or (key[0], key[1], "") in self._skipped

    def _note(self, key: Key, why: str) -> None:
        if key not in self._found:
            if len(self._found) >= KEPT_ODD_ROWS:
                return
            self._found[key] = OddRow(key[0], key[1], why)
            self._news.append(self._found[key])
        self._skipped.add(key)
        self._met.add(key)

    def _drop(self, key: Key) -> None:
        self._found.pop(key, None)
        self._skipped.discard(key)


def read_pages(
    odd: OddRows, reading: Reading[T], read: Callable[[int], Sequence[Row]], start: int, limit: int
) -> list[T]:
    """The first `limit` values from `start` on, however many odd rows lie between them.

    `read` returns up to `limit` rows beyond a `seq`, in order. Only then does a short page mean that nothing follows.
    """
    found: list[T] = []
    while limit > 0:
        rows = read(start)
        found += odd.read_all(reading, rows)
        if len(found) >= limit or len(rows) < limit:
            break
        start = rows[-1]["seq"]
    return found[:limit]


def sentence(odd: OddRow) -> str:
    return (
        f"the row {odd.key} of {odd.table} cannot be read: {odd.why}; it is set aside and unchanged. A newer "
        "streamwarm may read it; otherwise correct that column, or delete the row"
    )


def name_of(key: tuple[str, ...], row: Row) -> str:
    """The row's key, in ASCII, as messages name it."""
    return " ".join(f"{column}={_shown(row[column])}" for column in key)


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
