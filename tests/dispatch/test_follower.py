"""What one process of the store learns holds in the others: a user's pause (which never ends a destination's own) and
resume, a moved chat, a 429."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import define
from trio.testing import MockClock

from streamwarm.backlog.core.record_operations import MOST_SUSPECTS
from streamwarm.backlog.settlement import Retry
from streamwarm.backlog.shared_limits import Cooldown, MovedLane
from streamwarm.backlog.store import Pushed
from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.limits_follower import LimitsFollower
from streamwarm.dispatch.pauses import Pause, PausedBy
from streamwarm.errors import ErrorCode, JobError
from streamwarm.model import Kind, NewJob, Route, WarmRecord
from streamwarm.send.destination import LaneRates, Quota, Rates
from streamwarm.watch.observations import StoreTrouble
from tests.worlds.failing_store import FailingStore, memory_store, now
from tests.worlds.rates import Crowd

RATES = {"mybot": Rates(lanes={"-1": LaneRates(), "-2": LaneRates(), "-3": LaneRates()})}
POLLS_S = 5.0
"""Longer than a poll."""


@define
class World:
    store: FailingStore
    limits: Limits
    follower: LimitsFollower
    wakes: list[None]
    observed: list[Any]

    async def cool_down(self, lane: str | None, for_s: float) -> None:
        """As another process does it whose attempt is answered with a 429."""
        (pushed,) = await self.store.push([NewJob("mybot", Kind.PHOTO, f"{lane}")])
        assert isinstance(pushed, Pushed)
        (claim,) = await self.store.claim([pushed.id])
        error = JobError(ErrorCode.RATE_LIMITED, "429", permanent=False)
        cooldown = Cooldown("mybot", lane, now() + for_s, "429")
        await self.store.settle([Retry(claim.lease, error, now(), counts=False, cooldown=cooldown)])


def nothing_new(*_: object) -> bool:
    """The bucket's pause has not changed."""
    return False


@asynccontextmanager
async def world(rates: dict[str, Rates] = RATES) -> AsyncIterator[World]:
    wakes: list[None] = []
    observed: list[Any] = []
    async with memory_store() as memory, trio.open_nursery() as nursery:
        store, limits = FailingStore(memory), Limits(rates)
        follower = LimitsFollower(store, limits, 1, now, now, lambda: wakes.append(None), observed.append, nothing_new)
        await store.pause("kept", None)
        await nursery.start(follower.follow)
        wakes.clear()
        yield World(store, limits, follower, wakes, observed)
        nursery.cancel_scope.cancel()


async def test_a_pause_kept_in_the_store_is_obeyed_before_the_first_job(autojump_clock: MockClock) -> None:
    async with world() as w:
        assert w.limits.free_at("kept") > now()
        assert w.limits.free_at("other") <= now()


async def test_the_whole_service_is_held_until_the_time_that_was_given(autojump_clock: MockClock) -> None:
    async with world() as w:
        ends_at = now() + 60
        await w.store.pause(None, ends_at)
        await w.follower.refresh()
        assert w.wakes
        assert w.limits.free_at("other") > now()
        assert w.limits.next_change_at(now()) == ends_at
        assert w.limits.service_pause(now()) is not None
        assert "other" not in w.limits.active(now())  # its own pause is another thing
        await trio.sleep(60)
        assert w.limits.free_at("other") <= now()
        assert w.limits.service_pause(now()) is None


async def test_a_pause_ordered_at_another_process_is_obeyed_soon(autojump_clock: MockClock) -> None:
    async with world() as w:
        w.store.failures["shared_limits"] = 1
        await w.store.pause("other", None)
        await trio.sleep(POLLS_S)
        assert w.limits.free_at("other") > now()
        assert [type(o) for o in w.observed] == [StoreTrouble]
        await w.store.resume("other")
        await trio.sleep(POLLS_S)
        assert w.limits.free_at("other") <= now()


async def test_an_order_is_answered_once_the_other_processes_obey_it_too(autojump_clock: MockClock) -> None:
    async with world() as there, trio.open_nursery() as nursery:
        here = LimitsFollower(there.store, Limits(RATES), 2, now, now, lambda: None, there.observed.append, nothing_new)
        await nursery.start(here.follow)
        await trio.sleep(0.1)  # the other has just looked
        await there.store.pause("other", None)
        await here.refresh_everywhere()
        assert here.limits.free_at("other") > now()
        assert there.limits.free_at("other") > now()
        nursery.cancel_scope.cancel()


async def test_resuming_leaves_a_429_its_deadline_but_ends_what_waits_for_a_person(autojump_clock: MockClock) -> None:
    async with world() as w:
        for name, until in (("limited", now() + 30), ("revoked", None)):
            w.limits.pause(name, Pause(until, "its own words"))
            await w.store.pause(name, None)
        await w.follower.refresh()
        assert w.limits.active(now())["limited"].by is PausedBy.USER
        for name in ("limited", "revoked"):
            await w.store.resume(name)
            await w.follower.refresh()
        assert w.limits.free_at("limited") > now()
        assert w.limits.active(now())["limited"].by is PausedBy.DESTINATION
        assert w.limits.free_at("revoked") <= now()
        await trio.sleep(30)
        assert w.limits.free_at("limited") <= now()


async def test_what_was_mended_is_tried_again_here_too_each_time_and_goes_on_at_once(autojump_clock: MockClock) -> None:
    async with world() as w:
        for _ in range(2):
            for lane in ("-1", "-2", "-3"):
                w.limits.set_lane_aside("mybot", lane, Pause(None, "kicked", fixable=True))
            await trio.sleep(POLLS_S)
            assert w.limits.free_at("mybot") > now()
            await w.store.resume("mybot")  # at another process
            await trio.sleep(POLLS_S)
            assert w.limits.free_at("mybot") <= now()
        assert len(w.wakes) == 2
        w.limits.set_lane_aside("mybot", "-1", Pause(None, "kicked", fixable=True))
        await trio.sleep(POLLS_S)  # a resume clears earlier faults, not later ones
        assert w.limits.state("mybot").lanes["-1"].set_aside is not None


async def test_a_chat_that_has_moved_is_followed_and_one_set_aside_since_stays_out(autojump_clock: MockClock) -> None:
    async with world() as w:
        await w.store.move_lane(MovedLane("mybot", "-1", "-1001"))
        await w.store.move_lane(MovedLane("mybot", "-7", "-1007"))  # not configured here
        await trio.sleep(POLLS_S)
        lane = w.limits.state("mybot").lanes["-1"]
        assert (lane.address, len(w.wakes)) == ("-1001", 1)
        w.limits.set_lane_aside("mybot", "-1", Pause(None, "kicked", fixable=True))
        await trio.sleep(POLLS_S)
        assert lane.set_aside is not None
        assert len(w.wakes) == 1


async def test_two_silent_chats_do_not_silence_the_third(autojump_clock: MockClock) -> None:
    async with world() as w:
        await w.cool_down("-1", 60)
        await w.cool_down("-2", 40)
        await w.cool_down("-7", 60)  # not configured here
        await trio.sleep(POLLS_S)
        assert w.limits.free_at("mybot") <= now()
        assert w.limits.reserve(Route("mybot", Kind.PHOTO), now()).name == "-3"
        assert w.limits.state("mybot").lanes["-1"].pause == Pause(now() + 60 - POLLS_S, "429")
        assert len(w.wakes) == 1


async def test_a_silent_bot_is_left_alone_until_its_deadline_as_soon_as_there_is_word_of_it(
    autojump_clock: MockClock,
) -> None:
    async with world() as w:
        await w.cool_down(None, 60)
        w.follower.refresh_soon()
        await trio.sleep(0.1)
        assert w.limits.free_at("mybot") > now()
        await trio.sleep(59)
        assert w.limits.free_at("mybot") > now()
        await trio.sleep(1)
        assert w.limits.free_at("mybot") <= now()


async def test_the_share_of_a_process_that_is_gone_is_free_when_what_it_sent_counts_no_more(
    autojump_clock: MockClock,
) -> None:
    rates = {"mybot": Rates((Quota(20, 60.0),))}
    async with memory_store() as store, trio.open_nursery() as nursery:
        crowd, limits = Crowd(store, 2), Limits(rates)
        follower = LimitsFollower(crowd, limits, 1, now, now, lambda: None, lambda _: None, nothing_new)
        await nursery.start(follower.follow)
        assert hand_out_all(limits) == 10  # and the other as many
        await trio.sleep(POLLS_S)
        crowd.processes = 1
        await trio.sleep(50)
        assert hand_out_all(limits) == 0
        await trio.sleep(20)
        assert hand_out_all(limits) == 20
        crowd.processes = 4
        await trio.sleep(POLLS_S)
        assert limits.processes == 4
        nursery.cancel_scope.cancel()


def hand_out_all(limits: Limits) -> int:
    count = 0
    while limits.free_at("mybot") <= now():
        limits.end(Route("mybot", Kind.PHOTO), limits.reserve(Route("mybot", Kind.PHOTO), now()), now(), now())
        count += 1
    return count


async def test_a_deadline_holds_though_the_stores_clock_was_set_back(autojump_clock: MockClock) -> None:
    """By the limits' clock, which goes on, what is written by the store's would have passed already."""
    async with world() as w:
        w.follower.steady_now = lambda: now() + 3600.25
        await w.store.pause("paused", now() + 30)
        await w.cool_down(None, 30)
        await w.follower.refresh()
        for name in ("paused", "mybot"):
            assert w.limits.free_at(name) > w.follower.steady_now() + 29
            assert w.limits.free_at(name) <= w.follower.steady_now() + 31


async def test_a_reading_that_was_under_way_does_not_undo_a_pause_ordered_meanwhile(autojump_clock: MockClock) -> None:
    async with memory_store() as store, trio.open_nursery() as nursery:
        limits = Limits()
        follower = LimitsFollower(LateReader(store), limits, 1, now, now, lambda: None, lambda _: None, nothing_new)
        nursery.start_soon(follower.refresh)
        await trio.sleep(0.5)  # it has read, and not answered yet
        await store.pause("mybot", None)
        await follower.refresh()
        await trio.sleep(5)
        assert limits.free_at("mybot") > now()


@define
class LateReader:
    """A store whose first answer is on its way for longer than the next."""

    store: Any
    delay_s: float = 2.0

    async def shared_limits(self) -> Any:
        found = await self.store.shared_limits()
        delay_s, self.delay_s = self.delay_s, 0.0
        await trio.sleep(delay_s)
        return found


async def test_a_resume_is_dated_when_it_is_heard_of_and_not_again_after_a_restart(autojump_clock: MockClock) -> None:
    """What chats refused before it counts no more. What they refused after it must, for a process that starts later."""
    async with world() as w:
        await w.store.resume("mybot")
        await w.follower.refresh()
        assert w.limits.state("mybot").resumed_at == now()
        restarted = Limits(RATES)
        await LimitsFollower(w.store, restarted, 1, now, now, lambda: None, w.observed.append, nothing_new).refresh()
        assert restarted.state("mybot").resumed_at < 0


async def test_a_pause_for_bad_references_reaches_every_process_and_a_resume_ends_it_there(
    autojump_clock: MockClock,
) -> None:
    """Process B reports so many references that the store pauses the bot; this process must stop, and go on again."""
    async with world() as w:
        keys = [f"{number}.jpg" for number in range(MOST_SUSPECTS + 1)]
        await w.store.import_records([reference(key) for key in keys])
        for key in keys:
            await w.store.report_invalid("mybot", Kind.PHOTO, f"id-{key}", r2_key=key)
        await trio.sleep(POLLS_S)
        pause = w.limits.active(now())["mybot"]
        assert "were reported invalid" in pause.reason
        assert w.limits.free_at("mybot") > now() + 600
        await w.store.resume("mybot")
        await trio.sleep(POLLS_S)
        assert "mybot" not in w.limits.active(now())
        assert w.limits.free_at("mybot") <= now()


def reference(key: str) -> WarmRecord:
    result = {"file_id": f"id-{key}", "kind": "photo"}
    return WarmRecord("mybot", Kind.PHOTO, key, None, 5, result, "", now(), opened_at=now())
