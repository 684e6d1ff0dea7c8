"""A memory store in virtual time, and one that fails on purpose."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import define, field

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.memory.store import open_memory_store
from streamwarm.backlog.store import Store
from streamwarm.errors import StoreUnavailable

EPOCH = 1_772_366_405.0


def now() -> float:
    """The store's clock: Unix seconds that pass as trio's do."""
    return EPOCH + trio.current_time()


@asynccontextmanager
async def memory_store() -> AsyncIterator[Store]:
    limits = StoreBounds(
        max_pending=100_000,
        max_attempts=5,
        lease_s=30.0,
        keep_done_s=604_800.0,
        keep_failed_s=2_592_000.0,
        max_wait_s=900.0,
    )
    numbers = itertools.count(1)
    async with open_memory_store(
        limits=limits,
        now=now,
        new_id=lambda: f"job-{next(numbers)}",
        new_token=lambda: f"token-{next(numbers)}",
    ) as store:
        yield store


@define
class FailingStore:
    """A store of which the next `failures[method]` calls fail, and which takes `delay_s[method]` for a call; it counts
    its `calls`."""

    store: Any
    failures: dict[str, int] = field(factory=dict)
    delay_s: dict[str, float] = field(factory=dict)
    calls: Counter[str] = field(factory=Counter)

    def now(self) -> float:
        return float(self.store.now())

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.store, name)

        async def call(*args: Any, **more: Any) -> Any:
            self.calls[name] += 1
            await trio.sleep(self.delay_s.get(name, 0.0))
            if self.failures.get(name, 0) > 0:
                self.failures[name] -= 1
                raise StoreUnavailable("the disk is full")
            return await method(*args, **more)

        return call
