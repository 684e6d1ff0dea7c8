"""Media in PostgreSQL: warm records, and what was last seen of objects.

Several hosts want the same rows of media at once, as they want the numbers of events. So a transaction collects what it
has to write in memory and writes it together, in the order of the keys: at its end, or before it reads what it may have
changed. A transaction that changes records has locked their objects first (`lock`), so their counts are known without
asking.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from zlib import crc32

from attrs import asdict, define, field

from streamwarm.backlog.core import rows
from streamwarm.backlog.core.decode import RECORD_COUNTS, RECORDS, STORED_RECORDS
from streamwarm.backlog.core.odd import OddRows
from streamwarm.backlog.core.record_pages import page_query, read_record_page
from streamwarm.backlog.core.stored_record import StoredRecord
from streamwarm.backlog.core.tables import MediaStatus
from streamwarm.backlog.postgres.statements import Statements, columns
from streamwarm.backlog.records import RecordFilter, RecordPage, RecordPlace
from streamwarm.errors import code_of
from streamwarm.model import Job, SeenObject
from streamwarm.warm_record import DigestName, RecordName, SourceState, WarmRecord

Row = dict[str, object]

Name = tuple[str, ...]
"""The columns that name a row of media, in their order."""

LOCKS = 1_024
"""Objects share this many locks. The server keeps all locks of all transactions in one table of some 6,000 places, and
an import may have 10,000 objects."""

_CountKey = tuple[str, SourceState]


@define(eq=False)
class PostgresMedia:
    """A `MediaTable`. `_marks` and `_records` have the row to write for a name, or None if its row is to be deleted.

    `_counted` has what each record that was read or written counts as: its destination and source state, or None if it
    does not answer by key. `_count_changes` is what to add to `record_counts`.
    """

    _sql: Statements
    _odd: OddRows
    _marks: dict[Name, Row | None] = field(factory=dict)
    _records: dict[Name, Row | None] = field(factory=dict)
    _seen: dict[str, SeenObject] = field(factory=dict)
    _seen_at: float = 0.0
    _counted: dict[Name, _CountKey | None] = field(factory=dict)
    _count_changes: Counter[_CountKey] = field(factory=Counter)

    def lock(self, r2_keys: Collection[str]) -> None:
        """Sent without waiting: the next reading waits for it."""
        if r2_keys:
            places = {crc32(r2_key.encode("utf-8", "surrogatepass")) % LOCKS for r2_key in r2_keys}
            self._sql.send("lock_objects", keys=sorted(places))

    def by_name(self, names: Collection[RecordName]) -> dict[RecordName, WarmRecord]:
        found = self._looked_up("records_by_name", names)
        return {record.name: record for record in self._odd.read_all(RECORDS, found)}

    def by_digest(self, names: Collection[DigestName]) -> dict[DigestName, WarmRecord]:
        room = self._odd.room("media_cache", 1)
        newest: dict[DigestName, WarmRecord] = {}
        for record in self._odd.read_all(RECORDS, self._looked_up("newest_records_by_digest", names, limit=room)):
            newest.setdefault(DigestName(record.destination, record.account, record.kind, record.sha256 or ""), record)
        return newest

    def with_digest(self, name: DigestName) -> list[StoredRecord]:
        self._write_records()
        return self._remembered(self._sql.all("records_with_digest", **rows.name_row(name)))

    def versions(self, names: Collection[RecordName]) -> dict[RecordName, list[StoredRecord]]:
        found: dict[RecordName, list[StoredRecord]] = {}
        for stored in self._remembered(self._looked_up("versions_of_names", names)):
            found.setdefault(stored.record.name, []).append(stored)
        return found

    def of_objects(self, r2_keys: Collection[str]) -> list[StoredRecord]:
        self._write_records()
        return self._remembered(self._sql.all("versions_of_objects", r2_keys=sorted(r2_keys)))

    def put(self, records: Sequence[StoredRecord]) -> None:
        for stored in records:
            self._collect(stored.record, rows.record_row(stored), _counts_as(stored))

    note_compared = put

    def delete(self, records: Sequence[WarmRecord]) -> None:
        for record in records:
            self._collect(record, None, None)

    def reported(self, destination: str, account: str, since: float) -> list[StoredRecord]:
        self._write_records()
        found = self._sql.all("reported_records", destination=destination, account=account, since=since)
        return self._remembered(found)

    def page(self, which: RecordFilter, *, limit: int, after: RecordPlace | None) -> RecordPage:
        return read_record_page(which, limit, after, self._odd, partial(self._sql.all, page_query(which)))

    def counts(self) -> dict[tuple[str, SourceState], int]:
        """Includes what this transaction has changed."""
        counted = Counter(dict(self._odd.read_all(RECORD_COUNTS, self._sql.all("record_counts"))))
        counted.update(self._count_changes)
        return {key: records for key, records in counted.items() if records > 0}

    def next_account(self, destination: str, after: str) -> str | None:
        row = self._sql.one("next_account", destination=destination, after=after)
        return None if row is None or row["account"] is None else str(row["account"])

    def adopt(self, destination: str, account: str, limit: int) -> int:
        orphans = self._sql.all("lock_orphans", destination=destination, account=account, limit=limit)
        known = [one for one in orphans if one["known"]]
        kept = [one for one in orphans if not one["known"]]
        outdone = [one for one in kept if one["outdone"]]
        for query, changed in (("delete_records_by_id", known), ("supersede_records_by_id", outdone)):
            if changed:
                self._sql.write(query, ids=[one["id"] for one in changed])
        if kept:
            self._sql.write("adopt_records_by_id", ids=[one["id"] for one in kept], account=account)
        silenced = (one for one in (*known, *outdone) if one["answers"])
        self._count_changes.subtract((destination, code_of(SourceState, one["source_state"])) for one in silenced)
        return len(orphans)

    def mark(self, job: Job, status: MediaStatus | None) -> None:
        self._sql.wrote = True
        row = None if status is None else rows.mark_row(job, status)
        self._marks[_named(rows.mark_name(job))] = row

    def delete_marks(self, jobs: Sequence[Job]) -> None:
        if jobs:
            self._write_marks()
            self._sql.write(
                "delete_marks_of_jobs", **columns({**rows.mark_name(job), "job_id": job.id} for job in jobs)
            )

    def put_seen(self, seen: SeenObject, seen_at: float) -> None:
        self._sql.wrote = True
        self._seen[seen.r2_key], self._seen_at = seen, seen_at

    def write_collected(self) -> None:
        """Write what was collected so far, in the order of the keys.

        Several destinations may share an object, so hosts that wrote the same rows in different orders would wait for
        each other.
        """
        self._write_marks()
        self._write_records()
        if seen := [{**asdict(self._seen[key]), "seen_at": self._seen_at} for key in sorted(self._seen)]:
            self._sql.send("put_seen", **columns(seen))
        self._seen.clear()

    def write_counts(self) -> None:
        """Add to the counts. Called once, at the end of the transaction, under the lock of the numbers."""
        changed = sorted((key, records) for key, records in self._count_changes.items() if records)
        if changed:
            self._sql.send(
                "add_to_record_counts",
                destination=[destination for (destination, _), _ in changed],
                source_state=[state.value for (_, state), _ in changed],
                records=[records for _, records in changed],
            )

    @property
    def has_counted(self) -> bool:
        return any(self._count_changes.values())

    def _looked_up(self, query: str, names: Collection[RecordName | DigestName], **more: object) -> list[Row]:
        if not names:
            return []
        self._write_records()
        return self._sql.all(query, **columns(map(rows.name_row, sorted(names))), **more)

    def _remembered(self, found: Iterable[Mapping[str, object]]) -> list[StoredRecord]:
        records = self._odd.read_all(STORED_RECORDS, found)
        self._counted.update((_named(rows.version_row(one.record)), _counts_as(one)) for one in records)
        return records

    def _collect(self, record: WarmRecord, row: Row | None, counts_as: _CountKey | None) -> None:
        self._sql.wrote = True
        name = _named(rows.version_row(record))
        self._records[name] = row
        if (before := self._counted.get(name)) is not None:
            self._count_changes[before] -= 1
        if counts_as is not None:
            self._count_changes[counts_as] += 1
        self._counted[name] = counts_as

    def _write_marks(self) -> None:
        if gone := [_by_columns(name, _MARK_NAME) for name, row in sorted(self._marks.items()) if row is None]:
            self._sql.send("delete_rows", account=[""] * len(gone), **columns(gone))
        if marked := [row for _, row in sorted(self._marks.items()) if row is not None]:
            self._sql.send("mark_media", **columns(marked))
        self._marks.clear()

    def _write_records(self) -> None:
        if gone := [_by_columns(name, _RECORD_NAME) for name, row in sorted(self._records.items()) if row is None]:
            self._sql.send("delete_rows", **columns(gone))
        if put := [row for _, row in sorted(self._records.items()) if row is not None]:
            self._sql.send("put_records", **columns(put))
        self._records.clear()


_MARK_NAME = ("destination", "kind", "r2_key", "version")
_RECORD_NAME = ("destination", "account", "kind", "r2_key", "version")


def _named(name: Mapping[str, object]) -> Name:
    return tuple(map(str, name.values()))


def _by_columns(name: Name, names: Sequence[str]) -> Row:
    return dict(zip(names, name, strict=True))


def _counts_as(stored: StoredRecord) -> _CountKey | None:
    return (stored.record.destination, stored.record.source_state) if stored.answers_by_key else None
