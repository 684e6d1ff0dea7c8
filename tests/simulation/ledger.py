"""Watches that a lease which is lost changes nothing in a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import define, field

from streamwarm.backlog.core import operations
from streamwarm.backlog.core.tables import Tables
from streamwarm.backlog.settlement import Settlement


@define(eq=False)
class WatchedStore:
    """A `TransactionalStore` whose settlements are compared with the rows, in the same transaction.

    `breaches`: settlements that were accepted though the job was not running under their lease.
    """

    _store: Any
    breaches: list[str] = field(factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        def settle(tables: Tables, now: float) -> list[bool]:
            ids = {settlement.lease.job_id for settlement in settlements}
            held = {job_id: stored.lease_token for job_id, stored in tables.jobs.by_id(ids).items()}
            answers = operations.settle(tables, now, settlements, self._store._accounts).answers
            for settlement, accepted in zip(settlements, answers, strict=True):
                if accepted and held.get(settlement.lease.job_id) != settlement.lease.token:
                    self.breaches.append(f"a settlement under a lost lease was accepted: {settlement!r}")
                if accepted:
                    held[settlement.lease.job_id] = None
            return answers

        answers: list[bool] = await self._store._transactions.write(settle)
        return answers
