"""A store that forgets everything at exit: for the demo, for tests, and for simulations under a virtual clock.

It uses no thread and never waits, so it is as deterministic as its scheduler.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from math import inf

import trio
from attrs import define

from streamwarm.attempts import LOCAL, Holder
from streamwarm.backlog.commit_signal import CommitSignal
from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.core.tables import Tables
from streamwarm.backlog.memory.tables import MemoryTables
from streamwarm.backlog.store import Store
from streamwarm.backlog.transactional import TransactionalStore
from streamwarm.backlog.transactions import Operation, T


@asynccontextmanager
async def open_memory_store(
    *,
    limits: StoreBounds,
    now: Callable[[], float],
    new_id: Callable[[], str],
    new_token: Callable[[], str],
    holder: Holder = LOCAL,
    accounts: Mapping[str, str] | None = None,
) -> AsyncIterator[Store]:
    """A fresh, empty store. `now` gives Unix seconds; `holder` is kept with the attempts. `accounts` maps each
    destination to the account that its settings name."""
    commits = CommitSignal()
    tables = MemoryTables()
    transactions = _InPlace(tables, commits, now)
    yield TransactionalStore(
        transactions, commits, limits, new_id, new_token, inf, now, new_token(), holder, tables.jobs.odd, accounts or {}
    )


@define(eq=False)
class _InPlace:
    """Runs each operation in this thread, from start to end, with nothing in between."""

    _tables: Tables
    _commits: CommitSignal
    _now: Callable[[], float]

    async def write(self, operation: Operation[T], *, makes_live: bool = False) -> T:
        result = await self.read(operation)
        self._commits.announce(self._tables.jobs.last_event_seq())
        return result

    async def read(self, operation: Operation[T]) -> T:
        await trio.lowlevel.checkpoint()
        return operation(self._tables, self._now())
