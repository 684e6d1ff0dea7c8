"""Somebody who reads of the store's trouble in the log must read of its end there, too."""

from __future__ import annotations

from typing import Any

import trio
from trio.testing import MockClock

from streamwarm.backlog.store_watch import StoreWatch
from streamwarm.watch.observations import Observation, StoreTrouble
from streamwarm.watch.store_news import StoreRecovered
from tests.worlds.failing_store import FailingStore


class Working:
    async def check_writable(self) -> None:
        """The store takes writes."""


async def test_the_log_says_once_that_the_store_is_back(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    seen: list[Observation] = []
    watch = StoreWatch()
    flaky: Any = FailingStore(Working(), failures={"check_writable": 3})
    nursery.start_soon(watch.run, flaky, seen.append)
    await trio.sleep(10)
    assert (seen, flaky.calls["check_writable"]) == ([], 0)
    for _ in range(5):
        watch.note(StoreTrouble("claiming jobs", "the disk is full"))
    with trio.fail_after(60):
        while not seen:
            await trio.sleep(0.5)
    (recovered,) = seen
    assert isinstance(recovered, StoreRecovered)
    assert recovered.after_s >= 3.9
    await trio.sleep(10)
    assert len(seen) == 1
