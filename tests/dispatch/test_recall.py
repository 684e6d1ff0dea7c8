"""A chat whose minute is full gets no message more because the service was restarted, whatever became of the last ones:
Telegram would answer 429, and the upload would be made twice."""

from __future__ import annotations

import pytest

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.memory.store import open_memory_store
from streamwarm.backlog.settlement import Done, Failed, Ran, Retry
from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.limits_follower import LimitsFollower
from streamwarm.dispatch.recall import recall_lanes
from streamwarm.errors import ErrorCode, JobError
from streamwarm.model import SeenObject, State
from streamwarm.send.destination import LaneRates, Quota, Rates
from streamwarm.watch.observations import unobserved
from tests.worlds.backlog import Clock, claim_one, numbered, photo, push_one
from tests.worlds.rates import Crowd

LOST = JobError(ErrorCode.DELIVERY_UNKNOWN, "the answer was lost", permanent=False)
REFUSED = JobError(ErrorCode.DESTINATION_UNAVAILABLE, "503", permanent=False)
LANE = "-1001"
ENDINGS = {
    "held": (LOST, State.UNKNOWN, 1),
    "sent again": (LOST, State.WAITING, 1),
    "failed at last": (LOST, State.FAILED, 1),
    "refused": (REFUSED, State.WAITING, 0),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_what_got_no_answer_counts_after_a_restart(ending: str) -> None:
    error, state, counted = ENDINGS[ending]
    ran = Ran(worker=1, lane=LANE, bytes=10)
    clock = Clock()
    names = {"new_id": numbered("job-"), "new_token": numbered("token-")}
    async with open_memory_store(limits=StoreBounds(), now=clock, **names) as store:
        claim = await claim_one(store, (await push_one(store, photo())).id)
        if state is State.WAITING:
            lost = error is LOST
            await store.settle([Retry(claim.lease, error, clock.at, possible_duplicate=lost, ran=ran)])
        else:
            await store.settle([Failed(claim.lease, error, state, ran=ran)])
        assert await taken(store, clock) == counted
        clock.at += 61
        assert await taken(store, clock) == 0


@pytest.mark.parametrize("is_held", [False, True])
async def test_what_a_lost_worker_was_sending_counts_in_every_chat_it_may_have_been_for(is_held: bool) -> None:
    """Also if the job is held, because its last bytes may have left (seed 1387 of the simulation)."""
    clock = Clock()
    names = {"new_id": numbered("job-"), "new_token": numbered("token-")}
    async with open_memory_store(limits=StoreBounds(), now=clock, **names) as store:
        claim = await claim_one(store, (await push_one(store, photo())).id)
        if is_held:
            assert await store.note_departure(claim.lease)
        await store.rescue(everything=True)
        assert await taken(store, clock) == 1


async def taken(store, clock: Clock) -> int:  # type: ignore[no-untyped-def]
    """How many messages a service that starts now counts in the chat's minute."""
    limits = Limits({"bot": Rates(lanes={LANE: LaneRates(0.0, (Quota(20, 60.0),))})})
    await recall_lanes(store, limits)
    return counted(limits, clock)


def counted(limits: Limits, clock: Clock) -> int:
    return sum(at > clock.at - 60.0 for at in limits.state("bot").lanes[LANE].usage.counted_at)


async def test_a_host_that_was_counted_out_counts_what_the_others_sent_in_its_place() -> None:
    """Seed 842 of the simulation: it had stood still, and sent its own share on top of a full minute."""
    rates = {"bot": Rates(lanes={LANE: LaneRates(0.0, (Quota(20, 60.0),))})}
    clock = Clock()
    names = {"new_id": numbered("job-"), "new_token": numbered("token-")}
    async with open_memory_store(limits=StoreBounds(), now=clock, **names) as store:
        limits = Limits(rates)
        follower = LimitsFollower(Crowd(store, 2), limits, 1, clock, clock, lambda: None, unobserved, lambda *_: False)
        await follower.refresh()
        claim = await claim_one(store, (await push_one(store, photo())).id)
        seen = SeenObject("a.jpg", 10, None, None, None)
        await store.settle([Done(claim.lease, {}, seen, ran=Ran(worker=1, lane=LANE, bytes=10))])
        clock.at += 5
        await follower.refresh()
        assert counted(limits, clock) == 0, "it was there all the time, and each process counts its own"
        clock.at += 20
        await follower.refresh()
        assert counted(limits, clock) == 1
