"""Watches a store: that a lease which is lost changes nothing, when each event was committed, and what is looked up."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import trio
from attrs import define, field, frozen

from streamwarm.backlog.core import operations, record_operations
from streamwarm.backlog.core.tables import Tables
from streamwarm.backlog.settlement import Settlement
from streamwarm.backlog.transactions import Operation, T
from streamwarm.model import Kind
from streamwarm.warm_record import WarmRecord


@frozen
class Look:
    """What a look-up by key answered, at a time (virtual seconds), to a host whose settings name `account`."""

    at_s: float
    destination: str
    r2_key: str
    account: str
    record: WarmRecord | None


@define(eq=False)
class TimedTransactions:
    """Transactions that note when each event was committed, in virtual seconds: stored times follow hosts' clocks."""

    _transactions: Any
    _times: dict[int, float]

    async def write(self, operation: Operation[T], *, makes_live: bool = False) -> T:
        def timed(tables: Tables, now: float) -> T:
            before = tables.jobs.last_event_seq()
            result = operation(tables, now)
            at_s = trio.current_time()
            self._times.update((seq, at_s) for seq in range(before + 1, tables.jobs.last_event_seq() + 1))
            return result

        value: T = await self._transactions.write(timed, makes_live=makes_live)
        return value

    async def read(self, operation: Operation[T]) -> T:
        value: T = await self._transactions.read(operation)
        return value


@define(eq=False)
class WatchedStore:
    """A `TransactionalStore` whose settlements are compared with the rows, in the same transaction.

    `breaches`: settlements that were accepted though the job was not running under their lease.
    """

    _store: Any
    _accounts: Mapping[str, str]
    breaches: list[str] = field(factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        def settle(tables: Tables, now: float) -> operations.Settled:
            ids = {settlement.lease.job_id for settlement in settlements}
            held = {job_id: stored.lease_token for job_id, stored in tables.jobs.by_id(ids).items()}
            settled = operations.settle(tables, now, settlements, self._accounts)
            for settlement, accepted in zip(settlements, settled.answers, strict=True):
                if accepted and held.get(settlement.lease.job_id) != settlement.lease.token:
                    self.breaches.append(f"a settlement under a lost lease was accepted: {settlement!r}")
                if accepted:
                    held[settlement.lease.job_id] = None
            return settled

        settled = await self._store._transactions.write(settle)
        if settled.outdated:
            await self._store._queue_checks(settled.outdated)
        answers: list[bool] = settled.answers
        return answers

    async def look_up(self, names: Collection[tuple[str, str]]) -> list[Look]:
        """Look up the records of these destinations and keys, all at one time."""

        def look(tables: Tables, _: float) -> list[Look]:
            at_s = trio.current_time()
            return [Look(at_s, *name, self._accounts[name[0]], self._find(tables, *name)) for name in names]

        looks: list[Look] = await self._store._transactions.read(look)
        return looks

    def _find(self, tables: Tables, destination: str, r2_key: str) -> WarmRecord | None:
        return record_operations.find(tables.media, self._accounts, destination, Kind.DOCUMENT, None, r2_key)
