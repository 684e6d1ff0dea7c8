"""What is kept of each attempt, as pure functions.

A row is written once, when the attempt ends: by its worker's settlement, by a cancellation, or by `rescue` if its
process died. Until then the job's own row says when the attempt started and which process has it. So an attempt costs
one statement, in the transaction that ends it.
"""

from __future__ import annotations

from attrs import evolve

from streamwarm.attempts import AttemptRecord, Outcome
from streamwarm.backlog.core.transitions import StoredJob
from streamwarm.backlog.settlement import NOT_RUN, Done, Failed, Ran, Release, Retry, Settlement
from streamwarm.errors import ErrorCode, JobError
from streamwarm.model import State

KEPT_ATTEMPTS = 100
"""Attempts kept per job, the newest ones. A job that a paused destination keeps releasing, or that is retried for days,
must not fill the store."""


def running(stored: StoredJob) -> AttemptRecord:
    """The attempt that a running job is in. The job's last change of state was the claim."""
    attempt = AttemptRecord(stored.job.id, number=stored.tries, started_at=stored.job.updated_at)
    if stored.holder is None:
        return attempt
    return evolve(attempt, host=stored.holder.host, process=stored.holder.process)


def settled(stored: StoredJob, settlement: Settlement, now: float) -> AttemptRecord:
    """The attempt of a running job, ended by its worker."""
    match settlement:
        case Done():
            return _ended(stored, now, Outcome.DONE, None, settlement.ran)
        case Failed(error=error, state=state):
            outcome = Outcome.UNKNOWN if state is State.UNKNOWN else Outcome.FAILED
            return _ended(stored, now, outcome, error, settlement.ran)
        case Retry(error=error):
            return _ended(stored, now, Outcome.RETRY, error, settlement.ran)
        case Release():
            return _ended(stored, now, Outcome.RELEASED, None, settlement.ran)


def lost(stored: StoredJob, after: StoredJob, now: float) -> AttemptRecord:
    """The attempt of a running job whose worker was lost. `after` is the job as `rescued` left it."""
    error = after.job.error
    if after.job.state is State.QUEUED or error is None:
        error = JobError(ErrorCode.WORKER_LOST, "its worker was lost; the job is tried again", permanent=False)
    return _ended(stored, now, Outcome.LOST, error)


def cancelled(stored: StoredJob, now: float) -> AttemptRecord:
    """The attempt of a running job that a user cancelled."""
    return _ended(stored, now, Outcome.CANCELLED, None)


def _ended(
    stored: StoredJob, now: float, outcome: Outcome, error: JobError | None, ran: Ran = NOT_RUN
) -> AttemptRecord:
    return evolve(
        running(stored),
        ended_at=now,
        worker=ran.worker,
        lane=ran.lane,
        bytes=ran.bytes,
        outcome=outcome,
        error=error,
    )
