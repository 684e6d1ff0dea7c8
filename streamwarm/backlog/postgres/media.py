"""The media of `PostgresTables`: warm records, and what was seen of objects.

Like the numbers of events, rows of media are wanted by several hosts at once. So what a transaction says of them is
kept in memory, and written together: when the transaction ends, or before it reads or deletes some.
"""

from __future__ import annotations

from collections.abc import Collection

from attrs import asdict, define, field

from streamwarm.backlog.core import rows
from streamwarm.backlog.core.tables import MediaQuery, MediaStatus
from streamwarm.backlog.postgres.statements import Statements, columns
from streamwarm.model import Job, Kind, MediaKey, SeenObject, WarmRecord

Row = dict[str, object]


@define(eq=False)
class PostgresMedia(Statements):
    """`_marks`: a row to write, or None for one to drop."""

    _marks: dict[MediaKey, Row | None] = field(factory=dict)
    _records: dict[MediaKey, Row] = field(factory=dict)
    _seen: dict[str, SeenObject] = field(factory=dict)
    _seen_at: float = 0.0

    def ready_records(self, keys: Collection[MediaKey]) -> dict[MediaKey, WarmRecord]:
        if not keys:
            return {}
        self._write_media()
        found = self._all("ready_records", **columns(map(rows.key_row, keys)))
        return {
            MediaKey(row["destination"], Kind(row["kind"]), row["media_reference"]): rows.record_from(row)
            for row in found
        }

    def find_record(self, query: MediaQuery) -> WarmRecord | None:
        exact = self.ready_records({query.key}).get(query.key)
        if exact is not None:
            return exact
        place = rows.place_row(query)
        return rows.newest_record(
            self._one("newest_record_by_sha256", **place, sha256=query.sha256),
            self._one("newest_record_by_r2_key", **place, r2_key=query.r2_key),
        )

    def put_record(self, key: MediaKey, record: WarmRecord) -> None:
        self.wrote = True
        self._records[key] = rows.record_row(key, record)

    def mark_media(self, job: Job, status: MediaStatus | None) -> None:
        self.wrote = True
        self._marks[job.media_key] = None if status is None else rows.mark_row(job, status)

    def _write_media(self) -> None:
        """What was said of media so far, in the order of the keys: several destinations may share an object, and hosts
        that wrote the same rows in different orders would wait for each other. A mark never touches a ready row, so it
        does not matter whether it came before or after the record."""
        marks = sorted(self._marks.items(), key=_in_order)
        if dropped := [rows.key_row(key) for key, row in marks if row is None]:
            self._run("delete_unready_media", **columns(dropped))
        if marked := [row for _, row in marks if row is not None]:
            self._run("mark_media", **columns(marked))
        if records := [row for _, row in sorted(self._records.items(), key=_in_order)]:
            self._run("put_records", **columns(records))
        if seen := [{**asdict(self._seen[key]), "seen_at": self._seen_at} for key in sorted(self._seen)]:
            self._run("put_seen", **columns(seen))
        for written in (self._marks, self._records, self._seen):
            written.clear()

    def delete_records(self, query: MediaQuery) -> int:
        self._write_media()
        place = rows.place_row(query)
        deleted = (
            self._write("delete_ready_record", **rows.key_row(query.key)),
            self._write("delete_records_by_sha256", **place, sha256=query.sha256),
            self._write("delete_records_by_r2_key", **place, r2_key=query.r2_key),
        )
        self._pipeline.sync()
        return sum(len(cursor.fetchall()) for cursor in deleted)

    def put_seen(self, seen: SeenObject, seen_at: float) -> None:
        self.wrote = True
        self._seen[seen.r2_key], self._seen_at = seen, seen_at


def _in_order(item: tuple[MediaKey, object]) -> tuple[str, str, str]:
    key, _ = item
    return key.destination, key.kind.value, key.reference
