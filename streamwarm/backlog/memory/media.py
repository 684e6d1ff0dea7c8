"""Media in dictionaries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from heapq import nsmallest
from itertools import islice

from attrs import define, evolve, field

from streamwarm.backlog.core.stored_record import StoredRecord
from streamwarm.backlog.core.tables import MediaStatus
from streamwarm.backlog.records import RecordFilter, RecordPage, RecordPlace
from streamwarm.model import DigestName, Job, MediaKey, RecordName, SeenObject, SourceState, WarmRecord


@define(eq=False)
class MemoryMedia:
    """A `MediaTable`. `_records` has the versions of each name, `_names` the names of each object, `_digests` the names
    of each digest, and `_marks` the status of each media key and the id of its job."""

    _records: dict[RecordName, dict[str, StoredRecord]] = field(factory=dict)
    _names: dict[str, dict[RecordName, None]] = field(factory=dict)
    _digests: dict[DigestName, dict[RecordName, None]] = field(factory=dict)
    _marks: dict[MediaKey, tuple[MediaStatus, str]] = field(factory=dict)

    def lock(self, r2_keys: Collection[str]) -> None:
        """Nothing to lock: there is one writer."""

    def by_name(self, names: Collection[RecordName]) -> dict[RecordName, WarmRecord]:
        return {name: record for name in names if (record := self._answering(name)) is not None}

    def by_digest(self, names: Collection[DigestName]) -> dict[DigestName, WarmRecord]:
        found = {name: [s.record for s in self.with_digest(name) if s.suspect_at is None] for name in names}
        return {name: alike[0] for name, alike in found.items() if alike}

    def with_digest(self, name: DigestName) -> list[StoredRecord]:
        every = (stored for one in self._digests.get(name, ()) for stored in self._records.get(one, {}).values())
        alike = [stored for stored in every if stored.record.sha256 == name.sha256]
        return sorted(alike, key=lambda one: (-one.record.opened_at, _in_order(_place(one.record))))

    def versions(self, names: Collection[RecordName]) -> dict[RecordName, list[StoredRecord]]:
        return {name: list(self._records[name].values()) for name in names if name in self._records}

    def of_objects(self, r2_keys: Collection[str]) -> list[StoredRecord]:
        names = [name for r2_key in r2_keys for name in self._names.get(r2_key, ())]
        return [stored for name in names for stored in self._records.get(name, {}).values()]

    def put(self, records: Sequence[StoredRecord]) -> None:
        for stored in records:
            record = stored.record
            name = record.name
            self._records.setdefault(name, {})[record.version] = stored
            self._names.setdefault(record.r2_key, {})[name] = None
            if record.sha256 is not None:
                digest = DigestName(record.destination, record.account, record.kind, record.sha256)
                self._digests.setdefault(digest, {})[name] = None

    note_compared = put

    def delete(self, records: Sequence[WarmRecord]) -> None:
        for record in records:
            versions = self._records.get(record.name, {})
            versions.pop(record.version, None)
            if not versions and self._records.pop(record.name, None) is not None:
                del self._names[record.r2_key][record.name]

    def reported(self, destination: str, account: str, since: float) -> list[StoredRecord]:
        every = (stored for stored in self._all() if not stored.superseded)
        return [
            stored
            for stored in every
            if (stored.record.destination, stored.record.account) == (destination, account)
            and stored.reported_at is not None
            and stored.reported_at > since
        ]

    def page(self, which: RecordFilter, *, limit: int, after: RecordPlace | None) -> RecordPage:
        placed = ((_place(record), record) for record in self._all_answering() if which.matches(record))
        found = nsmallest(
            limit + 1,
            (one for one in placed if after is None or _in_order(one[0]) > _in_order(after)),
            key=lambda one: _in_order(one[0]),
        )
        page = found[:limit]
        return RecordPage([record for _, record in page], page[-1][0] if len(found) > limit and page else None)

    def counts(self) -> dict[tuple[str, SourceState], int]:
        return dict(Counter((record.destination, record.source_state) for record in self._all_answering()))

    def next_account(self, destination: str, after: str) -> str | None:
        found = (one.account for one in self._all_answering() if one.destination == destination)
        return min((account for account in found if account > after), default=None)

    def adopt(self, destination: str, account: str, limit: int) -> int:
        every = (s for s in self._all() if (s.record.destination, s.record.account) == (destination, ""))
        orphans = list(islice(every, limit))
        self.delete([stored.record for stored in orphans])
        for stored in orphans:
            record = evolve(stored.record, account=account)
            if record.version not in self._records.get(record.name, {}):
                outdone = self._answering(record.name) is not None
                self.put([evolve(stored, record=record, superseded=stored.superseded or outdone)])
        return len(orphans)

    def mark(self, job: Job, status: MediaStatus | None) -> None:
        if status is None:
            self._marks.pop(job.media_key, None)
        else:
            self._marks[job.media_key] = (status, job.id)

    def delete_marks(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            _, owner = self._marks.get(job.media_key, (None, ""))
            if owner == job.id:
                del self._marks[job.media_key]

    def put_seen(self, seen: SeenObject, seen_at: float) -> None:
        """Nothing is stored: only people read this, with SQL, and memory has no SQL."""

    def _answering(self, name: RecordName) -> WarmRecord | None:
        versions: Iterable[StoredRecord] = self._records.get(name, {}).values()
        return next((stored.record for stored in versions if stored.answers_by_key), None)

    def _all(self) -> Iterator[StoredRecord]:
        return (stored for versions in self._records.values() for stored in versions.values())

    def _all_answering(self) -> Iterator[WarmRecord]:
        return (stored.record for stored in self._all() if stored.answers_by_key)


def _place(record: WarmRecord) -> RecordPlace:
    return RecordPlace(record.r2_key, record.destination, record.kind.value, record.account)


def _in_order(place: RecordPlace) -> tuple[bytes, ...]:
    return tuple(text.encode("utf-8", "surrogatepass") for text in place)
