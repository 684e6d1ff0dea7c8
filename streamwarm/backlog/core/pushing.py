"""What a push does inside one transaction: read what is known of its jobs, plan, and write what the plan says."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.core.lifecycle import LIVE
from streamwarm.backlog.core.operations import apply
from streamwarm.backlog.core.push_plan import Stored, plan_push
from streamwarm.backlog.core.record_operations import Accounts, known_of, name_of, put_records
from streamwarm.backlog.core.refresh import Known, named_by_push
from streamwarm.backlog.core.tables import JobTable, MediaTable, Tables
from streamwarm.backlog.core.transitions import StoredJob, event_of
from streamwarm.backlog.store import Pushed, Refused
from streamwarm.model import MediaKey, NewJob, State


def push(
    tables: Tables,
    now: float,
    jobs: Sequence[NewJob],
    ids: Sequence[str],
    limits: StoreBounds,
    accounts: Accounts,
) -> list[Pushed | Refused]:
    keys = {job.media_key for job in jobs}
    tables.jobs.lock_media_keys()
    store = Stored(
        by_id=(by_id := tables.jobs.lock(set(ids))),
        # Live before warm: both reads find a job that ends between them. The other way round, neither would.
        live=(live := _live(tables.jobs, keys)),
        records=(known := known_of(tables.media, accounts, jobs)),
        room=max(0, limits.max_pending - tables.jobs.pending_count()),
        last_seq=tables.jobs.last_job_seq(),
        unreadable=_unreadable(tables.jobs, set(ids) - by_id.keys(), keys - live.keys()),
    )
    plan = plan_push(jobs, ids, store, now=now, trust_s=limits.trust_s)
    tables.jobs.insert(plan.added)
    tables.jobs.append_events([event_of(stored.job) for stored in plan.added])
    tables.jobs.update(plan.joined)
    apply(tables, plan.requeued)
    _put_named(tables.media, now, accounts, [(jobs[index], known[index]) for index in plan.answered])
    return plan.answers


def _live(jobs: JobTable, keys: Collection[MediaKey]) -> dict[MediaKey, StoredJob]:
    """The live job of each key. Those that the push may change by joining them are locked: each may end right now."""
    live = jobs.live(keys)
    joinable = {s.job.id for s in live.values() if s.to_check or s.job.state is State.RUNNING}
    if not joinable:
        return live
    locked = jobs.lock(joinable)
    now = {key: locked.get(stored.job.id, stored) for key, stored in live.items()}
    return {key: stored for key, stored in now.items() if stored.job.state in LIVE}


def _put_named(media: MediaTable, now: float, accounts: Accounts, answered: Sequence[tuple[NewJob, Known]]) -> None:
    """Write the records that answer these jobs by their digest under the jobs' own keys."""
    named = [
        record
        for job, known in answered
        if (record := named_by_push(job, name_of(accounts, job.destination, job.kind, job.r2_key), known))
    ]
    if named:
        media.lock({record.r2_key for record in named})
        put_records(media, named, now)


def _unreadable(jobs: JobTable, ids: Collection[str], keys: Collection[MediaKey]) -> dict[str | MediaKey, str]:
    """Why a new job cannot be stored under this id, or for this media: the row of another one cannot be read."""
    if not len(jobs.odd):
        return {}
    why: dict[str | MediaKey, str | None] = {job_id: jobs.odd.why("jobs", id=job_id) for job_id in ids}
    why |= {key: jobs.odd.why("jobs", id=job_id) for key, job_id in jobs.live_ids(keys).items()}
    return {key: text for key, text in why.items() if text is not None}
