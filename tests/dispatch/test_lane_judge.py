"""What a bot loses if these fail: a chat's refusals, known to one process and forgotten by the next, cost every job."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import evolve, frozen

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.memory.store import open_memory_store
from streamwarm.backlog.settlement import Failed, Ran, Retry
from streamwarm.backlog.shared_limits import RefusalEffect
from streamwarm.backlog.store import Store
from streamwarm.dispatch.lane_judge import LaneJudge
from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.limits_follower import LimitsFollower
from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.model import Claim, Kind, Lane, NewJob, Route
from streamwarm.send.telegram.rates import unlimited_rates
from streamwarm.stream.outcome import after_refusal
from streamwarm.watch.observations import DestinationPaused, Observation
from tests.worlds.backlog import Clock, claim_one, done, numbered

ONE, TWO = "-1001", "-1002"


@frozen
class Process:
    """What one process knows: its limits, and its judge over the store that all share."""

    store: Store
    clock: Clock
    limits: Limits
    judge: LaneJudge
    seen: list[Observation]

    def free_at(self, kind: Kind = Kind.VOICE) -> float:
        return self.limits.route_free_at(Route("bot", kind))

    async def refused(self, job_id: str, lane: str = ONE) -> RefusalEffect:
        """The lane refuses the job in unknown words, and the outcome is stored."""
        claim = evolve(await claim_one(self.store, job_id), lane=Lane(lane, lane))
        error = DestinationError(ErrorCode.DESTINATION_REFUSED, "CHAT_MOOD", permanent=False, is_unclear=True)
        effect = await self.judge.weigh(claim, error)
        assert effect is not None
        settlement = after_refusal(claim, error, effect, max_attempts=5)
        assert isinstance(settlement, Failed | Retry)
        await self.store.settle([evolve(settlement, ran=Ran(1, lane, 5))])
        return effect

    async def took(self, job_id: str, lane: str = ONE) -> None:
        claim: Claim = evolve(await claim_one(self.store, job_id), lane=Lane(lane, lane))
        await self.store.settle([evolve(done(claim), takes_again=self.judge.took(claim), ran=Ran(1, lane, 5))])


def process(store: Store, clock: Clock, chats: tuple[str, ...]) -> Process:
    seen: list[Observation] = []
    limits = Limits({"bot": unlimited_rates(chats)})
    return Process(store, clock, limits, LaneJudge(store, limits, clock, clock, 5, lambda: None, seen.append), seen)


@asynccontextmanager
async def processes(*chats: str, jobs: int = 12) -> AsyncIterator[tuple[Process, Process]]:
    clock = Clock()
    names = {"new_id": numbered("job-"), "new_token": numbered("token-")}
    async with open_memory_store(limits=StoreBounds(), now=clock, **names) as store:
        await store.push([NewJob("bot", Kind.VOICE, f"{n}", id=f"j{n}") for n in range(jobs)])
        yield process(store, clock, chats), process(store, clock, chats)


async def test_three_jobs_that_two_hosts_saw_refused_set_the_chat_aside() -> None:
    async with processes(ONE) as (one, two):
        for n, host in enumerate((one, two, one)):
            one.clock.at += 1
            effect = await host.refused(f"j{n}")
        assert effect.set_aside is not None
        assert effect.set_aside.until == one.clock.at + 30
        assert one.free_at() == one.clock.at + 30
        assert one.free_at(Kind.PHOTO) < one.clock.at
        paused = [seen for seen in one.seen if isinstance(seen, DestinationPaused)]
        assert [(seen.lane, seen.kind) for seen in paused] == [(ONE, Kind.VOICE)]


async def test_a_restart_forgets_no_refusal_and_tries_the_chat_with_one_job() -> None:
    async with processes(ONE) as (before, after):
        for n in range(3):
            before.clock.at += 1
            await before.refused(f"j{n}")
        before.clock.at += 31
        effect = await after.refused("j3")
        assert not effect.counts  # the chat is at fault by now
        assert effect.set_aside is not None
        assert effect.set_aside.until == before.clock.at + 60
        assert effect.set_aside.room == 1


async def test_a_chat_that_takes_a_job_again_is_used_again_at_once() -> None:
    async with processes(ONE) as (one, _):
        for n in range(3):
            await one.refused(f"j{n}")
        one.clock.at += 31
        await one.took("j5")
        assert one.free_at() < one.clock.at
        assert (await one.store.shared_limits()).set_asides == []


async def test_a_job_that_every_chat_refuses_fails_and_says_so() -> None:
    async with processes(ONE, TWO, jobs=1) as (one, _):
        lanes = [ONE, TWO, ONE, TWO, ONE]
        for attempt, lane in enumerate(lanes, 1):
            effect = await one.refused("j0", lane)
            assert effect.fails is (attempt == 5)
            one.clock.at += 61
            await one.store.wake_due()
        job = await one.store.get("j0")
        assert job is not None
        assert job.error is not None
        assert "every chat has refused it" in job.error.message


async def test_what_was_refused_before_a_resume_sets_no_chat_aside_after_it() -> None:
    """A user has fixed the chat: one bad file must not close it for an hour."""
    async with processes(ONE) as (one, _):
        for n in range(6):
            await one.refused(f"j{n}")
            one.clock.at += 1
        await one.store.resume("bot")
        one.limits.resume("bot", one.clock.at)
        one.clock.at += 1
        for n, is_out in ((6, False), (7, False), (8, True)):
            assert ((await one.refused(f"j{n}")).set_aside is not None) is is_out
            one.clock.at += 1


async def test_a_job_ends_though_the_chat_that_it_waited_for_is_no_longer_in_the_settings() -> None:
    async with processes(ONE, TWO, jobs=1) as (one, _):
        for _ in range(5):
            effect = await one.refused("j0", ONE)
            one.clock.at += 61
            await one.store.wake_due()
        assert effect.barred.until == math.inf
        restarted = process(one.store, one.clock, (ONE,))
        [queued] = await one.store.queued(1)
        assert restarted.limits.route_free_at(queued.route) <= one.clock.at
        lane = restarted.limits.reserve(queued.route, one.clock.at)
        assert lane is not None
        assert (await restarted.refused("j0", lane.name)).fails


async def test_a_refused_job_goes_to_the_other_chat_within_seconds_and_not_back() -> None:
    async with processes(ONE, TWO, jobs=1) as (one, _):
        effect = await one.refused("j0", ONE)
        assert effect.retry_at - one.clock.at < 5
        one.clock.at += 5
        await one.store.wake_due()
        [queued] = await one.store.queued(1)
        lane = one.limits.reserve(queued.route, one.clock.at)
        assert lane is not None
        assert lane.name == TWO


TOPICS = ("-1001/2", "-1001/3", "-1001/4", "-1001/5")


async def test_topics_of_a_chat_that_refuses_all_are_set_aside_together_for_every_host() -> None:
    async with processes(*TOPICS, TWO) as (one, two):
        for n, (host, topic) in enumerate(zip((one, two, one), TOPICS, strict=False)):
            one.clock.at += 1
            effect = await host.refused(f"j{n}", topic)
        assert effect.set_aside is not None
        lanes = one.limits.state("bot").lanes
        assert {lane.free_at(Kind.VOICE) for name, lane in lanes.items() if name != TWO} == {one.clock.at + 30}
        assert lanes[TWO].free_at(Kind.VOICE) < one.clock.at
        assert all(lane.free_at(Kind.PHOTO) < one.clock.at for lane in lanes.values())
        restarted = process(one.store, one.clock, (*TOPICS, TWO))
        follower = LimitsFollower(
            one.store, restarted.limits, 1, one.clock, one.clock, lambda: None, one.seen.append, lambda *_: False
        )
        await follower.refresh()
        lanes = restarted.limits.state("bot").lanes
        assert lanes[TOPICS[3]].free_at(Kind.VOICE) == one.clock.at + 30
        one.clock.at += 31
        route = Route("bot", Kind.VOICE)
        assert restarted.limits.reserve(route, one.clock.at) is not None
        assert restarted.limits.reserve(route, one.clock.at) is not None
        tried = [lane.under_way[Kind.VOICE] for name, lane in lanes.items() if name != TWO]
        assert sum(tried) <= 1  # one topic is tried, not each of them
        await restarted.took("j7", TOPICS[0])
        await follower.refresh()
        assert lanes[TOPICS[3]].free_at(Kind.VOICE) < one.clock.at
        assert (await one.store.shared_limits()).set_asides == []


async def test_a_topic_that_refuses_all_leaves_the_chats_other_topics_in_use() -> None:
    async with processes(*TOPICS[:2]) as (one, _):
        for n in range(3):
            await one.refused(f"j{n}", TOPICS[0])
            one.clock.at += 1
            await one.took(f"j{n + 6}", TOPICS[1])
            one.clock.at += 1
        lanes = one.limits.state("bot").lanes
        assert lanes[TOPICS[0]].free_at(Kind.VOICE) > one.clock.at
        assert lanes[TOPICS[1]].free_at(Kind.VOICE) < one.clock.at


async def test_a_job_that_one_topic_refused_goes_to_another_chat_before_another_topic() -> None:
    async with processes(*TOPICS[:2], TWO) as (one, _):
        effect = await one.refused("j0", TOPICS[0])
        assert effect.retry_at - one.clock.at < 5
        lane = one.limits.reserve(Route("bot", Kind.VOICE, effect.barred), effect.retry_at)
        assert lane is not None
        assert lane.name == TWO
    async with processes(*TOPICS[:2], jobs=1) as (one, _):
        for _ in range(5):
            effect = await one.refused("j0", TOPICS[0])
            one.clock.at += 61
            await one.store.wake_due()
        assert not effect.fails  # the other topic has not seen it
        [queued] = await one.store.queued(1)
        lane = one.limits.reserve(queued.route, one.clock.at)
        assert lane is not None
        assert lane.name == TOPICS[1]
