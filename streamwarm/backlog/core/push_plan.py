"""What becomes of each job of a push: a pure decision, from what the store knew before.

The order of the checks is that of `Store.push`. Jobs of one push see each other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from attrs import define, field, frozen

from streamwarm.backlog.core.transitions import StoredJob, arrived, requeued
from streamwarm.backlog.store import Pushed, RefusalCode, Refused
from streamwarm.model import Job, JsonObject, MediaKey, NewJob, State, WarmRecord


@frozen
class Known:
    """What the store knows about the jobs of a push.

    `room`: how many more may become pending. `unreadable` says why a row that has this id, or is live for this media,
    cannot be read.
    """

    by_id: Mapping[str, StoredJob]
    live: Mapping[MediaKey, StoredJob]
    warm: Mapping[MediaKey, WarmRecord]
    room: int
    last_seq: int
    unreadable: Mapping[str | MediaKey, str] = field(factory=dict)


@define
class PushPlan:
    """One answer per job, and the rows to insert and to update so that the answers are true."""

    answers: list[Pushed | Refused] = field(factory=list)
    added: list[StoredJob] = field(factory=list)
    requeued: list[StoredJob] = field(factory=list)


def plan_push(jobs: Sequence[NewJob], ids: Sequence[str], known: Known, *, now: float) -> PushPlan:
    """`ids[i]` becomes the id of `jobs[i]` if that job is new."""
    plan = PushPlan()
    by_id, live = dict(known.by_id), dict(known.live)
    for new, job_id in zip(jobs, ids, strict=True):
        key = new.media_key
        if (why := known.unreadable.get(job_id) or known.unreadable.get(key)) is not None:
            plan.answers.append(Refused(RefusalCode.ID_CONFLICT, why))
            continue
        if (same := by_id.get(job_id)) is not None:
            if not same_content(same.job, new):
                plan.answers.append(_id_conflict(job_id))
                continue
            forgotten = same.job.state is State.DONE and key not in known.warm and key not in live
            if not forgotten:
                plan.answers.append(_as_it_is(same.job))
                continue
            stored = requeued(same, now)
            plan.requeued.append(stored)
        elif (record := known.warm.get(key)) is not None:
            plan.answers.append(Pushed(record.job_id, State.DONE, duplicate=True, result=record.result))
            continue
        elif (owner := live.get(key)) is not None:
            plan.answers.append(_as_it_is(owner.job))
            continue
        elif len(plan.added) >= known.room:
            plan.answers.append(Refused(RefusalCode.QUEUE_FULL, "the backlog is full; push this job again later"))
            continue
        else:
            stored = arrived(new, seq=known.last_seq + len(plan.added) + 1, job_id=job_id, now=now)
            plan.added.append(stored)
        by_id[job_id] = live[key] = stored
        plan.answers.append(Pushed(job_id, State.QUEUED, duplicate=False, queued=stored.as_queued))
    return plan


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


def _as_it_is(job: Job) -> Pushed:
    return Pushed(job.id, job.state, duplicate=True, result=job.result)


def _id_conflict(job_id: str) -> Refused:
    message = f"job {job_id!r} is stored with other content; push this job under another id, or without one"
    return Refused(RefusalCode.ID_CONFLICT, message)
