"""`RecordStore` over transactions: each method is one operation on records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from streamwarm.backlog.core import comparing, importing
from streamwarm.backlog.core import record_operations as operations
from streamwarm.backlog.records import Compared, Comparison, RecordFilter, RecordPage, RecordPlace, Reported
from streamwarm.backlog.transactions import Transactions
from streamwarm.model import Kind
from streamwarm.warm_record import SourceState, WarmRecord

ADOPTED_AT_ONCE = 2_000
"""How many records get their account in one transaction. A million in one would outlast PostgreSQL's time-outs."""


class TransactionalRecords:
    """A `RecordStore`. `_accounts` maps each destination to the account that its settings name."""

    _transactions: Transactions
    _new_id: Callable[[], str]
    _accounts: Mapping[str, str]

    async def find(
        self, destination: str, kind: Kind, *, sha256: str | None = None, r2_key: str | None = None
    ) -> WarmRecord | None:
        return await self._transactions.read(
            lambda tables, _: operations.find(tables.media, self._accounts, destination, kind, sha256, r2_key)
        )

    async def forget(
        self,
        destination: str,
        kind: Kind,
        *,
        sha256: str | None = None,
        r2_key: str | None = None,
        file_id: str | None = None,
    ) -> bool:
        return await self._transactions.write(
            lambda tables, _: operations.forget(tables, self._accounts, destination, kind, sha256, r2_key, file_id)
        )

    async def records(self, which: RecordFilter, *, limit: int, after: RecordPlace | None = None) -> RecordPage:
        return await self._transactions.read(lambda tables, _: tables.media.page(which, limit=limit, after=after))

    async def record_counts(self) -> Mapping[tuple[str, SourceState], int]:
        return await self._transactions.read(lambda tables, _: tables.media.counts())

    async def to_check(self, limit: int, *, waited_s: float = 0.0) -> list[str]:
        return await self._transactions.read(lambda tables, now: tables.jobs.keys_to_check(limit, now - waited_s))

    async def compare(self, comparisons: Sequence[Comparison]) -> Compared:
        ids = [self._new_id() for one in comparisons for _ in one.rewarm]
        compared, outdated = await self._transactions.write(
            lambda tables, now: comparing.compare(tables, now, self._accounts, comparisons, iter(ids)), makes_live=True
        )
        if outdated:
            await self._queue_checks(outdated)
        return compared

    async def report_invalid(
        self, destination: str, kind: Kind, file_id: str, *, sha256: str | None = None, r2_key: str | None = None
    ) -> Reported:
        job_id = self._new_id()
        return await self._transactions.write(
            lambda tables, now: operations.report_invalid(
                tables, now, self._accounts, destination, kind, file_id, sha256, r2_key, job_id
            ),
            makes_live=True,
        )

    async def import_records(self, imported: Sequence[WarmRecord], *, replace: bool = False) -> list[str | None]:
        return await self._transactions.write(
            lambda tables, now: importing.import_records(tables, now, self._accounts, imported, replace)
        )

    async def accounts(self, destination: str) -> list[str]:
        return await self._transactions.read(
            lambda tables, _: operations.accounts_with_records(tables.media, destination)
        )

    async def adopt_accounts(self) -> int:
        return sum([await self._adopt(*account) for account in self._accounts.items() if account[1]])

    async def _adopt(self, destination: str, account: str) -> int:
        adopted, batch = 0, ADOPTED_AT_ONCE
        while batch == ADOPTED_AT_ONCE:
            batch = await self._transactions.write(
                lambda tables, _: tables.media.adopt(destination, account, ADOPTED_AT_ONCE)
            )
            adopted += batch
        return adopted

    async def _queue_checks(self, outdated: Sequence[WarmRecord]) -> None:
        """Have the objects of these records compared: each may have changed while its job ran."""
        ids = [self._new_id() for _ in outdated]
        await self._transactions.write(
            lambda tables, now: operations.queue_checks(tables, now, outdated, ids), makes_live=True
        )
