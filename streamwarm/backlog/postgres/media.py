"""Media in PostgreSQL: warm records, and what was last seen of objects.

Several hosts want the same rows of media at once, as they want the numbers of events. So a transaction collects what it
has to write in memory and writes it together: at its end, or before it reads or deletes some.
"""

from __future__ import annotations

from attrs import asdict, define, field

from streamwarm.backlog.core import rows
from streamwarm.backlog.core.odd import OddRows
from streamwarm.backlog.postgres.statements import Statements, columns
from streamwarm.model import MediaKey, SeenObject

Row = dict[str, object]


@define(eq=False)
class PostgresMedia:
    """A `MediaTable`. `_marks` has the row to write for a key, or None if its row is to be deleted."""

    _sql: Statements
    _odd: OddRows
    _marks: dict[MediaKey, Row | None] = field(factory=dict)
    _records: dict[MediaKey, Row] = field(factory=dict)
    _seen: dict[str, SeenObject] = field(factory=dict)
    _seen_at: float = 0.0

    def write_collected(self) -> None:
        """Write what was collected so far, in the order of the keys.

        Several destinations may share an object, so hosts that wrote the same rows in different orders would wait for
        each other. A mark never changes a ready row, so it may come before or after the record.
        """
        marks = sorted(self._marks.items(), key=_in_order)
        if deleted := [rows.key_row(key) for key, row in marks if row is None]:
            self._sql.send("delete_unready_media", **columns(deleted))
        if marked := [row for _, row in marks if row is not None]:
            self._sql.send("mark_media", **columns(marked))
        if records := [row for _, row in sorted(self._records.items(), key=_in_order)]:
            self._sql.send("put_records", **columns(records))
        if seen := [{**asdict(self._seen[key]), "seen_at": self._seen_at} for key in sorted(self._seen)]:
            self._sql.send("put_seen", **columns(seen))
        for collected in (self._marks, self._records, self._seen):
            collected.clear()


def _in_order(item: tuple[MediaKey, object]) -> tuple[str, str, str]:
    key, _ = item
    return key.destination, key.kind.value, key.reference
