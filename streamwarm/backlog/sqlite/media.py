"""Media in SQLite: warm records, and what was last seen of objects."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import asdict, frozen

from streamwarm.backlog.core import rows
from streamwarm.backlog.core.decode import NEWEST, RECORDS, newest_record
from streamwarm.backlog.core.odd import OddRows
from streamwarm.backlog.core.tables import MediaQuery, MediaStatus
from streamwarm.backlog.sqlite.statements import Statements
from streamwarm.model import Job, MediaKey, SeenObject, WarmRecord


@frozen(eq=False)
class SqliteMedia:
    """A `MediaTable`."""

    _sql: Statements
    _odd: OddRows

    def ready(self, keys: Collection[MediaKey]) -> dict[MediaKey, WarmRecord]:
        found = ((key, self._sql.one("ready_record", **rows.key_row(key))) for key in keys)
        records = ((key, self._odd.read(RECORDS, row)) for key, row in found if row is not None)
        return {key: record for key, record in records if record is not None}

    def find(self, query: MediaQuery) -> WarmRecord | None:
        exact = self.ready({query.key}).get(query.key)
        if exact is not None:
            return exact
        scope = rows.scope_row(query)
        room = self._odd.room("media_cache", 1)
        found = (
            *self._sql.all("newest_records_by_sha256", **scope, sha256=query.sha256, limit=room),
            *self._sql.all("newest_records_by_r2_key", **scope, r2_key=query.r2_key, limit=room),
        )
        return newest_record(self._odd.read_all(NEWEST, found))

    def put_record(self, key: MediaKey, record: WarmRecord) -> None:
        self._sql.run("put_record", **rows.record_row(key, record))

    def mark(self, job: Job, status: MediaStatus | None) -> None:
        if status is None:
            self._sql.run("delete_unready_media", **rows.key_row(job.media_key))
        else:
            self._sql.run("mark_media", **rows.mark_row(job, status))

    def delete_marks(self, jobs: Sequence[Job]) -> None:
        marks = ({**rows.key_row(job.media_key), "job_id": job.id} for job in jobs)
        self._sql.run_many("delete_unready_media_of_job", marks)

    def delete_records(self, query: MediaQuery) -> int:
        scope = rows.scope_row(query)
        return (
            self._sql.run("delete_ready_record", **rows.key_row(query.key))
            + self._sql.run("delete_records_by_sha256", **scope, sha256=query.sha256)
            + self._sql.run("delete_records_by_r2_key", **scope, r2_key=query.r2_key)
        )

    def put_seen(self, seen: SeenObject, seen_at: float) -> None:
        self._sql.run("put_seen", **asdict(seen), seen_at=seen_at)
