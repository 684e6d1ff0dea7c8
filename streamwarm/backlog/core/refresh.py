"""What a record means to a push, and what a comparison means to a record. Pure decisions (contract, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

from attrs import evolve, field, frozen

from streamwarm.backlog.core.stored_record import StoredRecord
from streamwarm.backlog.records import Comparison, Found, Gone
from streamwarm.model import NewJob, Refresh
from streamwarm.warm_record import RecordName, SourceState, WarmRecord


class Need(Enum):
    """What a pushed job needs."""

    NOTHING = auto()
    """The record answers it."""
    CHECK = auto()
    """The record answers it if the object is still that of the record."""
    WARMING = auto()
    """The object must be sent."""


@frozen
class Known:
    """The records that may answer a pushed job: the one of its key, and the one of its digest."""

    by_key: WarmRecord | None = None
    by_digest: WarmRecord | None = None

    def of(self, new: NewJob) -> WarmRecord | None:
        """The record that this job would make again: by digest if it names one, else by key. A record without a digest
        (the destination fetched the object by itself) may be of the version that the job names."""
        if self.by_key is not None and new.sha256 in {None, self.by_key.sha256}:
            return self.by_key
        if self.by_digest is not None or (self.by_key is not None and self.by_key.sha256 is not None):
            return self.by_digest
        return self.by_key


def need_of(new: NewJob, known: Known, *, now: float, trust_s: float) -> Need:
    """What this push needs, by its `refresh`. `Known.of` is the record that answers it."""
    record = known.of(new)
    if record is None or new.refresh is Refresh.ALWAYS:
        return Need.WARMING
    if new.refresh is Refresh.NEVER:
        return Need.NOTHING
    if new.sha256 is not None:
        return Need.NOTHING if new.sha256 == record.sha256 else Need.CHECK
    if new.source_etag is not None:
        return Need.NOTHING if new.source_etag == record.source_etag else Need.CHECK
    is_trusted = record.checked_at is not None and 0 <= now - record.checked_at < trust_s
    return Need.NOTHING if is_trusted and record.source_state is SourceState.CURRENT else Need.CHECK


def named_by_push(new: NewJob, name: RecordName, known: Known) -> WarmRecord | None:
    """The record that `name` gets when it has none, and a push by digest is answered by a record of the same bytes.

    So a look-up by this key answers too. Whatever is opened for this name goes before it: a pusher's list may be old.
    Returns None if the name has a record.
    """
    record = known.of(new)
    if record is None or known.by_key is not None:
        return None
    etag = new.source_etag or (record.source_etag if record.name == name else None)
    return evolve(
        record, r2_key=name.r2_key, source_etag=etag, opened_at=0.0, checked_at=None, source_state=SourceState.CURRENT
    )


def placed(new: WarmRecord, versions: Sequence[StoredRecord], now: float) -> list[StoredRecord]:
    """The rows to write when a name, which has these `versions`, gets a record.

    The version opened last answers by key. A slow attempt that opened an older one and ends later supersedes nothing,
    not even a version that is not answered because its reference was reported. Times in the future are not believed:
    the clock was set back.
    """
    same = [stored.record.opened_at for stored in versions if stored.record.version == new.version]
    others = [stored for stored in versions if stored.record.version != new.version]
    reported_at = max((s.reported_at for s in versions if s.reported_at is not None), default=None)
    new = evolve(new, opened_at=min(now, max([new.opened_at, *same])))
    superseded = any(not s.superseded and new.opened_at < s.record.opened_at <= now for s in others)
    if any(_is_outdated(stored, new.opened_at) for stored in versions):
        new = evolve(new, checked_at=None)
    older = [] if superseded else [evolve(stored, superseded=True) for stored in others if not stored.superseded]
    return [*older, StoredRecord(new, superseded, reported_at=reported_at)]


def _is_outdated(stored: StoredRecord, opened_at: float) -> bool:
    """Whether the bucket has had something else, since an object was opened then, than the record that answers."""
    record = stored.record
    is_newer = record.checked_at is not None and record.checked_at > opened_at
    return stored.answers_by_key and is_newer and record.source_state is not SourceState.CURRENT


def in_place_of(answering: WarmRecord, imported: WarmRecord) -> WarmRecord:
    """An imported record as one that supersedes the record which answers now, whenever either was opened."""
    return evolve(imported, opened_at=max(imported.opened_at, answering.opened_at))


def restored(versions: Sequence[StoredRecord]) -> list[StoredRecord]:
    """The rows to write so that the suspect versions of a name are answered again, as if nobody had reported them."""
    candidates = [s for s in versions if s.suspect_at is not None or not s.superseded]
    latest = max(candidates, key=lambda one: one.record.opened_at, default=None)
    return [evolve(s, suspect_at=None, superseded=s is not latest) for s in candidates]


@frozen
class Judgement:
    """What a comparison means to one name: the record that answers it and how that stands to the object; `state` is
    None if the bucket did not say. `put` and `deleted` are the rows to write and to delete, in the reverse order.
    `is_unmoved`: nothing of the row in `put` is new but its times and `source_etag`."""

    record: WarmRecord | None = None
    state: SourceState | None = None
    put: Sequence[StoredRecord] = ()
    deleted: Sequence[WarmRecord] = field(default=())
    is_unmoved: bool = False


def judge(versions: Sequence[StoredRecord], comparison: Comparison, now: float) -> Judgement:
    """Compare a name, which has these `versions`, with what the bucket said. Times in the future are not believed.

    A record whose object is still the same counts as opened when the bucket was asked: an attempt that opened another
    version before that, and ends later, has an older one.
    """
    stored = next((stored for stored in versions if stored.answers_by_key), None)
    if stored is None:
        return Judgement()
    record, seen, at = stored.record, comparison.seen, comparison.asked_at
    if at < record.opened_at <= now:
        return Judgement(record, SourceState.CURRENT)
    if record.checked_at is not None and at < record.checked_at <= now:
        return Judgement(record, record.source_state)
    match seen:
        case Gone():
            return _rewritten(stored, evolve(record, source_state=SourceState.GONE, checked_at=at))
        case Found(etag=etag) if (same := seen.is_of(record)) is not None:
            if same:
                current = evolve(record, source_state=SourceState.CURRENT, opened_at=at, checked_at=at)
                return _rewritten(stored, evolve(current, source_etag=etag or record.source_etag))
            if (back := _restored(versions, etag, at)) is not None:
                put = [evolve(stored, superseded=True), back]
                return Judgement(back.record, SourceState.CURRENT, put)
            return _rewritten(stored, evolve(record, source_state=SourceState.CHANGED, checked_at=at))
    return Judgement(record)


def _rewritten(stored: StoredRecord, record: WarmRecord) -> Judgement:
    before = stored.record
    deleted = [] if record.version == before.version else [before]
    is_unmoved = not deleted and record.source_state is before.source_state
    return Judgement(record, record.source_state, [evolve(stored, record=record)], deleted, is_unmoved)


def _restored(versions: Sequence[StoredRecord], etag: str | None, at: float) -> StoredRecord | None:
    """An older version that the bucket has again, as it answers from now on."""
    alike = [s for s in versions if s.superseded and s.suspect_at is None and s.record.source_etag == etag]
    if etag is None or not alike:
        return None
    latest = max(alike, key=lambda one: one.record.opened_at)
    record = evolve(latest.record, opened_at=at, checked_at=at, source_state=SourceState.CURRENT)
    return evolve(latest, record=record, superseded=False)
