"""The tables of a store as the operations use them: reads and writes inside one open transaction.

There are four: jobs (with their events), attempts, media, and what processes share. `operations.py` decides over these
interfaces, so that every store gives the same answers. An implementation only knows how rows are kept and found. A
method's cost grows with what it returns, never with the size of the store.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Protocol

from attrs import frozen

from streamwarm.attempts import AttemptRecord, LaneAttempt
from streamwarm.backlog.core.deadlines import Reset
from streamwarm.backlog.core.odd import OddRows
from streamwarm.backlog.core.ordering import Band
from streamwarm.backlog.core.shared_table import SharedTable
from streamwarm.backlog.core.survey import Page
from streamwarm.backlog.core.transitions import StoredJob
from streamwarm.backlog.store import Counts, Filter
from streamwarm.model import Event, Job, MediaKey, QueuedJob, SeenObject, State, WarmRecord

PENDING = frozenset({State.QUEUED, State.WAITING, State.RUNNING})
"""The states that `max_pending` bounds."""


class MediaStatus(StrEnum):
    """The `status` of a `media_cache` row."""

    WARMING = "warming"
    READY = "ready"
    ERROR = "error"


@frozen
class MediaQuery:
    """A look-up of warm records: the exact `key` first, then the object's digest or name. None: not asked for."""

    key: MediaKey
    sha256: str | None
    r2_key: str | None


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
    """What is known per media key: a warm record, or the status of the job that makes one. And what was last seen of
    each object."""

    def ready(self, keys: Collection[MediaKey]) -> dict[MediaKey, WarmRecord]:
        """The warm records of exactly these keys, with one index read per key."""
        ...

    def find(self, query: MediaQuery) -> WarmRecord | None:
        """The record of exactly the query's key, else the newest one with its digest or object name."""
        ...

    def put_record(self, key: MediaKey, record: WarmRecord) -> None:
        """Make the key ready, whatever its status was."""
        ...

    def mark(self, job: Job, status: MediaStatus | None) -> None:
        """Set the status of the job's media key, or delete its row (None). A ready row is not changed."""
        ...

    def delete_marks(self, jobs: Sequence[Job]) -> None:
        """Delete the rows that `mark` wrote for these jobs. A ready row stays."""
        ...

    def delete_records(self, query: MediaQuery) -> int:
        """Delete every record that `find` could return; returns how many."""
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
