"""What a user loses without these: their bot's evening to 429s, and each 429 is a whole upload once more."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from streamwarm.dispatch.limits_follower import LimitsFollower
from streamwarm.dispatch.pauses import Pause
from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.model import Kind, Route
from streamwarm.sandbox.bot_api_rates import RateRules, Window
from streamwarm.send.destination import LaneRates, Quota, Rates
from streamwarm.watch.observations import unobserved
from tests.worlds.failing_store import now
from tests.worlds.rates import BOT, Crowd, Upload, World, rate_world

GROUP = -1001
GROUPS = [-1001, -1002, -1003, -1004, -1005]
PERSON = 77

ANY_SPACING = RateRules(chat=Window(1000, 1.0))
"""For answers that come later than a departure waits for them: then short bursts are Telegram's to let pass."""


async def test_one_group_takes_twenty_a_minute_for_an_hour_and_is_never_refused(autojump_clock: MockClock) -> None:
    async with rate_world([GROUP]) as w:
        await w.run_with_work(3600, a_minute=20)
        assert w.far.refused == []
        # A minute begins with an answer: twenty in 60 s and what one message takes.
        assert 1190 <= len(w.far.all_made) <= 1200
        assert max(w.departures_waited_s) == 0  # no worker has waited for a limit


async def test_five_groups_take_a_hundred_a_minute_in_turn(autojump_clock: MockClock) -> None:
    async with rate_world(GROUPS) as w:
        await w.run_with_work(600, a_minute=100)
        assert w.far.refused == []
        assert 990 <= len(w.far.all_made) <= 1000
        assert {len(times) for times in w.far.made.values()} <= {198, 199, 200}


async def test_two_processes_keep_one_groups_minute_also_after_one_of_them_has_left(autojump_clock: MockClock) -> None:
    async with rate_world([GROUP], rules=ANY_SPACING) as w, trio.open_nursery() as nursery:
        crowd = Crowd(w.store, 2)

        async def follow(world: World) -> None:
            dispatcher = world.dispatcher
            follower = LimitsFollower(
                crowd, dispatcher.limits, 1, now, now, dispatcher.wake, unobserved, lambda *_: False
            )
            await nursery.start(follower.follow)

        await follow(w)
        async with rate_world([GROUP], beside=w) as other:
            await follow(other)
            await w.run_with_work(600, a_minute=20)
        by_both = len(w.far.all_made)
        crowd.processes = 1
        await w.run_with_work(600, a_minute=20)
        assert w.far.refused == []
        assert by_both >= 180
        assert len(w.far.all_made) - by_both >= 170  # less half a minute's, until what the other sent counts no more
        nursery.cancel_scope.cancel()


async def test_a_persons_chat_takes_a_message_a_second(autojump_clock: MockClock) -> None:
    async with rate_world([PERSON], upload=lambda _: Upload(0.0, 0.0, 0.0)) as w:
        await w.push(100)
        await trio.sleep(60)
        assert w.far.refused == []
        assert 58 <= len(w.far.all_made) <= 60


async def test_a_bot_with_many_chats_stays_below_thirty_a_second(autojump_clock: MockClock) -> None:
    async with rate_world(range(1, 81), workers=60) as w:
        await w.push(500)
        await trio.sleep(10)
        assert w.far.refused == []
        assert len(w.far.all_made) >= 200


async def test_long_uploads_run_side_by_side_into_one_chat_and_end_one_after_another(
    autojump_clock: MockClock,
) -> None:
    ends_at = 100.0

    def all_end_together(_: object) -> Upload:
        return Upload(sends_s=ends_at - trio.current_time(), counts_s=0.2, answers_s=0.2)

    async with rate_world([GROUP], upload=all_end_together) as w:
        await w.push(5)
        await trio.sleep(ends_at - 1)
        assert w.busy == 5
        await trio.sleep(20)
        assert w.far.refused == []
        made = w.far.all_made
        assert len(made) == 5
        assert all(later - earlier >= 1.0 for earlier, later in pairwise(made))
        assert made[-1] - ends_at < 5 * 2.0


@pytest.mark.parametrize("seed", range(3))
async def test_no_minute_is_overfull_however_long_uploads_and_answers_take(
    seed: int, autojump_clock: MockClock
) -> None:
    chance = random.Random(seed)

    def some(_: object) -> Upload:
        return Upload(chance.expovariate(1 / 5), chance.expovariate(1 / 2), chance.expovariate(1 / 2))

    async with rate_world(GROUPS[:2], workers=8, upload=some, rules=ANY_SPACING) as w:
        await w.push(400)
        await trio.sleep(600)
        assert w.far.refused == []
        assert len(w.far.all_made) > 250


async def test_attempts_that_never_got_to_their_end_take_no_place(autojump_clock: MockClock) -> None:
    async with rate_world([GROUP]) as w:
        limits, dispatcher = w.dispatcher.limits, w.dispatcher
        for _ in range(30):
            lane = limits.reserve(Route(BOT, Kind.PHOTO), dispatcher.steady_now())
            limits.end(Route(BOT, Kind.PHOTO), lane, None, dispatcher.steady_now())
        await w.push(20)
        await trio.sleep(40)
        assert len(w.far.all_made) == 20


async def test_a_store_that_failed_while_claiming_costs_no_place_in_the_minute(autojump_clock: MockClock) -> None:
    one_a_minute = Rates(lanes={str(GROUP): LaneRates(quotas=(Quota(1, 60.0),))})
    async with rate_world([], rates=one_a_minute, failures={"claim": 3}) as w:
        await w.push(2)
        await trio.sleep(30)
        assert len(w.far.all_made) == 1
        await trio.sleep(60)
        assert len(w.far.all_made) == 2


async def test_a_chat_that_was_silenced_under_an_upload_is_waited_for_briefly_or_not_at_all(
    autojump_clock: MockClock,
) -> None:
    async with rate_world([GROUP], workers=0) as w:
        limits, now = w.dispatcher.limits, w.dispatcher.steady_now
        await w.push(1)
        (queued,) = await w.store.queued(1)
        (claim,) = await w.store.claim([queued.id])
        lane = limits.reserve(Route(BOT, Kind.PHOTO), now())
        claim = type(claim)(claim.job, claim.lease, lane)
        limits.cool_down_lane(BOT, str(GROUP), Pause(now() + 10, "429"), now())
        began = trio.current_time()
        await w.dispatcher.depart(claim, 1)
        assert trio.current_time() - began == pytest.approx(10)
        limits.cool_down_lane(BOT, str(GROUP), Pause(now() + 100, "429"), now())
        with pytest.raises(DestinationError) as caught:
            await w.dispatcher.depart(claim, 1)
        assert (caught.value.code, caught.value.counts) == (ErrorCode.RATE_LIMITED, False)
        assert trio.current_time() - began == pytest.approx(10)
        assert limits.state(BOT).lanes[str(GROUP)].usage.departing == 0


async def test_an_upload_that_is_cancelled_in_its_turn_leaves_the_turn_to_the_next(autojump_clock: MockClock) -> None:
    async with rate_world([GROUP], workers=0) as w:
        limits, dispatcher = w.dispatcher.limits, w.dispatcher
        await w.push(3)
        claims = [
            type(claim)(claim.job, claim.lease, limits.reserve(Route(BOT, Kind.PHOTO), dispatcher.steady_now()))
            for claim in await w.store.claim([job.id for job in await w.store.queued(3)])
        ]
        await dispatcher.depart(claims[0], 1)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            with trio.move_on_after(0.5):
                await dispatcher.depart(claims[1], 1)
            nursery.start_soon(dispatcher.depart, claims[2], 1)
        assert trio.current_time() - began == pytest.approx(2.0)
        for claim, departed_at in zip(claims, (dispatcher.steady_now(), None, dispatcher.steady_now()), strict=True):
            dispatcher.ended(claim, departed_at)
        usage = limits.state(BOT).lanes[str(GROUP)].usage
        assert (usage.in_flight, usage.departing, len(usage.counted_at)) == (0, 0, 2)


async def test_objects_of_one_size_are_spaced_across_the_chats_of_a_bot(autojump_clock: MockClock) -> None:
    async with rate_world(GROUPS, workers=0) as w:
        await w.push(3)
        claims = await w.store.claim([job.id for job in await w.store.queued(3)])
        departed: list[float] = []

        async def depart(index: int) -> None:
            claim = claims[index]
            lane = w.dispatcher.limits.reserve(Route(BOT, Kind.PHOTO), w.dispatcher.steady_now())
            await w.dispatcher.depart(type(claim)(claim.job, claim.lease, lane), 5_000_000)
            departed.append(trio.current_time())

        async with trio.open_nursery() as nursery:
            for index in range(3):
                nursery.start_soon(depart, index)
        assert [later - earlier for earlier, later in pairwise(departed)] == [pytest.approx(0.5)] * 2
