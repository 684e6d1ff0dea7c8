"""What each method of a store does, inside one transaction: read rows, decide, write rows and events.

Synchronous and free of I/O of its own, so that a worker thread can run it on SQLite and the memory store can
run it in place. `apply` is the only way a job changes: it writes the job, its media key's status and its
event together.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence

from attrs import evolve

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.core.ordering import bands_by_right, fair_shares, rank
from streamwarm.backlog.core.push_plan import Known, plan_push
from streamwarm.backlog.core.tables import MediaStatus, Tables
from streamwarm.backlog.core.transitions import (
    StoredJob,
    claimed,
    departing,
    event_of,
    rescued,
    settled,
    woken,
)
from streamwarm.backlog.settlement import Done, Retry, Settlement
from streamwarm.backlog.shared_limits import SharedLimits
from streamwarm.backlog.store import Due, Filter, Page, Pushed, Refused, Rescued
from streamwarm.model import Claim, Job, Lease, NewJob, QueuedJob, State, WarmRecord

_STATUS_AFTER = {
    State.RUNNING: MediaStatus.WARMING,
    State.FAILED: MediaStatus.ERROR,
    State.UNKNOWN: MediaStatus.ERROR,
    State.CANCELLED: None,
}
"""What a change to this state says of the media key. Other states say nothing: `done` comes with its
record."""


def push(
    tables: Tables, now: float, jobs: Sequence[NewJob], ids: Sequence[str], limits: StoreBounds
) -> list[Pushed | Refused]:
    keys = {job.media_key for job in jobs}
    tables.hold_keys()
    known = Known(
        by_id=tables.jobs_to_change(set(ids)),
        # Live before warm: a job that ends between the two reads is found by both, never by neither.
        live=tables.live_jobs(keys),
        warm=tables.ready_records(keys),
        room=max(0, limits.max_pending - tables.pending_jobs()),
        last_seq=tables.last_job_seq(),
    )
    plan = plan_push(jobs, ids, known, now=now)
    tables.insert_jobs(plan.added)
    tables.append_events([event_of(stored.job) for stored in plan.added])
    apply(tables, plan.requeued)
    return plan.answers


def list_jobs(tables: Tables, which: Filter, *, limit: int, after: int | None) -> Page:
    jobs = tables.page_of_jobs(which, limit=limit + 1, before_seq=after)
    more = len(jobs) > limit
    return Page(jobs[:limit], next=jobs[limit - 1].seq if more and limit > 0 else None)


def queued(tables: Tables, now: float, limit: int, max_wait_s: float, without: Collection[str] = ()) -> list[QueuedJob]:
    queued_jobs = {name: jobs for name, jobs in tables.queued_jobs().items() if jobs and name not in without}
    best: list[QueuedJob] = []
    for destination, share in fair_shares(queued_jobs, limit).items():
        if queued_jobs[destination] <= share:
            best += tables.queued_at(destination)
        else:
            best += _best_of(tables, destination, share, now=now, max_wait_s=max_wait_s)
    best.sort(key=lambda job: rank(job, now=now, max_wait_s=max_wait_s))
    return best[:limit]


def _best_of(tables: Tables, destination: str, share: int, *, now: float, max_wait_s: float) -> list[QueuedJob]:
    best: list[QueuedJob] = []
    for bands in bands_by_right(destination, tables.base_scores(destination), now=now, max_wait_s=max_wait_s):
        missing = share - len(best)
        if missing <= 0:
            break
        best += tables.queued_in(bands, missing)
    return best


def claim(
    tables: Tables, now: float, choices: Sequence[Sequence[str]], tokens: Sequence[str], lease_s: float
) -> list[Claim]:
    """Of each of `choices` the first job that is queued; `tokens[i]` becomes its lease."""
    changed: list[StoredJob] = []
    claims: list[Claim] = []
    for stored, token in zip(_first_queued(tables, choices), tokens, strict=True):
        if stored is not None:
            after = claimed(stored, token=token, now=now, lease_s=lease_s)
            changed.append(after)
            claims.append(Claim(after.job, Lease(after.job.id, token)))
    apply(tables, changed)
    return claims


def _first_queued(tables: Tables, choices: Sequence[Sequence[str]]) -> list[StoredJob | None]:
    """What comes first of a choice goes before what stands in for another. Twice as many are looked up each time: few
    where nobody else claims, and few round trips where others have claimed a hundred."""
    found: list[StoredJob | None] = [None] * len(choices)
    queued: dict[str, StoredJob] = {}
    looked_up: set[str] = set()
    depth = 1
    while True:
        open_places = [place for place, stored in enumerate(found) if stored is None]
        unknown = {job_id for place in open_places for job_id in choices[place][:depth]} - looked_up
        looked_up |= unknown
        if unknown:
            jobs = tables.jobs_to_claim(unknown)
            queued |= {job_id: stored for job_id, stored in jobs.items() if stored.job.state is State.QUEUED}
        for place in open_places:
            job_id = next(filter(queued.__contains__, choices[place][:depth]), None)
            found[place] = None if job_id is None else queued.pop(job_id)
        if all(len(choices[place]) <= depth for place in open_places if found[place] is None):
            return found
        depth *= 2


def renew(tables: Tables, now: float, leases: Sequence[Lease], lease_s: float) -> list[Lease]:
    jobs = tables.jobs_to_change({lease.job_id for lease in leases})
    lost = [lease for lease in leases if not _holds(jobs.get(lease.job_id), lease)]
    held = [lease.job_id for lease in leases if _holds(jobs.get(lease.job_id), lease)]
    tables.extend_leases(held, now + lease_s)
    return lost


def note_departure(tables: Tables, lease: Lease, departed: bool) -> bool:
    stored = tables.jobs_to_change({lease.job_id}).get(lease.job_id)
    if stored is None or not _holds(stored, lease):
        return False
    tables.update_jobs([departing(stored, departed)])
    return True


def settle(tables: Tables, now: float, settlements: Sequence[Settlement]) -> list[bool]:
    jobs = tables.jobs_to_change({settlement.lease.job_id for settlement in settlements})
    changed: list[StoredJob] = []
    answers: list[bool] = []
    for settlement in settlements:
        if isinstance(settlement, Retry) and settlement.silence is not None:
            tables.put_silence(settlement.silence)
        stored = jobs.get(settlement.lease.job_id)
        held = stored is not None and _holds(stored, settlement.lease)
        answers.append(held)
        if stored is None or not held:
            continue
        jobs[stored.job.id] = after = settled(stored, settlement, now)
        changed.append(after)
        if isinstance(settlement, Done):
            tables.put_record(stored.job.media_key, _record_of(stored.job, settlement, now))
            tables.put_seen(settlement.seen, now)
    apply(tables, changed)
    return answers


def wake_due(tables: Tables, now: float, limit: int) -> Due:
    """Wake up to `limit`; where more are due, `next_at` has passed already."""
    due = tables.due_jobs(now, limit)
    apply(tables, [woken(stored, now) for stored in due])
    return Due(len(due), tables.next_due_at())


def rescue(tables: Tables, now: float, limits: StoreBounds, *, everything: bool, limit: int) -> Rescued:
    lost = tables.running_jobs(math.inf if everything else now, limit)
    after = [rescued(stored, now=now, max_attempts=limits.max_attempts) for stored in lost]
    apply(tables, after)
    set_aside = tuple(stored.job for stored in after if stored.job.state is not State.QUEUED)
    return Rescued(len(after) - len(set_aside), set_aside)


def prune(tables: Tables, now: float, limits: StoreBounds, limit: int) -> int:
    """Delete up to `limit` jobs of each state that ended too long ago, each with its events.

    A job's events live as long as the job: what is left of them is never older than any job that is left.
    """
    kept_s = {
        State.DONE: limits.keep_done_s,
        State.FAILED: limits.keep_failed_s,
        State.CANCELLED: limits.keep_failed_s,
    }
    gone = [job for state, keep_s in kept_s.items() for job in tables.ended_jobs(state, now - keep_s, limit)]
    tables.delete_jobs(gone)
    return len(gone)


def resume(tables: Tables, destination: str | None) -> None:
    tables.delete_pause(destination)
    if destination is not None:
        tables.count_mend(destination)


def shared_limits(tables: Tables, now: float, process: str) -> SharedLimits:
    """What has run out stays in its table until it is replaced: it says nothing any more."""
    tables.see_process(process, now)
    found = tables.shared_limits()
    return evolve(
        found,
        pauses=[pause for pause in found.pauses if pause.until is None or pause.until > now],
        silences=[silence for silence in found.silences if silence.until > now],
    )


def apply(tables: Tables, changed: Sequence[StoredJob]) -> None:
    """Write jobs that have changed state, in order (a job may be among them twice)."""
    tables.update_jobs(changed)
    tables.append_events([event_of(stored.job) for stored in changed])
    _mark_media(tables, (stored.job for stored in changed))


def _mark_media(tables: Tables, jobs: Iterable[Job]) -> None:
    for job in jobs:
        if job.state in _STATUS_AFTER:
            tables.mark_media(job, _STATUS_AFTER[job.state])


def _holds(stored: StoredJob | None, lease: Lease) -> bool:
    return stored is not None and stored.job.state is State.RUNNING and stored.lease_token == lease.token


def _record_of(job: Job, done: Done, now: float) -> WarmRecord:
    return WarmRecord(
        destination=job.destination,
        kind=job.kind,
        r2_key=job.r2_key,
        sha256=done.seen.sha256,
        bytes=done.seen.bytes,
        result=done.result,
        job_id=job.id,
        warmed_at=now,
    )
