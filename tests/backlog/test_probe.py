"""A load balancer that asks whether to send work here gets an answer soon, however long the store takes."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from streamwarm.backlog.probe import Probe
from tests.worlds.failing_store import FailingStore, memory_store


async def test_a_store_that_hangs_is_told_within_seconds_and_one_that_is_back_at_once(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async with memory_store() as memory:
        store = FailingStore(memory, delay_s={"check_writable": 10.0}, failures={"check_writable": 1})
        probe = Probe(store)  # type: ignore[arg-type]
        nursery.start_soon(probe.run)
        with trio.fail_after(3):
            assert "not taken a write" in (await probe.why_not() or "")
        await trio.sleep(7)  # the refusal comes in the middle of the next question
        with trio.fail_after(3):
            assert "cannot be written" in (await probe.why_not() or "")
        store.delay_s.clear()
        await trio.sleep(10)
        assert await probe.why_not() is None
        nursery.cancel_scope.cancel()


async def test_a_thousand_who_ask_at_once_cost_one_write(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    async with memory_store() as memory:
        store = FailingStore(memory, delay_s={"check_writable": 0.1})
        probe = Probe(store)  # type: ignore[arg-type]
        nursery.start_soon(probe.run)
        async with trio.open_nursery() as asking:
            for _ in range(1_000):
                asking.start_soon(probe.why_not)
        assert store.calls["check_writable"] == 1
        nursery.cancel_scope.cancel()
