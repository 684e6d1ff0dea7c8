"""Counts what destinations' lanes took just before the service started: from the jobs that are done, and from attempts
whose answer or worker was lost, for their messages may have arrived."""

from __future__ import annotations

from collections.abc import Iterable

from streamwarm.backlog.store import Filter, Store
from streamwarm.dispatch.limits import Limits
from streamwarm.errors import ErrorCode
from streamwarm.model import AttemptRecord, Job, Outcome, State

RECALLED_S = 60.0
"""The longest window of any quota, in seconds: what was sent before it does not count any more."""

RECALLED_JOBS = 500
"""How many of the newest jobs of each state are read. A group takes 20 messages in that time, a bot 1,800."""


async def recall_lanes(store: Store, limits: Limits) -> None:
    """Count what each lane took in the last minute, so that a restart does not send into chats whose minute is full.

    Lanes' moved addresses must be known already. Raises `StoreUnavailable`.
    """
    done = await store.list_jobs(Filter(state=State.DONE), limit=RECALLED_JOBS)
    since = store.now() - RECALLED_S
    for job in done.jobs:
        chat_id = (job.result or {}).get("chat_id")
        if job.updated_at > since and chat_id is not None:
            # Never later than now: a clock that was set back since has ended it.
            limits.recall(job.destination, str(chat_id), min(job.updated_at, store.now()))
    for state in State:
        found = await store.list_jobs(Filter(state=state), limit=RECALLED_JOBS)
        for job in found.jobs:
            if job.updated_at > since and _may_have_lost_an_answer(job):
                _recall_unanswered(limits, job.destination, await store.attempts(job.id) or (), since, store.now())


def _may_have_lost_an_answer(job: Job) -> bool:
    return job.possible_duplicate or (job.error is not None and job.error.code is ErrorCode.DELIVERY_UNKNOWN)


def _recall_unanswered(
    limits: Limits, destination: str, attempts: Iterable[AttemptRecord], since: float, now: float
) -> None:
    """Count each attempt whose message may have arrived, in its lane. If its lane is not known, in every lane."""
    lanes = [lane.address for lane in limits.state(destination).lanes.values()]
    for attempt in attempts:
        lost_answer = attempt.error is not None and attempt.error.code is ErrorCode.DELIVERY_UNKNOWN
        unanswered = lost_answer or attempt.outcome in {Outcome.LOST, Outcome.CANCELLED}
        if unanswered and attempt.ended_at is not None and attempt.ended_at > since:
            for address in lanes if attempt.lane is None else [attempt.lane]:
                limits.recall(destination, address, min(attempt.ended_at, now))
