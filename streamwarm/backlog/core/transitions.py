"""How a stored job changes, as pure functions: they take the job as it was and return the job as it becomes.

`_moved` makes every change of state in every store, and it asks `lifecycle.check_change`. In one transaction, a store
writes what these functions return and the `event_of` it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve, frozen

from streamwarm.attempts import Holder
from streamwarm.backlog.core.lifecycle import check_change
from streamwarm.backlog.settlement import Done, Failed, Release, Retry, Settlement
from streamwarm.errors import ErrorCode, JobError
from streamwarm.model import NOWHERE, Event, Job, JsonObject, NewJob, QueuedJob, State
from streamwarm.retry import is_patient, trouble_since

LONGEST_JOINED_S = 30.0
"""How long pushes that join a job may put off its comparison, in seconds: as long as a silent bucket may."""

SEVERAL_ETAGS = ""
"""The `joined_etag` if pushes have named different versions: no object has it, so the object is compared once more."""


@frozen
class StoredJob:
    """A job, and what only the store needs of it.

    `queued_at` is when it was last queued. The lease is that of its running attempt. `departed` is True if the last
    bytes of that attempt may have left and the policy for a lost answer is `hold`. `tries` counts all claims, and
    `holder` is the process that has the running attempt. Times are Unix seconds.

    `to_check`: it is queued, and waits for a comparison of its object with the record that exists. `joined_at` is when
    a push that named no version last joined its running attempt or its comparison; `joined_etag` is the version that
    others have named.
    """

    job: Job
    queued_at: float
    lease_token: str | None = None
    lease_expires_at: float | None = None
    departed: bool = False
    tries: int = 0
    holder: Holder | None = None
    to_check: bool = False
    joined_at: float | None = None
    joined_etag: str | None = None

    @property
    def as_queued(self) -> QueuedJob:
        job = self.job
        return QueuedJob(job.seq, job.id, job.destination, job.kind, job.bytes, self.queued_at, job.r2_key, job.barred)

    def means_later_than(self, asked_at: float, now: float) -> bool:
        """Whether a push of this job may mean a newer version than the bucket had at `asked_at`.

        Times in the future are not believed: the clock was set back. Nor does a job wait for ever that pushes join more
        often than the bucket answers.
        """
        if asked_at < self.queued_at <= now:
            return True
        return self.joined_at is not None and asked_at < self.joined_at <= now < self.queued_at + LONGEST_JOINED_S


def arrived(new: NewJob, *, seq: int, job_id: str, now: float, to_check: bool = False) -> StoredJob:
    """A job as it is first stored."""
    job = Job(
        seq=seq,
        id=job_id,
        destination=new.destination,
        kind=new.kind,
        r2_key=new.r2_key,
        sha256=new.sha256,
        bytes=new.bytes,
        options=new.options,
        state=State.QUEUED,
        attempt=0,
        created_at=now,
        updated_at=now,
    )
    return StoredJob(job, queued_at=now, to_check=to_check)


def joined(stored: StoredJob, now: float, source_etag: str | None) -> StoredJob:
    """A job that a push has joined while it runs or waits for a comparison: either may have seen an older version than
    the push means."""
    if source_etag is None:
        return evolve(stored, joined_at=now)
    return evolve(stored, joined_etag=source_etag if stored.joined_etag in {None, source_etag} else SEVERAL_ETAGS)


def is_outdated(stored: StoredJob, etag: str | None, seen_at: float) -> bool:
    """Whether a push that joined the job may mean a newer version than this one, which was seen at that time."""
    is_later = stored.joined_at is not None and stored.joined_at > seen_at
    return is_later or (stored.joined_etag is not None and stored.joined_etag != etag)


def compared(stored: StoredJob, now: float, *, result: JsonObject | None) -> StoredJob:
    """A queued job whose object was compared. With `result`, the record still holds, and the job is done. Without,
    the object has changed, and workers may have the job."""
    if result is None:
        return evolve(stored, to_check=False)
    return _moved(stored, State.DONE, now, result=result, error=None)


def missing(stored: StoredJob, now: float, error: JobError) -> StoredJob:
    """A queued job whose object is gone, as a comparison has found."""
    return _moved(stored, State.FAILED, now, error=error)


def claimed(stored: StoredJob, *, token: str, now: float, lease_s: float, holder: Holder) -> StoredJob:
    attempt, since = stored.job.attempt + 1, _trouble_since(stored.job, now - stored.queued_at)
    after = _moved(stored, State.RUNNING, now, attempt=attempt, first_failed_at=since)
    tries = stored.tries + 1
    return evolve(after, lease_token=token, lease_expires_at=now + lease_s, tries=tries, holder=holder)


def departing(stored: StoredJob, departed: bool) -> StoredJob:
    """A running job whose last bytes are about to leave; or, with `departed` False, were not taken."""
    return evolve(stored, departed=departed)


def settled(stored: StoredJob, settlement: Settlement, now: float) -> StoredJob:
    """The job after its attempt ended. The caller has checked the lease."""
    match settlement:
        case Done(result=result):
            return _moved(stored, State.DONE, now, result=result, error=None)
        case Failed(error=error, state=state):
            return _moved(stored, state, now, error=error)
        case Retry():
            return _moved(
                stored,
                State.WAITING,
                now,
                error=settlement.error,
                retry_at=settlement.retry_at,
                attempt=stored.job.attempt - (0 if settlement.counts else 1),
                possible_duplicate=stored.job.possible_duplicate or settlement.possible_duplicate,
                first_failed_at=_first_failed_at(stored.job, now) if settlement.counts else stored.job.first_failed_at,
                barred=stored.job.barred if settlement.barred is None else settlement.barred,
            )
        case Release():
            return _moved(stored, State.QUEUED, now, attempt=stored.job.attempt - 1)


def woken(stored: StoredJob, now: float) -> StoredJob:
    """A waiting job whose retry is due."""
    # It may have waited for hours: the service was stopped, or the peer asked for a long wait.
    return _moved(stored, State.QUEUED, now, first_failed_at=_trouble_since(stored.job, now - stored.job.updated_at))


def rescued(stored: StoredJob, *, now: float, max_attempts: int) -> StoredJob:
    """A running job whose worker was lost.

    The attempt stays counted, so that a job that kills its process every time fails in the end (fault 24). If its last
    bytes had departed, it becomes `unknown` and a user decides. Otherwise nobody knows how far the worker came, so the
    next delivery may be the second.

    While passing trouble has given the job more attempts than `max_attempts` (`retry.PATIENCE_S`), a process that
    dies does not end them.
    """
    if stored.departed:
        message = "its worker was lost between the last bytes and the answer: the file may have been delivered"
        error = JobError(ErrorCode.DELIVERY_UNKNOWN, message, permanent=False)
        return _moved(stored, State.UNKNOWN, now, error=error)
    first_failed_at = stored.job.first_failed_at
    if stored.job.attempt < max_attempts or (first_failed_at is not None and is_patient(first_failed_at, now)):
        return _moved(stored, State.QUEUED, now, possible_duplicate=True)
    message = (
        f"its worker was lost in each of {stored.job.attempt} attempts, the last one included; "
        "look for what ends the process while this object is streamed, then retry the job"
        if stored.job.attempt > 1
        else "its worker was lost in its only attempt; retry the job"
    )
    error = JobError(ErrorCode.WORKER_LOST, message, permanent=False)
    return _moved(stored, State.FAILED, now, error=error, possible_duplicate=True)


def cancelled(stored: StoredJob, now: float) -> StoredJob:
    """If an attempt was running, it may have delivered the object, so a later delivery may be the second."""
    was_running = stored.job.state is State.RUNNING
    return _moved(stored, State.CANCELLED, now, possible_duplicate=stored.job.possible_duplicate or was_running)


def requeued(stored: StoredJob, now: float) -> StoredJob:
    """An ended or held job that is warmed again, with all its attempts.

    If its last answer was lost, the destination may already have the object.
    """
    error = stored.job.error
    answer_lost = error is not None and error.code is ErrorCode.DELIVERY_UNKNOWN
    return _moved(
        stored,
        State.QUEUED,
        now,
        attempt=0,
        result=None,
        error=None,
        possible_duplicate=stored.job.possible_duplicate or answer_lost,
        first_failed_at=None,
        barred=NOWHERE,
    )


def event_of(job: Job) -> Event:
    """The event for a job that has just changed. Its `seq` is 0 until the store numbers it.

    A job keeps its last error while it is tried again, for `get`. An event carries only what this change brought.
    """
    brought_error = job.state in {State.WAITING, State.FAILED, State.UNKNOWN}
    return Event(
        seq=0,
        id=job.id,
        state=job.state,
        at=job.updated_at,
        attempt=job.attempt,
        destination=job.destination,
        kind=job.kind,
        r2_key=job.r2_key,
        result=job.result if job.state is State.DONE else None,
        error=job.error if brought_error else None,
        retry_at=job.retry_at,
    )


def _trouble_since(job: Job, untried_s: float) -> float | None:
    return trouble_since(job.first_failed_at, attempt=job.attempt, untried_s=untried_s)


def _first_failed_at(job: Job, now: float) -> float:
    return now if job.first_failed_at is None else job.first_failed_at


def _moved(stored: StoredJob, state: State, now: float, **changes: Any) -> StoredJob:
    """`stored` in another state, without its lease. If it becomes queued, its wait starts `now`."""
    check_change(stored.job.state, state)
    job = evolve(stored.job, state=state, updated_at=now, **{"retry_at": None, **changes})
    return StoredJob(job, queued_at=now if state is State.QUEUED else stored.queued_at, tries=stored.tries)


MAKERS: Mapping[tuple[State, State], tuple[Callable[..., StoredJob], ...]] = {
    (State.QUEUED, State.RUNNING): (claimed,),
    (State.QUEUED, State.CANCELLED): (cancelled,),
    (State.QUEUED, State.DONE): (compared,),
    (State.QUEUED, State.FAILED): (missing,),
    (State.RUNNING, State.DONE): (settled,),
    (State.RUNNING, State.FAILED): (settled, rescued),
    (State.RUNNING, State.UNKNOWN): (settled, rescued),
    (State.RUNNING, State.WAITING): (settled,),
    (State.RUNNING, State.QUEUED): (settled, rescued),
    (State.RUNNING, State.CANCELLED): (cancelled,),
    (State.WAITING, State.QUEUED): (woken,),
    (State.WAITING, State.CANCELLED): (cancelled,),
    (State.FAILED, State.QUEUED): (requeued,),
    (State.UNKNOWN, State.QUEUED): (requeued,),
    (State.UNKNOWN, State.CANCELLED): (cancelled,),
    (State.CANCELLED, State.QUEUED): (requeued,),
    (State.DONE, State.QUEUED): (requeued,),
}
"""The functions that make each change in `lifecycle.CHANGES`. A test checks that the two tables have the same rows."""
