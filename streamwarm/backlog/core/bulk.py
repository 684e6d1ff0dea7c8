"""Retry, cancel or forget jobs, one or many: one transaction and one look-up for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from streamwarm.backlog.core import attempts
from streamwarm.backlog.core.lifecycle import CANCELLABLE, RETRYABLE
from streamwarm.backlog.core.operations import apply, delete_jobs, list_jobs, stored_of
from streamwarm.backlog.core.record_operations import Accounts, delete_records_of, is_warm_since, known_of
from streamwarm.backlog.core.tables import JobTable, Tables
from streamwarm.backlog.core.transitions import StoredJob, cancelled, requeued, woken
from streamwarm.backlog.store import Action, Changed, Filter
from streamwarm.model import Job, State


def change_one(tables: Tables, now: float, accounts: Accounts, action: Action, job_id: str) -> Job | None:
    """Returns the job as it is afterwards, changed or not, or None if no job has this id. Raises `UnreadableRow`."""
    _lock_keys(tables.jobs, action)
    stored = stored_of(tables.jobs.lock({job_id}), tables.jobs, job_id)
    if stored is None:
        return None
    changed = _CHANGES[action](tables, now, accounts, [stored])
    return changed[0] if changed else stored.job


def change_each(tables: Tables, now: float, accounts: Accounts, action: Action, job_ids: Sequence[str]) -> Changed:
    """Rows that cannot be read match and stay as they are. Raises `UnreadableRow` if there are no others."""
    _lock_keys(tables.jobs, action)
    found = tables.jobs.lock(set(job_ids))
    jobs = [found[job_id] for job_id in dict.fromkeys(job_ids) if job_id in found]
    odd = tables.jobs.odd
    unreadable = [job_id for job_id in set(job_ids) - found.keys() if odd.why("jobs", id=job_id)] if len(odd) else []
    if unreadable and not jobs:
        odd.refuse("jobs", id=min(unreadable))
    return Changed(_CHANGES[action](tables, now, accounts, jobs), matched=len(jobs) + len(unreadable))


def change_all(
    tables: Tables,
    now: float,
    accounts: Accounts,
    action: Action,
    which: Filter,
    *,
    limit: int,
    after: int | None,
) -> Changed:
    _lock_keys(tables.jobs, action)
    page = list_jobs(tables.jobs, which, limit=limit, after=after)
    found = tables.jobs.lock({job.id for job in page.jobs})
    # Another host may have changed a job after the page was read and before it was locked.
    jobs = [found[job.id] for job in page.jobs if job.id in found and which.matches(found[job.id].job)]
    changed = _CHANGES[action](tables, now, accounts, jobs)
    return Changed(changed, matched=len(page.jobs), next=page.next)


def _lock_keys(jobs: JobTable, action: Action) -> None:
    if action is Action.RETRY:
        jobs.lock_media_keys()


def _retry(tables: Tables, now: float, accounts: Accounts, jobs: Sequence[StoredJob]) -> list[Job]:
    """Queue them again. If several are for the same media, only the first is. If a record is at least as new as a job's
    last attempt, that job is not. A waiting job is due now."""
    due = [woken(stored, now) for stored in jobs if stored.job.state is State.WAITING]
    apply(tables, due)
    candidates = [stored for stored in jobs if stored.job.state in RETRYABLE]
    keys = {stored.job.media_key for stored in candidates}
    owners = {key: stored.job.id for key, stored in tables.jobs.live(keys).items()}
    records = known_of(tables.media, accounts, [stored.job for stored in candidates])
    changed = []
    for stored, known in zip(candidates, records, strict=True):
        key = stored.job.media_key
        # An `unknown` job is retryable and live: it owns its key itself.
        if not is_warm_since(known, stored) and owners.setdefault(key, stored.job.id) == stored.job.id:
            changed.append(requeued(stored, now))
    apply(tables, changed)
    return [stored.job for stored in (*due, *changed)]


def _cancel(tables: Tables, now: float, _: Accounts, jobs: Sequence[StoredJob]) -> list[Job]:
    cancellable = [stored for stored in jobs if stored.job.state in CANCELLABLE]
    changed = [cancelled(stored, now) for stored in cancellable]
    apply(tables, changed)
    cut_off = [stored for stored in cancellable if stored.job.state is State.RUNNING]
    tables.attempts.append([attempts.cancelled(stored, now) for stored in cut_off])
    return [stored.job for stored in changed]


def _forget(tables: Tables, _: float, accounts: Accounts, jobs: Sequence[StoredJob]) -> list[Job]:
    gone = [stored.job for stored in jobs if stored.job.state in RETRYABLE]
    delete_jobs(tables, gone)
    done = [stored.job for stored in jobs if stored.job.state is State.DONE]
    return [*gone, *delete_records_of(tables, accounts, done)]


_CHANGES: Mapping[Action, Callable[[Tables, float, Accounts, Sequence[StoredJob]], list[Job]]] = {
    Action.RETRY: _retry,
    Action.CANCEL: _cancel,
    Action.FORGET: _forget,
}
