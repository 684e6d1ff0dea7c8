"""The tables of a store as the operations use them: reads and writes inside one open transaction.

There are four: jobs (with their events), attempts, media, and what processes share. `operations.py` decides over these
interfaces, so that every store gives the same answers. An implementation only knows how rows are kept and found. A
method's cost grows with what it returns, never with the size of the store.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Protocol

from streamwarm.attempts import AttemptRecord, LaneAttempt
from streamwarm.backlog.core.deadlines import Reset
from streamwarm.backlog.core.odd import OddRows
from streamwarm.backlog.core.ordering import Band
from streamwarm.backlog.core.shared_table import SharedTable
from streamwarm.backlog.core.stored_record import StoredRecord
from streamwarm.backlog.core.survey import Page
from streamwarm.backlog.core.transitions import StoredJob
from streamwarm.backlog.records import RecordFilter, RecordPage, RecordPlace
from streamwarm.backlog.store import Counts, Filter
from streamwarm.model import (
    DigestName,
    Event,
    Job,
    MediaKey,
    QueuedJob,
    RecordName,
    SeenObject,
    SourceState,
    State,
    WarmRecord,
)


class MediaStatus(StrEnum):
    """The `status` of a `media_cache` row."""

    WARMING = "warming"
    READY = "ready"
    ERROR = "error"


class JobTable(Protocol):
    """Jobs and their events.

    If several hosts write to a store, rows may change between two reads of one transaction. So a transaction first
    locks what it is about to change, and the others wait. In a store with a single writer the locking methods only
    read.

    Rows that cannot be read (`odd`) are left out of every answer, and never change.
    """

    @property
    def odd(self) -> OddRows: ...

    def lock_media_keys(self) -> None:
        """Until this transaction ends, no other one makes a job live or assigns a job's `seq`."""
        ...

    def by_id(self, ids: Collection[str]) -> dict[str, StoredJob]:
        """The jobs that exist, by id."""
        ...

    def lock(self, ids: Collection[str]) -> dict[str, StoredJob]:
        """Like `by_id`. No other transaction changes these jobs until this one ends."""
        ...

    def lock_to_claim(self, ids: Collection[str]) -> dict[str, StoredJob]:
        """Like `lock`, without waiting. Jobs that another transaction has locked are left out, and jobs that are not
        `queued` may be."""
        ...

    def live(self, keys: Collection[MediaKey]) -> dict[MediaKey, StoredJob]:
        """The live job of each of these keys that has one."""
        ...

    def live_ids(self, keys: Collection[MediaKey]) -> dict[MediaKey, object]:
        """The id of each key's live job, whether or not its row can be read."""
        ...

    def last_job_seq(self) -> int:
        """The highest `seq` a job ever had, 0 before the first."""
        ...

    def insert(self, jobs: Sequence[StoredJob]) -> None: ...

    def update(self, jobs: Sequence[StoredJob]) -> None:
        """Write the columns that may change. The last one counts if a job is given twice."""
        ...

    def unbar(self, destination: str) -> None:
        """Let the destination's queued and waiting jobs go to the lanes that refused them."""
        ...

    def extend_leases(self, job_ids: Sequence[str], expires_at: float) -> None: ...

    def delete(self, jobs: Sequence[Job]) -> None:
        """Delete jobs and their events."""
        ...

    def page(self, which: Filter, *, limit: int, before_seq: int | None) -> list[Job]:
        """Up to `limit` jobs with a lower `seq`, newest first."""
        ...

    def lock_to_check(self, r2_keys: Collection[str]) -> list[StoredJob]:
        """The queued jobs that wait for a comparison of one of these objects. No other method that reads the queue
        returns them."""
        ...

    def keys_to_check(self, limit: int, queued_by: float) -> list[str]:
        """Up to `limit` keys of objects that jobs queued by then wait to have compared, the earliest first."""
        ...

    def queued_counts(self) -> dict[str, int]:
        """How many jobs are queued per destination. Destinations with none may be left out."""
        ...

    def queued_at(self, destination: str) -> list[QueuedJob]:
        """Every queued job of a destination, in any order. Only asked for if there are few."""
        ...

    def base_scores(self, destination: str) -> list[int]:
        """The distinct base scores of a destination's queued jobs."""
        ...

    def queued_in(self, bands: Sequence[Band], limit: int) -> list[QueuedJob]:
        """The first `limit` jobs of all these bands together, by `(queued_at, seq)`."""
        ...

    def lock_due(self, now: float, limit: int) -> list[StoredJob]:
        """Waiting jobs with `retry_at <= now`, earliest first. This method and the two below skip jobs that another
        transaction has locked."""
        ...

    def next_due_at(self) -> float | None:
        """The earliest `retry_at` of a waiting job; None if none waits."""
        ...

    def lock_expired(self, expired_by: float, limit: int) -> list[StoredJob]:
        """Running jobs whose lease ends at or before that time."""
        ...

    def lock_ended(self, state: State, ended_before: float, limit: int) -> list[Job]:
        """Jobs that ended in `state` before that time, earliest first."""
        ...

    def reset_deadlines(self, to: Reset) -> None:
        """Reset the deadlines of waiting jobs and of leases that were set before the clock was set back."""
        ...

    def is_miscounted(self) -> bool:
        """Whether the counts of jobs differ from the jobs themselves: the file was damaged."""
        ...

    def recount(self) -> None:
        """Correct the counts of jobs, and the highest numbers."""
        ...

    def pending_count(self) -> int:
        """How many jobs are in a `PENDING` state."""
        ...

    def counts(self) -> Counts: ...

    def append_events(self, events: Sequence[Event]) -> None:
        """Number and store events, in this order."""
        ...

    def events_after(self, seq: int, limit: int) -> list[Event]:
        """Up to `limit` events with a higher `seq`, in order."""
        ...

    def events_of(self, job_ids: Collection[str], *, after: int, until: int, limit: int) -> list[Event]:
        """Up to `limit` events of these jobs with `after < seq <= until`, in order."""
        ...

    def last_event_seq(self) -> int:
        """The highest `seq` an event ever had, 0 before the first. It does not fall when events are deleted."""
        ...


class AttemptTable(Protocol):
    """The attempts that have ended."""

    def append(self, attempts: Sequence[AttemptRecord]) -> None:
        """Store attempts. Of each job, the last `KEPT_ATTEMPTS` stay."""
        ...

    def of_job(self, job_id: str) -> list[AttemptRecord]:
        """A job's attempts by number."""
        ...

    def at_lane(self, lane: str, *, since: float, limit: int) -> list[LaneAttempt]:
        """The last attempts at the lane of that address that ended after `since` (Unix seconds), newest first."""
        ...

    def delete(self, jobs: Sequence[Job]) -> None:
        """Delete the attempts of these jobs."""
        ...


class MediaTable(Protocol):
    """Warm records, the status of media whose job is under way or has failed, and what was last seen of each object."""

    def lock(self, r2_keys: Collection[str]) -> None:
        """Until this transaction ends, no other one changes records of these objects. In a store with a single writer
        there is nothing to lock."""
        ...

    def by_name(self, names: Collection[RecordName]) -> dict[RecordName, WarmRecord]:
        """The records that answer by key, with one index read per name."""
        ...

    def by_digest(self, names: Collection[DigestName]) -> dict[DigestName, WarmRecord]:
        """Of the records with each digest that are not suspect, the one opened last."""
        ...

    def with_digest(self, name: DigestName) -> list[StoredRecord]:
        """Every record with this digest, suspect ones too. Of records that were opened at the same time, the first key
        goes first; so it does in `by_digest`."""
        ...

    def versions(self, names: Collection[RecordName]) -> dict[RecordName, list[StoredRecord]]:
        """Every record of these names, superseded and suspect ones too. Names that have none may be left out."""
        ...

    def of_objects(self, r2_keys: Collection[str]) -> list[StoredRecord]:
        """Every record of these objects, at every destination and under every account, of the names that have one that
        answers by key."""
        ...

    def put(self, records: Sequence[StoredRecord]) -> None:
        """Write records, in order. A row of the same name and version is replaced."""
        ...

    def note_compared(self, records: Sequence[StoredRecord]) -> None:
        """Write `checked_at`, `opened_at` and `source_etag` of records of which nothing else has changed."""
        ...

    def delete(self, records: Sequence[WarmRecord]) -> None:
        """Delete the rows of these names and versions."""
        ...

    def reported(self, destination: str, account: str, since: float) -> list[StoredRecord]:
        """The records that are not superseded, of the names that were reported invalid after `since`."""
        ...

    def page(self, which: RecordFilter, *, limit: int, after: RecordPlace | None) -> RecordPage:
        """See `RecordStore.records`."""
        ...

    def counts(self) -> dict[tuple[str, SourceState], int]:
        """How many records answer by key, by destination and source state."""
        ...

    def next_account(self, destination: str, after: str) -> str | None:
        """The next account, in order, that has records at the destination."""
        ...

    def adopt(self, destination: str, account: str, limit: int) -> int:
        """Give up to `limit` of the destination's records without an account this one. Returns how many there were. A
        version that the account has already is dropped, and one of a name that has an answer is superseded."""
        ...

    def mark(self, job: Job, status: MediaStatus | None) -> None:
        """Set the status of the job's media key, or delete it (None). Records are not changed."""
        ...

    def delete_marks(self, jobs: Sequence[Job]) -> None:
        """Delete the statuses that `mark` wrote for these jobs, unless another job has written them since."""
        ...

    def put_seen(self, seen: SeenObject, seen_at: float) -> None: ...


class Tables(Protocol):
    """The tables of a store, as one transaction sees and changes them."""

    @property
    def jobs(self) -> JobTable: ...

    @property
    def attempts(self) -> AttemptTable: ...

    @property
    def media(self) -> MediaTable: ...

    @property
    def shared(self) -> SharedTable: ...

    def survey(self, page: Page) -> Page | None:
        """Read a page of rows, so that `odd` learns which cannot be read. Returns the next page, or None."""
        ...
