"""A refresh: what was replaced is warmed anew, what was deleted is marked, and a broken listing does nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import define, evolve, field

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.memory.store import open_memory_store
from streamwarm.backlog.records import Compared, RecordFilter, Refreshed, RefreshRequest
from streamwarm.backlog.settlement import Done
from streamwarm.backlog.store import Pushed, Store
from streamwarm.compare.refresh import Refresher
from streamwarm.errors import ErrorCode, SourceError
from streamwarm.fetch.source import ListedObject
from streamwarm.model import Kind, NewJob, QueuedJob, SeenObject
from streamwarm.warm_record import SourceState
from tests.worlds.backlog import Clock, numbered

ACCOUNTS = {"bot": "1", "other": "2"}
EVERYTHING = RecordFilter()


@define
class Bucket:
    """What it lists: ETags by key, and when some were put (Unix seconds). `breaks_after`: how many objects come before
    the listing breaks off."""

    etags: dict[str, str]
    breaks_after: int | None = None
    modified: dict[str, float] = field(factory=dict)

    async def list_objects(self, prefix: str) -> AsyncIterator[ListedObject]:
        for number, (key, etag) in enumerate(self.etags.items()):
            if number == self.breaks_after:
                raise SourceError(ErrorCode.SOURCE_UNAVAILABLE, "the listing broke off", permanent=False)
            if key.startswith(prefix):
                yield ListedObject(key, 10, etag, self.modified.get(key))


@define
class World:
    store: Store
    clock: Clock
    bucket: Bucket
    max_pending: int = 1000
    offered: list[QueuedJob] = field(factory=list)

    async def warm(
        self, key: str, etag: str | None, destination: str = "bot", digest: str | None = None, **options: object
    ) -> None:
        (pushed,) = await self.store.push([NewJob(destination, Kind.PHOTO, key, options=options)])
        assert isinstance(pushed, Pushed)
        (claim,) = await self.store.claim([pushed.id])
        seen = SeenObject(key, 10, etag, None, digest)
        await self.store.settle([Done(claim.lease, {"file_id": f"{key} {etag}"}, seen)])
        if etag:
            self.bucket.etags[key] = etag

    async def refresh(
        self, which: RecordFilter = EVERYTHING, *, always: bool = False, dry_run: bool = False
    ) -> Refreshed:
        self.clock.at += 10
        refresher = Refresher(
            self.store,
            self.bucket.list_objects,
            ACCOUNTS,
            self.max_pending,
            self.report,
            self.clock,
            trio.to_thread.run_sync,
        )
        return await refresher.refresh(RefreshRequest(which, always, dry_run))

    def report(self, compared: Compared) -> None:
        self.offered += compared.queued

    async def states(self) -> dict[str, SourceState]:
        page = await self.store.records(EVERYTHING, limit=1000)
        return {record.r2_key: record.source_state for record in page.records}


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    clock = Clock()
    names = {"new_id": numbered("job-"), "new_token": numbered("token-")}
    async with open_memory_store(limits=StoreBounds(), now=clock, accounts=ACCOUNTS, **names) as store:
        yield World(store, clock, Bucket({}))


async def test_what_was_replaced_is_warmed_anew_and_what_was_deleted_is_marked() -> None:
    async with world() as w:
        for key in ("a", "b", "c"):
            await w.warm(key, "1")
        w.bucket.etags["b"] = "2"
        del w.bucket.etags["c"]
        w.bucket.etags["d"] = "1"
        assert await w.refresh() == Refreshed(new=1, changed=1, gone=1, queued=1)
        current, changed, gone = SourceState.CURRENT, SourceState.CHANGED, SourceState.GONE
        assert await w.states() == {"a": current, "b": changed, "c": gone}
        assert [job.r2_key for job in w.offered] == ["b"]
        assert await w.refresh() == Refreshed(new=1, changed=1, gone=1), "its job is queued already"


async def test_a_listing_that_breaks_off_changes_nothing() -> None:
    async with world() as w:
        for key in ("a", "b", "c"):
            await w.warm(key, "1")
        w.bucket.etags |= {"a": "2"}
        w.bucket.breaks_after = 2
        with pytest.raises(SourceError):
            await w.refresh()
        assert set((await w.states()).values()) == {SourceState.CURRENT}
        assert w.offered == []


@pytest.mark.parametrize("order", [("a-b/x", "a/x", "ab"), ("a/x", "a-b/x", "ab"), ("ab", "ab", "a/x", "a-b/x")])
async def test_a_bucket_may_list_in_any_order_and_one_key_twice(order: Sequence[str]) -> None:
    """SeaweedFS lists by folders: `a/x` before `a-b/x`."""
    async with world() as w:
        for key in ("a/x", "a-b/x", "ab"):
            await w.warm(key, "1")
        w.bucket.etags = dict.fromkeys(order, "1")
        assert await w.refresh() == Refreshed()


async def test_a_dry_run_says_what_would_be_done_and_does_nothing() -> None:
    async with world() as w:
        await w.warm("a", "1")
        await w.warm("b", "1")
        w.bucket.etags = {"a": "2", "n": "1"}
        assert await w.refresh(dry_run=True) == Refreshed(new=1, changed=1, gone=1, queued=1)
        assert set((await w.states()).values()) == {SourceState.CURRENT}
        assert w.offered == []


async def test_all_records_with_a_warning_can_be_warmed_anew_with_their_options() -> None:
    async with world() as w:
        await w.warm("a", "1", caption="hello")
        await w.warm("b", "1")
        warned = RecordFilter(prefix="a")
        assert (await w.refresh(warned, always=True)).queued == 1
        job = await w.store.get(w.offered[0].id)
        assert job is not None
        assert (job.r2_key, job.options) == ("a", {"caption": "hello"})


async def test_a_record_without_an_etag_adopts_the_one_that_is_listed() -> None:
    async with world() as w:
        await w.warm("a", None)
        w.bucket.etags["a"] = "1"
        assert await w.refresh() == Refreshed()
        w.bucket.etags["a"] = "2"
        assert (await w.refresh()).changed == 1


@pytest.mark.parametrize("later_s", [-60, 60])
async def test_a_record_without_an_etag_is_of_an_object_that_is_not_newer(later_s: int) -> None:
    """A dry run counts what a run does: both have one rule."""
    async with world() as w:
        await w.warm("a", None)
        w.bucket.etags["a"] = "1"
        w.bucket.modified["a"] = w.clock.at + later_s
        changed = int(later_s > 0)
        assert await w.refresh(dry_run=True) == Refreshed(changed=changed, queued=changed)
        assert await w.refresh() == Refreshed(changed=changed, queued=changed)


async def test_a_pushers_word_for_an_object_that_was_never_opened_is_warmed() -> None:
    async with world() as w:
        await w.warm("a", "1", digest="ab" * 32)
        await w.store.push([NewJob("bot", Kind.PHOTO, "copy", sha256="ab" * 32)])
        w.bucket.etags["copy"] = "other"
        assert (await w.refresh()).queued == 1
        assert [job.r2_key for job in w.offered] == ["copy"]


async def test_a_listing_without_etags_makes_nothing_changed() -> None:
    async with world() as w:
        await w.warm("a", "1")
        w.bucket.etags["a"] = ""
        assert await w.refresh() == Refreshed()


async def test_an_object_that_was_warmed_while_the_listing_ran_is_not_gone() -> None:
    async with world() as w:
        await w.warm("a", "1")

        async def late(prefix: str) -> AsyncIterator[ListedObject]:
            w.clock.at += 5
            await w.warm("new", "1")
            yield ListedObject("a", 10, "1")

        refresher = Refresher(w.store, late, ACCOUNTS, 1000, w.report, w.clock, trio.to_thread.run_sync)
        assert (await refresher.refresh(RefreshRequest(EVERYTHING))).gone == 0
        assert (await w.states())["new"] is SourceState.CURRENT


async def test_records_of_another_account_are_left_alone() -> None:
    async with world() as w:
        await w.warm("a", "1")
        (page,) = (await w.store.records(EVERYTHING, limit=10)).records
        await w.store.import_records([evolve(page, account="9", r2_key="b")])
        w.bucket.etags["b"] = "2"
        assert await w.refresh() == Refreshed(new=1)


async def test_a_full_backlog_ends_a_refresh_and_says_so() -> None:
    async with world() as w:
        await w.warm("a", "1")
        w.bucket.etags["a"] = "2"
        w.max_pending = 0
        assert await w.refresh() == Refreshed(new=0, changed=1, is_full=True)
        assert w.offered == []


async def test_a_page_boundary_loses_no_record() -> None:
    async with world() as w:
        for number in range(1203):
            await w.warm(f"{number:05}", "1", "bot" if number % 3 else "other")
        w.bucket.etags |= {"00499": "2", "00500": "2", "01202": "2"}
        del w.bucket.etags["01000"]
        assert await w.refresh() == Refreshed(changed=3, gone=1, queued=3)
