"""Reports when the store works again after a failure, whichever part of the service met that failure."""

from __future__ import annotations

import trio
from attrs import define, field

from streamwarm.backlog.store import Store
from streamwarm.errors import StoreUnavailable
from streamwarm.watch.observations import Observation, Observer, StoreTrouble
from streamwarm.watch.store_news import StoreRecovered

TRY_EVERY_S = 1.0
"""Seconds between two tries of a store that failed. Each costs it one small write."""


@define
class StoreWatch:
    """`note` is called with every observation; `run` is its one task."""

    _failed_at: float | None = None
    _failed: trio.Event = field(factory=trio.Event)

    def note(self, observation: Observation) -> None:
        if isinstance(observation, StoreTrouble) and self._failed_at is None:
            self._failed_at = trio.current_time()
            self._failed.set()

    async def run(self, store: Store, observe: Observer) -> None:
        """After each failure, try the store until it takes a write. Runs until cancelled."""
        while True:
            await self._failed.wait()
            await trio.sleep(TRY_EVERY_S)
            try:
                await store.check_writable()
            except StoreUnavailable:
                continue
            observe(StoreRecovered(trio.current_time() - (self._failed_at or 0.0)))
            self._failed_at, self._failed = None, trio.Event()
