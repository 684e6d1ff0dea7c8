"""What every store does: keep jobs, hand them out under a lease, and tell what changed, in order.

A method that writes returns only after its write is durable (decision 7). Every method raises `StoreUnavailable` if
the store cannot be reached or cannot write; then nothing of that call is committed. Times are the store's own
(decision: leases follow the store's clock), so no method takes `now`.

One conformance suite (`tests/backlog/`) runs over every implementation.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Protocol

from attrs import field, frozen

from streamwarm.backlog.settlement import Settlement
from streamwarm.backlog.shared_limits import MovedLane, SharedLimits
from streamwarm.model import (
    Claim,
    Event,
    Job,
    JsonObject,
    Kind,
    Lease,
    NewJob,
    QueuedJob,
    State,
    WarmRecord,
)


@frozen
class Pushed:
    """What became of one job of a push.

    `duplicate`: no new work was made; the id, state and result are those of the job or warm record that was there.
    `queued` is the job as the dispatcher orders it if this push queued it, else None.
    """

    id: str
    state: State
    duplicate: bool
    result: JsonObject | None = None
    queued: QueuedJob | None = field(default=None, eq=False, repr=False)


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
    """Which jobs; None means any."""

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
    """What can be done to many jobs at once; to each as the method of that name does it, but for `FORGET`.

    `FORGET` drops what is kept of a job that has ended: of a done one its warm record, so that the next push warms
    again; a failed, unknown or cancelled one is deleted. A job that is under way is left as it is.
    """

    RETRY = "retry"
    CANCEL = "cancel"
    FORGET = "forget"


@frozen
class Changed:
    """What became of a batch: `jobs` are those that were changed (as they are now; forgotten ones as they were), of
    `matched` that were looked at. `next` is the `after` of the following batch, or None."""

    jobs: Sequence[Job]
    matched: int
    next: int | None = None

    @property
    def ids(self) -> list[str]:
        return [job.id for job in self.jobs]


@frozen
class Counts:
    """The backlog at a glance. `oldest_queued_at` is None when nothing is queued."""

    by_state: dict[State, int]
    by_destination: dict[str, dict[State, int]]
    oldest_queued_at: float | None


@frozen
class Due:
    """What `wake_due` did: how many jobs became `queued`, and when it should be called next (None: nothing waits)."""

    woken: int
    next_at: float | None


@frozen
class Rescued:
    """What became of jobs whose worker was lost: so many are `queued` again, and those `set_aside` (as they are now)
    have ended."""

    queued: int
    set_aside: tuple[Job, ...] = ()


class Store(Protocol):
    """A durable backlog. Implementations: `sqlite.py`, `postgres.py`, `memory.py`."""

    def now(self) -> float:
        """The store's time (Unix seconds), as nearly as this process knows it without asking."""
        ...

    async def push(self, jobs: Sequence[NewJob]) -> list[Pushed | Refused]:
        """Store jobs, all in one transaction; one answer a job, in order. One bad job never refuses the others.

        In this order: the same `id` with the same content returns that job (and queues it again if it was `done` and
        its warm record has been forgotten since); with other content it is `id_conflict`; a warm media key answers
        with its record; a live one (`lifecycle.LIVE`) with its job; beyond `max_pending` jobs that are queued, waiting
        or running, `queue_full`; else the job is stored as `queued`. Jobs of one push see each other.
        """
        ...

    async def get(self, job_id: str) -> Job | None: ...

    async def list_jobs(self, which: Filter, *, limit: int, after: int | None = None) -> Page: ...

    async def find(
        self, destination: str, kind: Kind, *, sha256: str | None = None, r2_key: str | None = None
    ) -> WarmRecord | None:
        """The ready record for exactly this media key, else the newest one of the same destination and kind whose
        object had that digest or that key: a bot may look up by either, whichever the job was pushed with."""
        ...

    async def forget(
        self, destination: str, kind: Kind, *, sha256: str | None = None, r2_key: str | None = None
    ) -> bool:
        """Drop every record that `find` could answer with, so that the next push warms again; False if none was."""
        ...

    async def cancel(self, job_id: str) -> Job | None:
        """Cancel a live job (its lease, if any, becomes void); a job that has ended is returned as it is."""
        ...

    async def retry(self, job_id: str) -> Job | None:
        """Queue a failed, unknown or cancelled job again with attempt 0; any other is returned as it is.

        If another live job owns the media key by now, or it is warm, the job stays as it is.
        """
        ...

    async def change_each(self, action: Action, job_ids: Sequence[str]) -> Changed:
        """Do it to these jobs, in one transaction; `matched` counts those that exist."""
        ...

    async def change_all(self, action: Action, which: Filter, *, limit: int, after: int | None = None) -> Changed:
        """Do it to the first `limit` jobs that match, newest first, in one transaction."""
        ...

    async def queued(self, limit: int, *, without: Collection[str] = ()) -> list[QueuedJob]:
        """The best `limit` queued jobs, best first: those that waited `max_wait_s`, then by the seed's score, ties by
        arrival (contract, section 4).

        Each destination has a fair share of the places, so that the best of every one is among them; those in
        `without` (paused ones) are left out.
        """
        ...

    async def claim(self, job_ids: Sequence[str], *, spares: Sequence[Sequence[str]] = ()) -> list[Claim]:
        """Make queued jobs `running`, each under a new lease of `lease_s`, and count the attempt.

        Jobs that are not `queued` any more are left out; in the place of `job_ids[i]` then comes the first of
        `spares[i]` that is, so that whoever shares the store with others need not ask again.
        """
        ...

    async def renew(self, leases: Sequence[Lease]) -> list[Lease]:
        """Extend leases by `lease_s`; returns those that are lost (expired and rescued, or cancelled)."""
        ...

    async def note_departure(self, lease: Lease, *, departed: bool = True) -> bool:
        """The last bytes of this attempt are about to leave, and its job is to be held if the answer is lost: with this
        process too (`rescue`). False where the lease was lost; then they must not leave. `departed` False takes it
        back: the answer has come, and the far side has not taken them."""
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """End attempts. False where the lease was lost: that one changed nothing (fault 20)."""
        ...

    async def wake_due(self) -> Due:
        """Queue every `waiting` job whose `retry_at` has passed."""
        ...

    async def rescue(self, *, everything: bool = False) -> Rescued:
        """Queue jobs whose lease ran out; those whose departure was noted become `unknown` with `delivery_unknown`, and
        else those at `max_attempts` `failed` with `worker_lost`.

        `everything`: the caller owns the store alone and no attempt can be alive (start after a crash).
        """
        ...

    async def prune(self) -> int:
        """Delete jobs that ended longer ago than they are kept, and events older than any job; warm records stay."""
        ...

    async def events_after(self, seq: int, *, limit: int, job_ids: Sequence[str] | None = None) -> list[Event]:
        """Committed events with a higher `seq`, in order."""
        ...

    async def last_seq(self) -> int:
        """The newest event's `seq`, 0 if there is none."""
        ...

    async def wait_for_event(self, seq: int) -> None:
        """Return once an event with a higher `seq` is committed."""
        ...

    async def counts(self) -> Counts: ...

    async def pause(self, destination: str | None, until: float | None) -> None:
        """Record a person's pause of one destination, or of the whole service (None); a second one replaces the
        first."""
        ...

    async def resume(self, destination: str | None) -> None:
        """Drop exactly that pause: resuming the whole service leaves a destination's own pause, and the other way
        round. A destination counts as mended, whether or not it was paused."""
        ...

    async def move_lane(self, moved: MovedLane) -> None:
        """Remember it, in place of an earlier address of the same lane."""
        ...

    async def shared_limits(self) -> SharedLimits:
        """Say that this process is alive, and read what all of them have left word of: each list in the order of its
        names, the whole service's pause first."""
        ...

    async def check_writable(self) -> None:
        """Raise `StoreUnavailable` unless a write would be taken now."""
        ...
