"""The store's interface to warm records: read them in pages, compare them with their objects, report and import.

A record belongs to one version of an object and to one account (`model.WarmRecord`). A new record of a name supersedes
the one before it if its object was opened later; a superseded record answers by digest only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from attrs import field, frozen

from streamwarm.model import Job, Kind, QueuedJob
from streamwarm.warm_record import SourceState, WarmRecord


@frozen
class RecordFilter:
    """Selects records that answer by key. None means any. `prefix` is that of the object's key; `warning` is a word in
    the result's `warnings`."""

    destination: str | None = None
    kind: Kind | None = None
    prefix: str = ""
    source_state: SourceState | None = None
    warning: str | None = None

    def matches(self, record: WarmRecord) -> bool:
        return (
            self.destination in {None, record.destination}
            and self.kind in {None, record.kind}
            and record.r2_key.startswith(self.prefix)
            and self.source_state in {None, record.source_state}
            and (self.warning is None or self.warning in record.result.get("warnings", ()))
        )


class RecordPlace(NamedTuple):
    """A place in the order of records: bytes of the key, then destination, kind and account."""

    r2_key: str
    destination: str
    kind: str
    account: str


@frozen
class RecordPage:
    """A page of records in the order of `RecordPlace`. `next` is the `after` of the following page, or None. A page may
    have fewer records than asked for, or none, and still have a next one: the rows that one page reads are bounded."""

    records: Sequence[WarmRecord]
    next: RecordPlace | None


@frozen
class Found:
    """The bucket has an object of this name. `etag` is unquoted, without `W/`; None if the bucket names none."""

    etag: str | None
    last_modified: float | None = None

    def is_of(self, record: WarmRecord) -> bool | None:
        """Whether this is the record's version; None if nothing tells.

        A record without an ETag (an import, a hand-off, an old row) adopts that of the bucket, unless the object is
        newer than the record. One that was never opened is a pusher's word (`opened_at` 0): it adopts nothing.
        """
        if self.etag is not None and record.source_etag is not None:
            return self.etag == record.source_etag
        if self.last_modified is not None:
            is_opened = record.sha256 is not None or self.etag is None
            return self.last_modified <= (record.opened_at if is_opened else record.warmed_at)
        if self.etag is None:
            return None
        return record.sha256 is None or record.opened_at > 0


@frozen
class Gone:
    """The bucket has no object of this name."""


@frozen
class Unanswered:
    """The bucket did not say: it is paused, or was silent for too long."""


Seen = Found | Gone | Unanswered


@frozen
class Comparison:
    """What the bucket said of one object, and when it was asked (the store's clock). `rewarm` names the destinations
    and kinds whose record is warmed anew if its object has changed, though no job asks for it."""

    r2_key: str
    seen: Seen
    asked_at: float
    rewarm: Collection[tuple[str, Kind]] = ()


@frozen
class Compared:
    """What comparisons have changed. `queued` are the jobs that workers may have now. `unchanged` counts the jobs that
    ended without an upload, by destination and kind. `missing` are the jobs that failed because their object is gone.
    `changed` and `gone` count the records that became so. `again` are the keys of objects that were pushed after the
    bucket was asked: it must be asked once more."""

    queued: Sequence[QueuedJob] = ()
    unchanged: Mapping[tuple[str, Kind], int] = field(factory=dict)
    missing: Sequence[Job] = ()
    again: Sequence[str] = ()
    changed: int = 0
    gone: int = 0


@frozen
class Reported:
    """What became of a report that a reference does not work. `job_id` is the job that warms the object anew, None if
    none was queued. `record` is the record that answers now, None if there is none. `queued` is the job as the
    dispatcher orders it. `pause` is the reason for which the destination is paused from now on: too many of its
    references were reported."""

    job_id: str | None
    record: WarmRecord | None
    queued: QueuedJob | None = None
    pause: str | None = None


@frozen
class RefreshRequest:
    """What to refresh. `which.prefix` is also that of the listing. `always` warms every matching record anew; `dry_run`
    changes nothing."""

    which: RecordFilter
    always: bool = False
    dry_run: bool = False


@frozen
class Refreshed:
    """What a refresh found, and what it did.

    `new` objects are listed and have no record. `changed` and `gone` count records. `queued` counts the jobs that warm
    anew. `is_full`: the backlog had no more room, so records were left as they were.
    """

    new: int = 0
    changed: int = 0
    gone: int = 0
    queued: int = 0
    is_full: bool = False


class RecordStore(Protocol):
    """The part of `Store` that keeps records. Look-ups are `Store.find` and `Store.forget`."""

    async def records(self, which: RecordFilter, *, limit: int, after: RecordPlace | None = None) -> RecordPage:
        """Up to `limit` matching records that answer by key, of every account, in the order of `RecordPlace`."""
        ...

    async def record_counts(self) -> Mapping[tuple[str, SourceState], int]:
        """How many records answer by key, by destination and source state."""
        ...

    async def to_check(self, limit: int, *, waited_s: float = 0.0) -> list[str]:
        """The keys of up to `limit` objects that queued jobs wait to have compared, for `waited_s` seconds or longer;
        those that wait longest come first."""
        ...

    async def compare(self, comparisons: Sequence[Comparison]) -> Compared:
        """Apply what the bucket said, in one transaction, to every record of each object and to every job that waits
        for it.

        - `Found` the record's version: the record is `current`, and its jobs are `done` with its reference
          (`"source": "unchanged"`). If an older record of the name is of that version, it answers again.
        - `Found` another version: the record is `changed`, and its jobs may be handed to workers.
        - `Gone`: the record is `gone`, and its jobs fail with `source_not_found`.
        - `Unanswered`: the record stays as it is, and its jobs are `done` with its reference (`unverified`).

        A record without an ETag adopts that of the bucket if the object is not newer than the record and the record has
        no digest of its own. A record that was warmed or compared after `asked_at` is not changed. A job that was
        pushed after it, or joined by a push, goes on waiting: it may mean a newer version. If a push that joined named
        another version, the object is compared once more.
        """
        ...

    async def report_invalid(
        self, destination: str, kind: Kind, file_id: str, *, sha256: str | None = None, r2_key: str | None = None
    ) -> Reported:
        """A sender could not use this reference.

        If it is still the recorded one, the record is suspect from now on and not answered, and the object is queued
        again by its key, with the record's options; at most once an hour for each name. If it is not, nothing changes.
        """
        ...

    async def import_records(self, records: Sequence[WarmRecord], *, replace: bool = False) -> list[str | None]:
        """Store records that were made elsewhere, in one transaction. Returns why each was refused, None if it was
        stored. A record of this store's own is not replaced without `replace`."""
        ...

    async def accounts(self, destination: str) -> list[str]:
        """The accounts that have records at the destination: at most ten, in order."""
        ...

    async def adopt_accounts(self) -> int:
        """Give records without an account that of their destination's settings. Returns how many there were."""
        ...
