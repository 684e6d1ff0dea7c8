"""What every store does: keep jobs, give them out under a lease, and report what changed, in order.

A method that writes returns only after its write is durable. Every method raises `StoreUnavailable` if
the store cannot be reached or cannot write; nothing of that call is committed then. Times are Unix seconds of the
store's own clock (decision: leases follow it), so no method takes `now`.

One conformance suite (`tests/backlog/`) runs over every implementation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from attrs import field, frozen

from streamwarm.attempts import AttemptRecord, LaneAttempt
from streamwarm.backlog.records import RecordStore
from streamwarm.backlog.settlement import Settlement
from streamwarm.backlog.shared_limits import SharedLimitsStore
from streamwarm.backlog.upkeep import UpkeepStore
from streamwarm.fetch.source import CachedObject
from streamwarm.model import Claim, Event, Job, JsonObject, Kind, Lease, NewJob, QueuedJob, State
from streamwarm.priority import NEVER_PAUSED, PausedTimes
from streamwarm.warm_record import WarmRecord

NO_KINDS: Mapping[str, Collection[Kind]] = {}
"""Every kind is taken by some lane of each destination."""


PENDING = frozenset({State.QUEUED, State.WAITING, State.RUNNING})
"""The states that `max_pending` bounds."""


@frozen
class Pushed:
    """What became of one job of a push.

    If it is a `duplicate`, no new work was made: id, state and result are those of the job or warm record that was
    found. `queued` is the job as the dispatcher orders it, or None if this push did not queue it. `to_check` is the key
    of the object that is compared with its record before a worker may have the job, or None.
    """

    id: str
    state: State
    duplicate: bool
    result: JsonObject | None = None
    queued: QueuedJob | None = field(default=None, eq=False, repr=False)
    to_check: str | None = field(default=None, eq=False, repr=False)


class RefusalCode(StrEnum):
    """Why a pushed job is refused (contract, section 5). The store itself gives the first two."""

    ID_CONFLICT = "id_conflict"
    QUEUE_FULL = "queue_full"
    INVALID_JOB = "invalid_job"
    INVALID_OPTIONS = "invalid_options"
    UNKNOWN_DESTINATION = "unknown_destination"
    UNKNOWN_KIND = "unknown_kind"


@frozen
class Refused:
    """A pushed job that is not stored, with a reason for the client."""

    code: RefusalCode
    message: str


@frozen
class Filter:
    """Selects jobs. None means any."""

    state: State | None = None
    destination: str | None = None

    def matches(self, job: Job) -> bool:
        return self.state in {None, job.state} and self.destination in {None, job.destination}


@frozen
class Page:
    """A page of jobs, newest first. `next` is the `after` of the following page, or None."""

    jobs: Sequence[Job]
    next: int | None


class Action(StrEnum):
    """What can be done to many jobs at once.

    `RETRY` and `CANCEL` do to each what the method of that name does. `FORGET` drops the warm record of a done job, so
    that the next push warms again. It deletes a failed, unknown or cancelled job. A job in any other state is not
    changed.
    """

    RETRY = "retry"
    CANCEL = "cancel"
    FORGET = "forget"


@frozen
class Changed:
    """What became of a batch.

    `jobs` are those that were changed, as they are now; forgotten ones as they were. `matched` counts all that were
    considered. `next` is the `after` of the following batch, or None.
    """

    jobs: Sequence[Job]
    matched: int
    next: int | None = None


@frozen
class Counts:
    """How many jobs there are. `oldest_queued_at` (Unix seconds) is None if nothing is queued."""

    by_state: dict[State, int]
    by_destination: dict[str, dict[State, int]]
    oldest_queued_at: float | None


class Store(SharedLimitsStore, UpkeepStore, RecordStore, Protocol):
    """A durable backlog. Implementations: `sqlite/`, `postgres/`, `memory/`."""

    def now(self) -> float:
        """The store's time (Unix seconds), as exactly as this process knows it without asking the store."""
        ...

    async def push(self, jobs: Sequence[NewJob]) -> list[Pushed | Refused]:
        """Store jobs in one transaction. Returns one answer per job, in order; a bad job does not refuse the others.

        The first rule that applies decides:

        - The `id` is stored with the same content: returns that job. If it was `done` and its warm record has been
          forgotten or reported invalid since, it is queued again.
        - The `id` is stored with other content: `id_conflict`.
        - The media key has a held job (`unknown`): returns that job.
        - The media is warm, and by `refresh` the record answers at once (contract, section 4): returns the record.
        - The media key has a live job (`lifecycle.LIVE`): returns that job. If it runs, and may have opened an older
          version than this push means, its object is compared once more when it ends.
        - `max_pending` jobs are queued, waiting or running: `queue_full`.
        - Otherwise the job is stored as `queued`. If it is warm by key and `refresh` is `if_changed`, the job waits for
          a comparison (`to_check`). Jobs of one push see each other.
        """
        ...

    async def get(self, job_id: str) -> Job | None:
        """The job, or None if no job has this id. This method, `attempts`, `cancel`, `retry` and `change_each` raise
        `UnreadableRow` if its row cannot be read."""
        ...

    async def attempts(self, job_id: str) -> list[AttemptRecord] | None:
        """A job's last attempts by number, the running one included. None if no job has this id."""
        ...

    async def attempts_at_lane(self, lane: str, *, since: float, limit: int) -> list[LaneAttempt]:
        """The last attempts at the lane of that address that ended after `since` (Unix seconds), newest first."""
        ...

    async def list_jobs(self, which: Filter, *, limit: int, after: int | None = None) -> Page:
        """Up to `limit` matching jobs, newest first, that follow the page whose `next` is `after`."""
        ...

    async def find(
        self, destination: str, kind: Kind, *, sha256: str | None = None, r2_key: str | None = None
    ) -> WarmRecord | None:
        """The warm record of the destination's present account: by key, that of the version opened last; by digest, the
        newest with that digest. So a bot may ask by either, whichever the job was pushed with. Raises `ValueError` if
        neither is given.
        """
        ...

    async def forget(
        self,
        destination: str,
        kind: Kind,
        *,
        sha256: str | None = None,
        r2_key: str | None = None,
        file_id: str | None = None,
    ) -> bool:
        """Drop records of the destination's present account, so that the next push warms again. Returns False if there
        was none. By key: every version. By digest: the records with that digest; no older version answers in their
        place. With `file_id`: only if the record that would answer has it.
        """
        ...

    async def cancel(self, job_id: str) -> Job | None:
        """Cancel a live job; its lease becomes void. A job that has ended is returned unchanged."""
        ...

    async def retry(self, job_id: str) -> Job | None:
        """Queue a failed, unknown or cancelled job again with attempt 0, and a waiting one at once. Any other job is
        returned unchanged, and so is one whose media key is warm or has another live job by now."""
        ...

    async def change_each(self, action: Action, job_ids: Sequence[str]) -> Changed:
        """Do it to these jobs, in one transaction. `matched` counts those that exist."""
        ...

    async def change_all(self, action: Action, which: Filter, *, limit: int, after: int | None = None) -> Changed:
        """Do it to the first `limit` jobs that match, newest first, in one transaction."""
        ...

    async def queued(
        self,
        limit: int,
        *,
        without: Collection[str] = (),
        paused: PausedTimes = NEVER_PAUSED,
        copies: Collection[CachedObject] | None = None,
        refused_kinds: Mapping[str, Collection[Kind]] = NO_KINDS,
    ) -> list[QueuedJob]:
        """The best `limit` queued jobs, best first.

        Jobs that waited `max_wait_s`, not counting what is `paused`, come first. Then come the others by score; ties go
        by arrival (contract, section 4). Each destination has a fair share of the `limit`, so the best job of every one
        is among them. Destinations in `without` (paused ones) are left out, and so are the kinds of a destination that
        none of its lanes takes (`refused_kinds`). With `copies`, only jobs that one of these can serve are returned,
        however many others are queued.
        """
        ...

    async def claim(self, job_ids: Sequence[str], *, spares: Sequence[Sequence[str]] = ()) -> list[Claim]:
        """Make queued jobs `running`, each under a new lease of `lease_s`, and count the attempt.

        If `job_ids[i]` is no longer `queued`, the first of `spares[i]` that is takes its place. So a process that
        shares the store with others need not ask again. If there is none, the job is left out.
        """
        ...

    async def renew(self, leases: Sequence[Lease]) -> list[Lease]:
        """Extend leases by `lease_s`. Returns those that are lost: expired and rescued, or cancelled."""
        ...

    async def note_departure(self, lease: Lease, *, departed: bool = True) -> bool:
        """Record that this attempt is about to send its last bytes, so that `rescue` moves the job to `unknown` if the
        process dies before the answer.

        Returns False if the lease is lost; the caller must then not send them. `departed=False` clears the record: the
        destination answered that it took nothing.
        """
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """End attempts. Returns False for each whose lease was lost; that one changed nothing (fault 20)."""
        ...

    async def events_after(self, seq: int, *, limit: int) -> list[Event]:
        """Up to `limit` committed events with a higher `seq`, in order."""
        ...

    async def events_of(self, job_ids: Collection[str], *, after: int, until: int, limit: int) -> list[Event]:
        """Up to `limit` events of these jobs with `after < seq <= until`, in order. Other jobs' events cost nothing."""
        ...

    async def states(self, job_ids: Collection[str]) -> dict[str, State]:
        """The states of those of these jobs that exist."""
        ...

    async def last_seq(self) -> int:
        """The newest event's `seq`, 0 if there is none."""
        ...

    async def next_events(self, seq: int, *, limit: int) -> list[Event]:
        """Wait until an event with a higher `seq` is committed, by any process. Returns up to `limit`, in order.

        The list is never empty. To follow the store, call it again with the last event's `seq`.
        """
        ...

    async def counts(self) -> Counts: ...

    async def check_writable(self) -> None:
        """Raise `StoreUnavailable` if the store does not take a write now."""
        ...
