"""What becomes of each job of a push: a pure decision, from what the store knew before.

The order of the checks is that of `Store.push`. Jobs of one push see each other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from attrs import define, evolve, field, frozen

from streamwarm.backlog.core.refresh import Known, Need, need_of
from streamwarm.backlog.core.transitions import StoredJob, arrived, compared, joined, requeued
from streamwarm.backlog.store import Pushed, RefusalCode, Refused
from streamwarm.model import Job, JsonObject, MediaKey, NewJob, State


@frozen
class Stored:
    """What the store knows about the jobs of a push.

    `records` has for each job the records that may answer it. `room`: how many more may become pending. `unreadable`
    says why a row that has this id, or is live for this media, cannot be read.
    """

    by_id: Mapping[str, StoredJob]
    live: Mapping[MediaKey, StoredJob]
    records: Sequence[Known]
    room: int
    last_seq: int
    unreadable: Mapping[str | MediaKey, str] = field(factory=dict)


@define
class PushPlan:
    """One answer per job, and the rows to insert and to update so that the answers are true.

    `joined` are jobs that a push has joined while they run or wait for a comparison. `answered` are the indexes of the
    jobs that a record answers.
    """

    answers: list[Pushed | Refused] = field(factory=list)
    added: list[StoredJob] = field(factory=list)
    requeued: list[StoredJob] = field(factory=list)
    joined: list[StoredJob] = field(factory=list)
    answered: list[int] = field(factory=list)


def plan_push(jobs: Sequence[NewJob], ids: Sequence[str], store: Stored, *, now: float, trust_s: float) -> PushPlan:
    """`ids[i]` becomes the id of `jobs[i]` if that job is new."""
    plan = PushPlan()
    by_id, live = dict(store.by_id), dict(store.live)
    for index, (new, job_id) in enumerate(zip(jobs, ids, strict=True)):
        key, known = new.media_key, store.records[index]
        need, record, owner = need_of(new, known, now=now, trust_s=trust_s), known.of(new), live.get(key)
        if (why := store.unreadable.get(job_id) or store.unreadable.get(key)) is not None:
            plan.answers.append(Refused(RefusalCode.ID_CONFLICT, why))
            continue
        if (same := by_id.get(job_id)) is not None:
            if not same_content(same.job, new):
                plan.answers.append(_id_conflict(job_id))
                continue
            if same.job.state is not State.DONE or record is not None or owner is not None:
                plan.answers.append(_as_it_is(same.job))
                continue
            stored = requeued(same, now)
            plan.requeued.append(stored)
        elif owner is not None and owner.job.state is State.UNKNOWN:
            plan.answers.append(_as_it_is(owner.job))
            continue
        elif record is not None and need is Need.NOTHING:
            plan.answers.append(Pushed(record.job_id, State.DONE, duplicate=True, result=record.answer))
            plan.answered.append(index)
            continue
        elif owner is not None:
            owner = _joined(owner, need, now, new, plan)
            live[key] = by_id[owner.job.id] = owner
            continue
        elif len(plan.added) >= store.room:
            plan.answers.append(Refused(RefusalCode.QUEUE_FULL, "the backlog is full; push this job again later"))
            continue
        else:
            seq = store.last_seq + len(plan.added) + 1
            stored = arrived(new, seq=seq, job_id=job_id, now=now, to_check=need is Need.CHECK)
            plan.added.append(stored)
        by_id[job_id] = live[key] = stored
        plan.answers.append(_queued(stored))
    return plan


def _joined(owner: StoredJob, need: Need, now: float, new: NewJob, plan: PushPlan) -> StoredJob:
    """Answer a push with the live job of its media. Returns that job as it becomes."""
    if owner.to_check and need is Need.WARMING:
        owner = compared(owner, now, result=None)
        plan.joined.append(owner)
        plan.answers.append(evolve(_as_it_is(owner.job), queued=owner.as_queued))
        return owner
    plan.answers.append(_as_it_is(owner.job, to_check=owner.to_check))
    if owner.to_check or owner.job.state is State.RUNNING:
        owner = joined(owner, now, new.source_etag)
        plan.joined.append(owner)
    return owner


def same_content(job: Job, new: NewJob) -> bool:
    """Whether a pushed job equals a stored one in all that a client gives, apart from the id."""
    return (
        job.destination == new.destination
        and job.kind is new.kind
        and job.r2_key == new.r2_key
        and job.sha256 == new.sha256
        and job.bytes == new.bytes
        and options_text(job.options) == options_text(new.options)
    )


def options_text(options: JsonObject) -> str:
    """Options as the store keeps and compares them. The order of keys makes no difference."""
    return json.dumps(dict(options), sort_keys=True, separators=(",", ":"))


def _queued(stored: StoredJob) -> Pushed:
    job = stored.job
    if stored.to_check:
        return Pushed(job.id, State.QUEUED, duplicate=False, to_check=job.r2_key)
    return Pushed(job.id, State.QUEUED, duplicate=False, queued=stored.as_queued)


def _as_it_is(job: Job, *, to_check: bool = False) -> Pushed:
    return Pushed(job.id, job.state, duplicate=True, result=job.result, to_check=job.r2_key if to_check else None)


def _id_conflict(job_id: str) -> Refused:
    message = f"job {job_id!r} is stored with other content; push this job under another id, or without one"
    return Refused(RefusalCode.ID_CONFLICT, message)
