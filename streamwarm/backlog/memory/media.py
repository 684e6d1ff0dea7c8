"""Media in a dictionary."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from attrs import define, field

from streamwarm.backlog.core.tables import MediaQuery, MediaStatus
from streamwarm.model import Job, MediaKey, SeenObject, WarmRecord


@define(eq=False)
class MemoryMedia:
    """A `MediaTable`. `_media` has each key's status, its record if it is ready, and its job's id."""

    _media: dict[MediaKey, tuple[MediaStatus, WarmRecord | None, str]] = field(factory=dict)

    def ready(self, keys: Collection[MediaKey]) -> dict[MediaKey, WarmRecord]:
        found = ((key, self._media[key][1]) for key in keys if key in self._media)
        return {key: record for key, record in found if record is not None}

    def find(self, query: MediaQuery) -> WarmRecord | None:
        exact = self.ready({query.key}).get(query.key)
        alike = (record for _, record in self._alike(query))
        return exact or max(alike, key=lambda record: record.warmed_at, default=None)

    def put_record(self, key: MediaKey, record: WarmRecord) -> None:
        self._media[key] = (MediaStatus.READY, record, record.job_id)

    def mark(self, job: Job, status: MediaStatus | None) -> None:
        key = job.media_key
        if key in self._media and self._media[key][0] is MediaStatus.READY:
            return
        if status is None:
            self._media.pop(key, None)
        else:
            self._media[key] = (status, None, job.id)

    def delete_marks(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            status, _, owner = self._media.get(job.media_key, (MediaStatus.READY, None, ""))
            if status is not MediaStatus.READY and owner == job.id:
                del self._media[job.media_key]

    def delete_records(self, query: MediaQuery) -> int:
        gone = {key for key, _ in self._alike(query)} | set(self.ready({query.key}))
        for key in gone:
            del self._media[key]
        return len(gone)

    def put_seen(self, seen: SeenObject, seen_at: float) -> None:
        """Nothing is stored: only people read this, with SQL, and memory has no SQL."""

    def _alike(self, query: MediaQuery) -> Iterable[tuple[MediaKey, WarmRecord]]:
        for key, (_, record, _) in self._media.items():
            if (
                record is not None
                and (key.destination, key.kind) == (query.key.destination, query.key.kind)
                and (record.r2_key == query.r2_key or (query.sha256 is not None and record.sha256 == query.sha256))
            ):
                yield key, record
