"""Media in SQLite: warm records, and what was last seen of objects."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from attrs import asdict, frozen

from streamwarm.backlog.core import rows
from streamwarm.backlog.core.decode import RECORD_COUNTS, RECORD_NAMES, RECORDS, STORED_RECORDS
from streamwarm.backlog.core.odd import OddRows
from streamwarm.backlog.core.record_pages import page_query, read_record_page
from streamwarm.backlog.core.stored_record import StoredRecord
from streamwarm.backlog.core.tables import MediaStatus
from streamwarm.backlog.records import RecordFilter, RecordPage, RecordPlace
from streamwarm.backlog.sqlite.statements import Statements
from streamwarm.model import DigestName, Job, RecordName, SeenObject, SourceState, WarmRecord


@frozen(eq=False)
class SqliteMedia:
    """A `MediaTable`."""

    _sql: Statements
    _odd: OddRows

    def lock(self, r2_keys: Collection[str]) -> None:
        """Nothing to lock: there is one writer."""

    def by_name(self, names: Collection[RecordName]) -> dict[RecordName, WarmRecord]:
        found = ((name, self._first("record_by_name", name)) for name in names)
        return {name: record for name, record in found if record is not None}

    def by_digest(self, names: Collection[DigestName]) -> dict[DigestName, WarmRecord]:
        found = ((name, self._first("newest_record_by_digest", name)) for name in names)
        return {name: record for name, record in found if record is not None}

    def with_digest(self, name: DigestName) -> list[StoredRecord]:
        return self._odd.read_all(STORED_RECORDS, self._sql.all("records_with_digest", **rows.name_row(name)))

    def versions(self, names: Collection[RecordName]) -> dict[RecordName, list[StoredRecord]]:
        found = ((name, self._sql.all("versions_of_name", **rows.name_row(name))) for name in names)
        return {name: self._odd.read_all(STORED_RECORDS, versions) for name, versions in found if versions}

    def of_objects(self, r2_keys: Collection[str]) -> list[StoredRecord]:
        found = (row for r2_key in r2_keys for row in self._sql.all("names_of_object", r2_key=r2_key))
        versions = self.versions(self._odd.read_partly(RECORD_NAMES, found))
        return [stored for stored_here in versions.values() for stored in stored_here]

    def put(self, records: Sequence[StoredRecord]) -> None:
        self._sql.run_many("put_record", map(rows.record_row, records))

    def note_compared(self, records: Sequence[StoredRecord]) -> None:
        self._sql.run_many("note_compared", map(rows.compared_row, records))

    def delete(self, records: Sequence[WarmRecord]) -> None:
        self._sql.run_many("delete_record", map(rows.version_row, records))

    def reported(self, destination: str, account: str, since: float) -> list[StoredRecord]:
        found = self._sql.all("reported_records", destination=destination, account=account, since=since)
        return self._odd.read_all(STORED_RECORDS, found)

    def page(self, which: RecordFilter, *, limit: int, after: RecordPlace | None) -> RecordPage:
        return read_record_page(which, limit, after, self._odd, partial(self._sql.all, page_query(which)))

    def counts(self) -> dict[tuple[str, SourceState], int]:
        return dict(self._odd.read_all(RECORD_COUNTS, self._sql.all("record_counts")))

    def next_account(self, destination: str, after: str) -> str | None:
        row = self._sql.one("next_account", destination=destination, after=after)
        return None if row is None or row["account"] is None else str(row["account"])

    def adopt(self, destination: str, account: str, limit: int) -> int:
        orphans = self._sql.all("orphans", destination=destination, account=account, limit=limit)
        self._sql.run_many("delete_record_by_id", ({"id": one["id"]} for one in orphans if one["known"]))
        self._sql.run_many(
            "adopt_record_by_id",
            ({"id": one["id"], "account": account, "outdone": one["outdone"]} for one in orphans if not one["known"]),
        )
        return len(orphans)

    def mark(self, job: Job, status: MediaStatus | None) -> None:
        if status is None:
            self._sql.run("delete_mark", **rows.mark_name(job))
        else:
            self._sql.run("mark_media", **rows.mark_row(job, status))

    def delete_marks(self, jobs: Sequence[Job]) -> None:
        self._sql.run_many("delete_mark_of_job", ({**rows.mark_name(job), "job_id": job.id} for job in jobs))

    def put_seen(self, seen: SeenObject, seen_at: float) -> None:
        self._sql.run("put_seen", **asdict(seen), seen_at=seen_at)

    def _first(self, query: str, name: RecordName | DigestName) -> WarmRecord | None:
        """The first row of a look-up that can be read."""
        found = self._sql.all(query, **rows.name_row(name), limit=self._odd.room("media_cache", 1))
        return next(iter(self._odd.read_all(RECORDS, found)), None)
