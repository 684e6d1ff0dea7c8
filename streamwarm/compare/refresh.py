"""Compares the records under a prefix with the bucket's listing: warms anew what changed, marks what is gone.

The listing is read to its end first (`listed`). A listing that breaks off changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterable, Callable, Mapping, Sequence

from attrs import define, evolve

from streamwarm.backlog.records import (
    Compared,
    Comparison,
    Found,
    Gone,
    RecordPlace,
    Refreshed,
    RefreshRequest,
)
from streamwarm.backlog.store import PENDING, Pushed, Store
from streamwarm.compare.listed import Listed, list_whole
from streamwarm.fetch.source import ListedObject
from streamwarm.model import Kind, NewJob, Refresh
from streamwarm.threads import RunSync
from streamwarm.warm_record import SourceState, WarmRecord

PAGE = 500
"""Records that are compared in one transaction: some 50 ms."""


@define
class Refresher:
    """`accounts` maps each configured destination to its account: records of others are left alone. `report` gets what
    each transaction has changed; `now` is the store's clock (Unix seconds)."""

    store: Store
    list_objects: Callable[[str], AsyncIterable[ListedObject]]
    accounts: Mapping[str, str]
    max_pending: int
    report: Callable[[Compared], None]
    now: Callable[[], float]
    run_sync: RunSync

    async def refresh(self, request: RefreshRequest) -> Refreshed:
        """Raises `SourceError` if the bucket cannot be listed, and `StoreUnavailable`."""
        listed_at = self.now()
        async with list_whole(self.list_objects(request.which.prefix), self.run_sync) as listed:
            return await self._compare(request, listed, listed_at)

    async def _compare(self, request: RefreshRequest, listed: Listed, listed_at: float) -> Refreshed:
        done = Refreshed()
        warm, last = 0, None
        after: RecordPlace | None = None
        # A new object has no record at all, so records are read whatever their state or warning is.
        every = evolve(request.which, source_state=None, warning=None)
        while not done.is_full:
            page = await self.store.records(every, limit=PAGE, after=after)
            mine = [one for one in page.records if self.accounts.get(one.destination) == one.account]
            found = await listed.find({record.r2_key for record in mine})
            for r2_key in dict.fromkeys(record.r2_key for record in mine):
                warm += r2_key in found and r2_key != last
                last = r2_key
            matching = [record for record in mine if request.which.matches(record)]
            done = await self._apply(done, request, matching, found, listed_at)
            if (after := page.next) is None:
                break
        return evolve(done, new=listed.count - warm)

    async def _apply(
        self,
        done: Refreshed,
        request: RefreshRequest,
        records: Sequence[WarmRecord],
        found: Mapping[str, Found],
        listed_at: float,
    ) -> Refreshed:
        # What was opened since the listing began says more than the listing.
        older = [record for record in records if record.opened_at <= listed_at]
        changed = [one for one in older if one.r2_key in found and found[one.r2_key].is_of(one) is False]
        gone = [record for record in older if record.r2_key not in found]
        done = evolve(done, changed=done.changed + len(changed), gone=done.gone + len(gone))
        wanted = [record for record in records if record.r2_key in found] if request.always else changed
        if request.dry_run:
            return evolve(done, queued=done.queued + len(wanted))
        if wanted and await self._is_full(len(wanted)):
            return evolve(done, is_full=True)
        rewarm: dict[str, list[tuple[str, Kind]]] = defaultdict(list)
        for record in changed if not request.always else ():
            rewarm[record.r2_key].append((record.destination, record.kind))
        news = [record for record in older if _is_news(record, found.get(record.r2_key))]
        compared = await self.store.compare(
            [
                Comparison(r2_key, found.get(r2_key, Gone()), listed_at, rewarm[r2_key])
                for r2_key in dict.fromkeys(record.r2_key for record in news)
            ]
        )
        self.report(compared)
        queued = len(compared.queued) + (await self._warm_anew(wanted) if request.always else 0)
        return evolve(done, queued=done.queued + queued)

    async def _warm_anew(self, records: Sequence[WarmRecord]) -> int:
        """Returns how many jobs were queued: a record may have one already."""
        pushed = await self.store.push([_anew(record) for record in records])
        queued = [one.queued for one in pushed if isinstance(one, Pushed) and one.queued is not None]
        self.report(Compared(queued))
        return len(queued)

    async def _is_full(self, more: int) -> bool:
        counts = await self.store.counts()
        return sum(counts.by_state.get(state, 0) for state in PENDING) + more > self.max_pending


def _is_news(record: WarmRecord, found: Found | None) -> bool:
    """Whether the listing changes what the record says. One that is current, and is so still, is not written again: a
    million rows would be."""
    if found is None:
        return record.source_state is not SourceState.GONE
    return record.source_state is not SourceState.CURRENT or record.source_etag != found.etag


def _anew(record: WarmRecord) -> NewJob:
    return NewJob(record.destination, record.kind, record.r2_key, options=record.options, refresh=Refresh.ALWAYS)
