"""A push that meets an upload or a comparison under way may mean a newer version than either has seen."""

from __future__ import annotations

import pytest

from streamwarm.backlog.records import Comparison
from streamwarm.backlog.store import Store
from streamwarm.model import Refresh, State
from tests.worlds.backlog import Clock, photo, push_one
from tests.worlds.records import Found, answer, begin, compare, delivered, state, warm_version

TRUST_S = 300


async def test_an_answer_that_the_bucket_gave_before_a_push_does_not_answer_it(store: Store, clock: Clock) -> None:
    await warm_version(store, "1")
    clock.at += TRUST_S
    asked_at, clock.at = clock.at, clock.at + 5
    pushed = await push_one(store, photo())
    await store.compare([Comparison("a.jpg", Found("e1"), asked_at)])
    assert await state(store, pushed.id) is State.QUEUED
    assert await store.to_check(9) == ["a.jpg"]
    await compare(store, Found("e2"))
    assert [job.id for job in await store.queued(9)] == [pushed.id]


async def test_a_push_that_joins_a_comparison_under_way_has_the_object_compared_once_more(
    store: Store, clock: Clock
) -> None:
    await warm_version(store, "1")
    clock.at += TRUST_S
    first = await push_one(store, photo())
    asked_at, clock.at = clock.at, clock.at + 5
    assert (await push_one(store, photo())).id == first.id
    assert (await store.compare([Comparison("a.jpg", Found("e1"), asked_at)])).again == ["a.jpg"]
    assert await state(store, first.id) is State.QUEUED
    assert await store.to_check(9) == ["a.jpg"]
    await store.compare([Comparison("a.jpg", Found("e1"), clock.at)])
    assert await state(store, first.id) is State.DONE
    assert await store.to_check(9) == []


async def test_always_does_not_wait_for_the_comparison_that_another_push_asked_for(store: Store, clock: Clock) -> None:
    await warm_version(store, "1")
    clock.at += TRUST_S
    first = await push_one(store, photo())
    pushed = await push_one(store, photo(refresh=Refresh.ALWAYS))
    assert (pushed.id, pushed.to_check) == (first.id, None)
    assert pushed.queued is not None
    assert [job.id for job in await store.queued(9)] == [first.id]


@pytest.mark.parametrize("etags", [("e1", None), (None, "e1"), ("e1", "e2"), ("e2", "e1")])
async def test_of_several_pushes_that_join_an_upload_each_is_heard(
    store: Store, clock: Clock, etags: tuple[str | None, str | None]
) -> None:
    claim, opened_at = await begin(store, photo()), clock.at
    for etag in etags:
        clock.at += 1
        await push_one(store, photo(source_etag=etag))
    await store.settle([delivered(claim, "1", opened_at=opened_at)])
    assert await store.to_check(9) == ["a.jpg"]


async def test_an_upload_of_another_version_that_was_opened_before_a_comparison_takes_nothing_over(
    store: Store, clock: Clock
) -> None:
    """Put back in the middle: the version of before is what the bucket has, and was seen last."""
    await warm_version(store, "1")
    clock.at += 1
    slow, opened_at = await begin(store, photo(refresh=Refresh.ALWAYS)), clock.at
    clock.at += 1
    await compare(store, Found("e1"))
    clock.at += 1
    await store.settle([delivered(slow, "2", opened_at=opened_at)])
    assert await answer(store) == "f1"
