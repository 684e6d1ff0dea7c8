"""Hosts that settle, compare and import records of the same objects at once agree on which version answers."""

from __future__ import annotations

from functools import partial

import trio

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.records import Comparison, Found, Gone
from streamwarm.backlog.store import Store
from streamwarm.model import Claim, Kind, NewJob, Refresh
from tests.worlds.backlog import Clock, OpenStore, numbered, photo, push_one
from tests.worlds.records import answer, counted, delivered, recounted, warm_version

ROOMY, LONGEST_S = StoreBounds(max_pending=5_000), 60
OBJECTS = 30


async def test_of_two_uploads_of_one_object_that_end_at_once_the_one_opened_last_answers(
    open_postgres: OpenStore, clock: Clock
) -> None:
    """One was pushed by key, the other by digest; they end at two hosts, in orders that cross."""
    async with open_postgres(ROOMY) as one, open_postgres(ROOMY, new_id=numbered("two-")) as two:
        keys = [f"{number}.jpg" for number in range(OBJECTS)]
        by_key = [await _claimed(one, photo(key)) for key in keys]
        by_digest = [await _claimed(one, photo(key, sha256=f"{n:064x}")) for n, key in enumerate(keys)]
        opened_at, clock.at = clock.at, clock.at + 10
        with trio.fail_after(LONGEST_S):
            async with trio.open_nursery() as nursery:
                for number in range(OBJECTS):
                    old = delivered(by_digest[number], "1", opened_at=opened_at)
                    new = delivered(by_key[-1 - number], "2", opened_at=opened_at + 5)
                    nursery.start_soon(one.settle, [old])
                    nursery.start_soon(two.settle, [new])
        for store in (one, two):
            assert [await answer(store, key) for key in keys] == ["f2"] * OBJECTS
            assert await counted(store) == await recounted(store)
        assert sum((await counted(one)).values()) == OBJECTS


async def _claimed(store: Store, job: NewJob) -> Claim:
    pushed = await push_one(store, job)
    (claim,) = await store.claim([pushed.id])
    return claim


async def test_hosts_that_change_the_same_records_in_every_way_keep_the_counts_right(
    open_postgres: OpenStore, clock: Clock
) -> None:
    async with open_postgres(ROOMY) as one, open_postgres(ROOMY, new_id=numbered("two-")) as two:
        keys = [f"{number}.jpg" for number in range(10)]
        for key in keys:
            await warm_version(one, "1", photo(key))
        clock.at += 1_000
        claims = [await _claimed(one, photo(key, refresh=Refresh.ALWAYS)) for key in keys]
        with trio.fail_after(LONGEST_S):
            async with trio.open_nursery() as nursery:
                for number, key in enumerate(keys):
                    store, other = (one, two) if number % 2 else (two, one)
                    nursery.start_soon(store.settle, [delivered(claims[number], "2")])
                    for seen in (Found("e1"), Found("e9"), Gone()):
                        asked = Comparison(key, seen, clock.at, [("bot", Kind.PHOTO)])
                        nursery.start_soon(other.compare, [asked])
                    nursery.start_soon(partial(store.forget, "bot", Kind.PHOTO, r2_key=keys[-1 - number]))
                    nursery.start_soon(partial(other.report_invalid, "bot", Kind.PHOTO, "f1", r2_key=key))
        for store in (one, two):
            assert await counted(store) == await recounted(store)
