"""Compares the records under a prefix with the bucket's listing: warms anew what changed, marks what is gone.

The listing is read to its end first (`listed`). A listing that breaks off changes nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Collection, Mapping, Sequence

from attrs import define, evolve, frozen

from streamwarm.backlog.records import Comparison, Found, Gone, RecordFilter, RecordPlace
from streamwarm.backlog.store import PENDING, Pushed, Store
from streamwarm.compare.listed import Listed, list_whole
from streamwarm.fetch.source import ListedObject
from streamwarm.model import NewJob, QueuedJob, Refresh, SourceState, WarmRecord
from streamwarm.threads import RunSync

PAGE = 500
"""Records that are compared in one transaction: some 50 ms."""


@frozen
class RefreshRequest:
    """What to refresh. `which.prefix` is also that of the listing. `always` warms every matching record anew; `dry_run`
    changes nothing."""

    which: RecordFilter
    always: bool = False
    dry_run: bool = False


@frozen
class Refreshed:
    """What a refresh found, and what it did.

    `new` objects are listed and have no record. `changed` and `gone` count records. `queued` counts the jobs that warm
    anew. `is_full`: the backlog had no more room, so records were left as they were.
    """

    new: int = 0
    changed: int = 0
    gone: int = 0
    queued: int = 0
    is_full: bool = False


@define
class Refresher:
    """`accounts` maps each configured destination to its account: records of others are left alone. `offer` gets the
    jobs that were queued; `now` is the store's clock (Unix seconds)."""

    store: Store
    list_objects: Callable[[str], AsyncIterable[ListedObject]]
    accounts: Mapping[str, str]
    max_pending: int
    offer: Callable[[Sequence[QueuedJob]], None]
    now: Callable[[], float]
    run_sync: RunSync

    async def refresh(self, request: RefreshRequest) -> Refreshed:
        """Raises `SourceError` if the bucket cannot be listed, and `StoreUnavailable`."""
        listed_at = self.now()
        async with list_whole(self.list_objects(request.which.prefix), self.run_sync) as listed:
            return await self._compare(request, listed, listed_at)

    async def _compare(self, request: RefreshRequest, listed: Listed, listed_at: float) -> Refreshed:
        found = Refreshed()
        warm, last = 0, None
        after: RecordPlace | None = None
        # A new object has no record at all, so records are read whatever their state or warning is.
        every = evolve(request.which, source_state=None, warning=None)
        while not found.is_full:
            page = await self.store.records(every, limit=PAGE, after=after)
            mine = [one for one in page.records if self.accounts.get(one.destination) == one.account]
            etags = await listed.etags({record.r2_key for record in mine})
            for r2_key in dict.fromkeys(record.r2_key for record in mine):
                warm += r2_key in etags and r2_key != last
                last = r2_key
            matching = [record for record in mine if request.which.matches(record)]
            found = await self._apply(found, request, matching, etags, listed_at)
            if (after := page.next) is None:
                break
        return evolve(found, new=listed.count - warm)

    async def _apply(
        self,
        found: Refreshed,
        request: RefreshRequest,
        records: Sequence[WarmRecord],
        etags: Mapping[str, str],
        listed_at: float,
    ) -> Refreshed:
        older = [record for record in records if record.opened_at <= listed_at]
        changed = [r for r in older if etags.get(r.r2_key) and r.source_etag not in {None, etags[r.r2_key]}]
        gone = [record for record in older if record.r2_key not in etags]
        found = evolve(found, changed=found.changed + len(changed), gone=found.gone + len(gone))
        wanted = [record for record in records if record.r2_key in etags] if request.always else changed
        if request.dry_run:
            return evolve(found, queued=found.queued + len(wanted))
        if wanted and await self._is_full(len(wanted)):
            return evolve(found, is_full=True)
        queued = await self._write(records, etags, listed_at, wanted, request.always)
        return evolve(found, queued=found.queued + queued)

    async def _write(
        self,
        records: Sequence[WarmRecord],
        etags: Mapping[str, str],
        listed_at: float,
        wanted: Collection[WarmRecord],
        always: bool,
    ) -> int:
        """Returns how many jobs were queued."""
        keys = dict.fromkeys(record.r2_key for record in records if _is_news(record, etags.get(record.r2_key)))
        rewarm: dict[str, list[WarmRecord]] = {}
        for record in wanted if not always else ():
            rewarm.setdefault(record.r2_key, []).append(record)
        compared = await self.store.compare(
            [
                Comparison(
                    key,
                    Found(etags[key] or None) if key in etags else Gone(),
                    listed_at,
                    [(record.destination, record.kind) for record in rewarm.get(key, ())],
                )
                for key in keys
            ]
        )
        queued = list(compared.queued)
        if always:
            pushed = await self.store.push([_anew(record) for record in wanted])
            queued += [one.queued for one in pushed if isinstance(one, Pushed) and one.queued is not None]
        self.offer(queued)
        return len(queued)

    async def _is_full(self, more: int) -> bool:
        counts = await self.store.counts()
        return sum(counts.by_state.get(state, 0) for state in PENDING) + more > self.max_pending


def _is_news(record: WarmRecord, etag: str | None) -> bool:
    """Whether the listing changes what the record says. One that is current, and is so still, is not written again: a
    million rows would be."""
    state = SourceState.GONE if etag is None else SourceState.CURRENT
    return record.source_state is not state or record.source_etag != etag


def _anew(record: WarmRecord) -> NewJob:
    return NewJob(record.destination, record.kind, record.r2_key, options=record.options, refresh=Refresh.ALWAYS)
