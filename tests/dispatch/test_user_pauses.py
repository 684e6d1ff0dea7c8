"""A person's pause must hold back exactly what they paused, at once, and never end a destination's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import define
from failing_store import FailingStore, memory_store, now
from trio.testing import MockClock

from streamwarm.dispatch.limits import Limits, Pause
from streamwarm.dispatch.user_pauses import UserPauses
from streamwarm.watch.events import StoreTrouble


@define
class World:
    store: FailingStore
    limits: Limits
    pauses: UserPauses
    wakes: list[None]
    observed: list[Any]


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    wakes: list[None] = []
    observed: list[Any] = []
    async with memory_store() as memory, trio.open_nursery() as nursery:
        store, limits = FailingStore(memory), Limits()
        pauses = UserPauses(store, limits, lambda: wakes.append(None), observed.append)
        await store.pause("kept", None)
        await nursery.start(pauses.follow)
        yield World(store, limits, pauses, wakes, observed)
        nursery.cancel_scope.cancel()


async def test_a_pause_kept_in_the_store_is_obeyed_before_the_first_job(autojump_clock: MockClock) -> None:
    async with world() as w:
        assert not w.limits.may_send("kept", now())
        assert w.limits.may_send("other", now())


async def test_the_whole_service_is_held_until_the_time_that_was_given(autojump_clock: MockClock) -> None:
    async with world() as w:
        ends_at = now() + 60
        await w.store.pause(None, ends_at)
        await w.pauses.refresh()
        assert w.wakes
        assert not w.limits.may_send("other", now())
        assert w.limits.next_change_at(now()) == ends_at
        assert w.limits.held(now()) is not None
        assert "other" not in w.limits.active(now())  # its own pause is another thing
        await trio.sleep(60)
        assert w.limits.may_send("other", now())
        assert w.limits.held(now()) is None


async def test_a_pause_ordered_at_another_process_is_obeyed_soon(autojump_clock: MockClock) -> None:
    async with world() as w:
        w.store.failures["pauses"] = 1
        await w.store.pause("other", None)
        await trio.sleep(5)
        assert not w.limits.may_send("other", now())
        assert [type(o) for o in w.observed] == [StoreTrouble]
        await w.store.resume("other")
        await trio.sleep(5)
        assert w.limits.may_send("other", now())


async def test_resuming_leaves_a_429_its_deadline_but_ends_what_waits_for_a_person(autojump_clock: MockClock) -> None:
    async with world() as w:
        for name, until in (("limited", now() + 30), ("revoked", None)):
            w.limits.pause(name, Pause(until, "its own words"))
            await w.store.pause(name, None)
        await w.pauses.refresh()
        assert w.limits.active(now())["limited"].by_user
        for name in ("limited", "revoked"):
            await w.store.resume(name)
            await w.pauses.refresh()
            w.pauses.mended(name)
        assert not w.limits.may_send("limited", now())
        assert not w.limits.active(now())["limited"].by_user
        assert w.limits.may_send("revoked", now())
        await trio.sleep(30)
        assert w.limits.may_send("limited", now())


async def test_a_reading_that_was_under_way_does_not_undo_a_pause_ordered_meanwhile(autojump_clock: MockClock) -> None:
    async with memory_store() as store, trio.open_nursery() as nursery:
        limits = Limits()
        pauses = UserPauses(LateReader(store), limits, lambda: None, lambda _: None)
        nursery.start_soon(pauses.refresh)
        await trio.sleep(0.5)  # it has read, and not answered yet
        await store.pause("mybot", None)
        await pauses.refresh()
        await trio.sleep(5)
        assert not limits.may_send("mybot", now())


@define
class LateReader:
    """A store whose first answer is on its way for longer than the next."""

    store: Any
    delay_s: float = 2.0

    async def pauses(self) -> Any:
        found = await self.store.pauses()
        delay_s, self.delay_s = self.delay_s, 0.0
        await trio.sleep(delay_s)
        return found
