"""What a follower loses without these: a change of state that it never hears of, or hears of twice."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from streamwarm.backlog.store import Store
from streamwarm.model import Event, Kind, NewJob
from streamwarm.settle.publisher import KEPT, Publisher
from streamwarm.watch.observations import Observation, StoreTrouble, unobserved
from tests.worlds.failing_store import FailingStore, memory_store

PUSH = 500


async def push(store: Store, batch: int) -> None:
    await store.push([NewJob("mybot", Kind.PHOTO, f"{batch}/{number}.jpg") for number in range(PUSH)])


async def follow(publisher: Publisher, seq: int, last: int, *, limit: int, pause_s: float) -> list[Event]:
    """Everything after `seq` up to `last`, read at the follower's own pace."""
    seen: list[Event] = []
    while seq < last:
        await publisher.wait(seq)
        events = await publisher.after(seq, limit=limit)
        assert len(events) <= limit
        seen += events
        seq = seen[-1].seq
        await trio.sleep(pause_s)
    return seen


@pytest.mark.parametrize(("limit", "pause_s"), [(1000, 0.0), (50, 0.0), (64, 1.0)], ids=["quick", "small", "lagging"])
async def test_a_follower_sees_every_event_once_and_in_order_however_slow_it_is(
    limit: int, pause_s: float, autojump_clock: MockClock
) -> None:
    pushes = KEPT // PUSH + 4
    async with memory_store() as store, trio.open_nursery() as nursery:
        publisher = Publisher(store, dict, unobserved)
        await nursery.start(publisher.run)
        seen: list[Event] = []

        async def follower() -> None:
            seen.extend(await follow(publisher, 0, pushes * PUSH, limit=limit, pause_s=pause_s))

        async with trio.open_nursery() as followers:
            followers.start_soon(follower)
            for batch in range(pushes):
                await push(store, batch)
                await trio.sleep(0.1)
        assert [event.seq for event in seen] == list(range(1, pushes * PUSH + 1))
        assert seen == await store.events_after(0, limit=pushes * PUSH)
        assert await publisher.after(publisher.last_seq) == []
        nursery.cancel_scope.cancel()


async def test_a_service_that_starts_again_publishes_only_what_is_new(autojump_clock: MockClock) -> None:
    async with memory_store() as store, trio.open_nursery() as nursery:
        await push(store, 1)
        publisher = Publisher(store, dict, unobserved)
        await nursery.start(publisher.run)
        assert publisher.last_seq == PUSH
        assert len(await publisher.after(PUSH - 3)) == 3  # what a client missed meanwhile is in the store
        await push(store, 2)
        await publisher.wait(PUSH)
        assert (await publisher.after(PUSH))[0].seq == PUSH + 1
        nursery.cancel_scope.cancel()


async def test_followers_miss_nothing_of_a_store_that_was_away(autojump_clock: MockClock) -> None:
    observed: list[Observation] = []
    async with memory_store() as store, trio.open_nursery() as nursery:
        failing = FailingStore(store)
        failing.failures["next_events"] = 3
        publisher = Publisher(failing, dict, observed.append)
        await nursery.start(publisher.run)
        await push(store, 1)
        assert [event.seq for event in await follow(publisher, 0, PUSH, limit=100, pause_s=0)] == list(
            range(1, PUSH + 1)
        )
        assert [type(one) for one in observed] == [StoreTrouble] * 3
        nursery.cancel_scope.cancel()


async def test_a_client_that_comes_back_to_a_host_that_lags_hears_nothing_twice() -> None:
    async with memory_store() as store:
        failing = FailingStore(store)
        await push(store, 1)
        lagging = Publisher(failing, dict, unobserved)
        async with trio.open_nursery() as nursery:
            await nursery.start(lagging.run)
            nursery.cancel_scope.cancel()
        await push(store, 2)  # published by another host, and seen by the client there
        assert (await lagging.cursor(PUSH - 3), await lagging.cursor(None)) == (PUSH - 3, PUSH)
        assert await lagging.cursor(2 * PUSH) == 2 * PUSH
        assert await lagging.after(2 * PUSH) == []
        assert await lagging.cursor(3 * PUSH) == 2 * PUSH  # of a store that was made anew
        failing.failures["last_seq"] = 1
        assert await lagging.cursor(3 * PUSH) == 3 * PUSH
