"""What each method of a store does inside one transaction: read rows, decide, write rows and events.

Synchronous and without I/O of its own, so that a worker thread can run it on SQLite and the memory store can
run it in place. `apply` makes every change of state of a stored job: it writes the job, the status of its media key
and its event together. What changes no state goes past it: new jobs (`push`), a note of a departure, renewed leases,
and deletion.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from streamwarm.attempts import AttemptRecord, Holder
from streamwarm.backlog.core import attempts
from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.core.record_operations import Accounts, put_records, record_of
from streamwarm.backlog.core.tables import JobTable, MediaStatus, MediaTable, Tables
from streamwarm.backlog.core.transitions import (
    StoredJob,
    claimed,
    departing,
    event_of,
    rescued,
    settled,
    woken,
)
from streamwarm.backlog.settlement import Done, Failed, Retry, Settlement
from streamwarm.backlog.store import Filter, Page
from streamwarm.backlog.upkeep import Due, Rescued
from streamwarm.errors import is_listed
from streamwarm.model import Claim, Job, Lease, State
from streamwarm.warm_record import WarmRecord

_STATUS_AFTER = {
    State.RUNNING: MediaStatus.WARMING,
    State.FAILED: MediaStatus.ERROR,
    State.UNKNOWN: MediaStatus.ERROR,
    State.CANCELLED: None,
    State.DONE: None,
}
"""The status of the media key after a change to this state. Other states leave it as it is."""


def job_of(jobs: JobTable, job_id: str) -> Job | None:
    """The job, or None if no job has this id. Raises `UnreadableRow`."""
    stored = stored_of(jobs.by_id({job_id}), jobs, job_id)
    return None if stored is None else stored.job


def stored_of(found: Mapping[str, StoredJob], jobs: JobTable, job_id: str) -> StoredJob | None:
    """The job among those that were `found`. Raises `UnreadableRow` if it exists and is not among them."""
    stored = found.get(job_id)
    if stored is None:
        jobs.odd.refuse("jobs", id=job_id)
    return stored


def list_jobs(jobs: JobTable, which: Filter, *, limit: int, after: int | None) -> Page:
    # One more than asked for, to learn whether a page follows.
    found = jobs.page(which, limit=limit + 1, before_seq=after)
    more = len(found) > limit
    return Page(found[:limit], next=found[limit - 1].seq if more and limit > 0 else None)


def claim(
    tables: Tables,
    now: float,
    choices: Sequence[Sequence[str]],
    tokens: Sequence[str],
    lease_s: float,
    holder: Holder,
) -> list[Claim]:
    """Claim the first queued job of each of `choices` for `holder`; `tokens[i]` becomes its lease."""
    changed: list[StoredJob] = []
    claims: list[Claim] = []
    for stored, token in zip(_first_queued(tables.jobs, choices), tokens, strict=True):
        if stored is not None:
            after = claimed(stored, token=token, now=now, lease_s=lease_s, holder=holder)
            changed.append(after)
            claims.append(Claim(after.job, Lease(after.job.id, token)))
    apply(tables, changed)
    return claims


def _first_queued(jobs: JobTable, choices: Sequence[Sequence[str]]) -> list[StoredJob | None]:
    """The first queued job of each choice; no job is given twice. A choice's own first job goes before a spare.

    Each round looks up twice as many spares as the one before. So few rows are locked if nobody else claims, and few
    round trips are made if others have claimed a hundred.
    """
    found: list[StoredJob | None] = [None] * len(choices)
    queued: dict[str, StoredJob] = {}
    looked_up: set[str] = set()
    depth = 1
    while True:
        missing = [index for index, stored in enumerate(found) if stored is None]
        unknown = {job_id for index in missing for job_id in choices[index][:depth]} - looked_up
        looked_up |= unknown
        if unknown:
            locked = jobs.lock_to_claim(unknown)
            queued |= {job_id: stored for job_id, stored in locked.items() if _is_claimable(stored)}
        for index in missing:
            job_id = next(filter(queued.__contains__, choices[index][:depth]), None)
            found[index] = None if job_id is None else queued.pop(job_id)
        if all(len(choices[index]) <= depth for index in missing if found[index] is None):
            return found
        depth *= 2


def _is_claimable(stored: StoredJob) -> bool:
    return stored.job.state is State.QUEUED and not stored.to_check and is_listed(stored.job.kind)


def renew(jobs: JobTable, now: float, leases: Sequence[Lease], lease_s: float) -> list[Lease]:
    """Returns the leases that are lost."""
    stored = jobs.lock({lease.job_id for lease in leases})
    lost = [lease for lease in leases if not _is_valid(lease, stored.get(lease.job_id))]
    valid = [lease.job_id for lease in leases if _is_valid(lease, stored.get(lease.job_id))]
    jobs.extend_leases(valid, now + lease_s)
    return lost


def note_departure(jobs: JobTable, lease: Lease, departed: bool) -> bool:
    """Returns False if the lease is lost."""
    stored = jobs.lock({lease.job_id}).get(lease.job_id)
    if stored is None or not _is_valid(lease, stored):
        return False
    jobs.update([departing(stored, departed)])
    return True


@frozen
class Settled:
    """`answers`: whether each settlement's lease was valid. `outdated` are the records that were made of an object
    which may have changed since: a push that meant a newer version has joined the job."""

    answers: list[bool]
    outdated: list[WarmRecord]


def settle(tables: Tables, now: float, settlements: Sequence[Settlement], accounts: Accounts) -> Settled:
    jobs = tables.jobs.lock({settlement.lease.job_id for settlement in settlements})
    changed: list[StoredJob] = []
    ended: list[AttemptRecord] = []
    made: list[WarmRecord] = []
    answers: list[bool] = []
    for settlement in settlements:
        _share(tables, settlement)
        stored = jobs.get(settlement.lease.job_id)
        valid = _is_valid(settlement.lease, stored)
        answers.append(valid)
        if stored is None or not valid:
            continue
        # A second settlement of the same lease in this batch must find it void.
        jobs[stored.job.id] = after = settled(stored, settlement, now)
        changed.append(after)
        ended.append(attempts.settled(stored, settlement, now))
        if isinstance(settlement, Done):
            made.append(record_of(stored, settlement, accounts, now))
            tables.media.put_seen(settlement.seen, now)
            if settlement.takes_again is not None:
                tables.shared.delete_set_aside(stored.job.destination, settlement.takes_again, stored.job.kind)
    tables.media.lock({record.r2_key for record in made})
    put_records(tables.media, made, now)
    apply(tables, changed)
    tables.attempts.append(ended)
    return Settled(answers, [record for record in made if record.checked_at is None])


def _share(tables: Tables, settlement: Settlement) -> None:
    """Store what the attempt has shown of its destination and lane, whatever becomes of the job."""
    if isinstance(settlement, Retry) and settlement.cooldown is not None:
        tables.shared.put_cooldown(settlement.cooldown)
    if isinstance(settlement, Retry | Failed) and settlement.set_aside is not None:
        tables.shared.put_set_aside(settlement.set_aside)


def wake_due(tables: Tables, now: float, limit: int) -> Due:
    """Queue up to `limit` waiting jobs whose retry is due. If more are due, `next_at` has already passed."""
    due = tables.jobs.lock_due(now, limit)
    apply(tables, [woken(stored, now) for stored in due])
    return Due(len(due), tables.jobs.next_due_at())


def rescue(tables: Tables, now: float, limits: StoreBounds, *, everything: bool, limit: int) -> Rescued:
    lost = tables.jobs.lock_expired(math.inf if everything else now, limit)
    after = [rescued(stored, now=now, max_attempts=limits.max_attempts) for stored in lost]
    apply(tables, after)
    tables.attempts.append([attempts.lost(*pair, now) for pair in zip(lost, after, strict=True)])
    abandoned = tuple(stored.job for stored in after if stored.job.state is not State.QUEUED)
    return Rescued(len(after) - len(abandoned), abandoned)


def prune(tables: Tables, now: float, limits: StoreBounds, limit: int) -> int:
    """Delete up to `limit` jobs of each state that ended too long ago, each with its events; returns how many.

    Events live as long as their job, so none that is left is older than every job that is left.
    """
    kept_s = {
        State.DONE: limits.keep_done_s,
        State.FAILED: limits.keep_failed_s,
        State.CANCELLED: limits.keep_failed_s,
    }
    gone = [job for state, keep_s in kept_s.items() for job in tables.jobs.lock_ended(state, now - keep_s, limit)]
    delete_jobs(tables, gone)
    return len(gone)


def delete_jobs(tables: Tables, jobs: Sequence[Job]) -> None:
    """Delete jobs, their events and attempts, and the status that their media keys have of them; warm records stay."""
    tables.media.delete_marks(jobs)
    tables.attempts.delete(jobs)
    tables.jobs.delete(jobs)


def list_attempts(tables: Tables, job_id: str) -> list[AttemptRecord] | None:
    """Returns the attempts by number, the running one included, or None if no job has this id."""
    stored = stored_of(tables.jobs.by_id({job_id}), tables.jobs, job_id)
    if stored is None:
        return None
    now_running = [attempts.running(stored)] if stored.job.state is State.RUNNING else []
    return [*tables.attempts.of_job(job_id), *now_running]


def apply(tables: Tables, changed: Sequence[StoredJob]) -> None:
    """Write jobs that have changed state, in order. A job may be among them twice."""
    tables.jobs.update(changed)
    tables.jobs.append_events([event_of(stored.job) for stored in changed])
    _mark_media(tables.media, (stored.job for stored in changed))


def _mark_media(media: MediaTable, jobs: Iterable[Job]) -> None:
    for job in jobs:
        if job.state in _STATUS_AFTER:
            media.mark(job, _STATUS_AFTER[job.state])


def _is_valid(lease: Lease, stored: StoredJob | None) -> bool:
    return stored is not None and stored.job.state is State.RUNNING and stored.lease_token == lease.token
