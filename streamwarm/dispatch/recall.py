"""Counts what destinations' lanes took just before the service started, from the attempts that are kept. Those whose
answer or worker was lost count too, for their messages may have arrived."""

from __future__ import annotations

from streamwarm.attempts import LaneAttempt, Outcome
from streamwarm.backlog.store import Filter, Store
from streamwarm.dispatch.limits import Limits
from streamwarm.errors import ErrorCode
from streamwarm.model import Job, State

RECALLED_S = 60.0
"""The longest window of any quota, in seconds: what was sent before it does not count any more."""

RECALLED = 100
"""How many attempts at a lane are read. A group takes 20 messages in that time, a chat one a second."""

RECALLED_JOBS = 500
"""How many of the newest jobs of each state are looked through for lost attempts. A bot sends 1,800 in that time."""


async def recall_lanes(store: Store, limits: Limits) -> None:
    """Count what each lane took in the last minute, so that a restart does not send into chats whose minute is full.

    Lanes' moved addresses must be known already. Raises `StoreUnavailable`.
    """
    now = store.now()
    for destination in limits.rates:
        for lane in limits.state(destination).lanes.values():
            sent = await store.attempts_at_lane(lane.address, since=now - RECALLED_S, limit=RECALLED)
            for one in reversed(sent):
                if one.destination == destination and _may_have_arrived(one):
                    # Never later than now: a clock that was set back since has ended it.
                    limits.recall(destination, lane.address, min(one.ended_at, now))
    await _recall_lost(store, limits, now)


def _may_have_arrived(attempt: LaneAttempt) -> bool:
    lost_answer = attempt.error is not None and attempt.error.code is ErrorCode.DELIVERY_UNKNOWN
    return lost_answer or attempt.outcome in {Outcome.DONE, Outcome.UNKNOWN}


def _may_have_lost_a_worker(job: Job) -> bool:
    """A job that is held has no flag, but the error of a lost answer."""
    return job.possible_duplicate or (job.error is not None and job.error.code is ErrorCode.DELIVERY_UNKNOWN)


async def _recall_lost(store: Store, limits: Limits, now: float) -> None:
    """Count the attempts that were lost or cancelled. Nobody knows their lane, so each counts in every lane."""
    for state in State:
        found = await store.list_jobs(Filter(state=state), limit=RECALLED_JOBS)
        for job in found.jobs:
            if job.updated_at <= now - RECALLED_S or not _may_have_lost_a_worker(job):
                continue
            for attempt in await store.attempts(job.id) or ():
                is_lost = attempt.lane is None and attempt.outcome in {Outcome.LOST, Outcome.CANCELLED}
                if is_lost and attempt.ended_at is not None and attempt.ended_at > now - RECALLED_S:
                    for lane in limits.state(job.destination).lanes.values():
                        limits.recall(job.destination, lane.address, min(attempt.ended_at, now))
