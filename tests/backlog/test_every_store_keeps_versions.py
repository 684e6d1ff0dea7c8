"""A look-up answers the version that the bucket has, for the bot that asks: in every store."""

from __future__ import annotations

from attrs import evolve

from streamwarm.backlog.settlement import Failed
from streamwarm.backlog.store import Action, Filter, Store
from streamwarm.model import Kind, NewJob, Refresh, State
from tests.worlds.backlog import TIMED_OUT, Clock, claim_one, photo, push_one, view
from tests.worlds.records import (
    ONE,
    TWO,
    Found,
    answer,
    begin,
    compare,
    counted,
    delivered,
    record,
    recounted,
    state,
    warm_version,
)

ALWAYS = photo(refresh=Refresh.ALWAYS)


async def test_a_replaced_object_is_answered_as_it_is_now_and_the_old_one_by_its_digest(
    store: Store, clock: Clock
) -> None:
    await warm_version(store, "1")
    clock.at += 10
    await warm_version(store, "2", ALWAYS)
    assert await answer(store) == "f2"
    assert await answer(store, sha256=ONE) == "f1"
    assert await answer(store, sha256=TWO) == "f2"
    assert (await record(store)).source_etag == "e2"
    assert await counted(store) == await recounted(store)
    assert sum((await counted(store)).values()) == 1


async def test_an_upload_of_an_older_version_that_ends_late_does_not_bring_it_back(store: Store, clock: Clock) -> None:
    slow, opened_at = await begin(store, photo(sha256=ONE)), clock.at
    clock.at += 10
    await warm_version(store, "2")
    clock.at += 10
    assert await store.settle([delivered(slow, "1", opened_at=opened_at)]) == [True]
    assert await answer(store) == "f2"
    assert await answer(store, sha256=ONE) == "f1"
    assert sum((await counted(store)).values()) == 1


async def test_two_uploads_that_end_in_one_commit_leave_the_one_opened_last(store: Store, clock: Clock) -> None:
    first, second = await begin(store, photo(sha256=ONE)), await begin(store, photo())
    clock.at += 10
    late, early = delivered(first, "1", opened_at=clock.at - 2), delivered(second, "2", opened_at=clock.at - 1)
    assert await store.settle([early, late]) == [True, True]
    assert await answer(store) == "f2"
    assert await counted(store) == await recounted(store)


async def test_an_object_that_was_opened_after_the_stores_time_counts_as_opened_now(store: Store, clock: Clock) -> None:
    claim = await begin(store, photo())
    await store.settle([delivered(claim, "1", opened_at=clock.at + 1e6)])
    assert (await record(store)).opened_at == clock.at
    clock.at += 1
    await warm_version(store, "2", ALWAYS)
    assert await answer(store) == "f2"


async def test_after_the_clock_was_set_back_a_replaced_object_is_answered_as_it_is_now(
    store: Store, clock: Clock
) -> None:
    """The record of before was opened at a time that has not come yet."""
    clock.at += 600
    await warm_version(store, "1")
    clock.at -= 600
    pushed = await push_one(store, photo())
    assert pushed.to_check == "a.jpg"
    await compare(store, Found("e2"))
    await store.settle([delivered(await claim_one(store, pushed.id), "2")])
    assert await answer(store) == "f2"


async def test_a_file_that_was_put_back_is_answered_again_without_an_upload(store: Store, clock: Clock) -> None:
    await warm_version(store, "1")
    clock.at += 10
    await warm_version(store, "2", ALWAYS)
    clock.at += 1_000
    pushed = await push_one(store, photo())
    assert pushed.to_check == "a.jpg"
    await compare(store, Found("e1"))
    assert await state(store, pushed.id) is State.DONE
    assert await answer(store) == "f1"
    assert await answer(store, sha256=TWO) == "f2"
    clock.at += 10
    await compare(store, Found("e2"))
    assert await answer(store) == "f2"
    assert await counted(store) == await recounted(store)


async def test_another_bot_under_the_same_name_gets_no_reference_of_the_one_before(
    store: Store, accounts: dict[str, str], clock: Clock
) -> None:
    await warm_version(store, "1", photo(sha256=ONE))
    accounts["bot"] = "2"
    assert await answer(store) is None
    assert await answer(store, sha256=ONE) is None
    assert not (await push_one(store, photo(sha256=ONE))).duplicate
    claim = await claim_one(store, "job-2")
    await store.settle([delivered(claim, "2")])
    assert await answer(store) == "f2"
    assert (await record(store)).account == "2"
    accounts["bot"] = "1"
    assert await answer(store) == "f1"
    assert await answer(store, sha256=ONE) == "f1"


async def test_forgetting_for_one_bot_keeps_what_the_other_one_has(store: Store, accounts: dict[str, str]) -> None:
    await warm_version(store, "1")
    accounts["bot"] = "2"
    assert not await store.forget("bot", Kind.PHOTO, r2_key="a.jpg")
    await warm_version(store, "2")
    assert await store.forget("bot", Kind.PHOTO, r2_key="a.jpg")
    assert await answer(store) is None
    accounts["bot"] = "1"
    assert await answer(store) == "f1"


async def test_records_of_before_there_were_accounts_are_found_once_they_are_adopted(
    store: Store, accounts: dict[str, str], clock: Clock
) -> None:
    accounts.clear()
    for number in range(5):
        await warm_version(store, str(number), photo(f"{number}.jpg"))
    await warm_version(store, "8", photo("twice.jpg"))
    await warm_version(store, "9", photo("elsewhere.jpg", destination="other"))
    accounts["bot"] = "1"
    clock.at += 1
    await warm_version(store, "7", photo("twice.jpg"))
    assert await answer(store, "0.jpg") is None
    assert await store.adopt_accounts() == 6
    assert [await answer(store, f"{number}.jpg") for number in range(5)] == ["f0", "f1", "f2", "f3", "f4"]
    assert await answer(store, "twice.jpg") == "f7"
    assert await answer(store, sha256="8" * 64) == "f8"
    assert await store.adopt_accounts() == 0
    assert await counted(store) == await recounted(store)


async def test_forgetting_by_key_brings_no_older_version_back(store: Store, clock: Clock) -> None:
    await warm_version(store, "1")
    clock.at += 1
    await warm_version(store, "2", ALWAYS)
    assert await store.forget("bot", Kind.PHOTO, r2_key="a.jpg")
    assert await answer(store) is None
    assert await answer(store, sha256=ONE) is None
    assert await counted(store) == {}


async def test_forgetting_by_digest_drops_that_version_alone(store: Store, clock: Clock) -> None:
    await warm_version(store, "1")
    clock.at += 1
    await warm_version(store, "2", ALWAYS)
    assert await store.forget("bot", Kind.PHOTO, sha256=TWO)
    assert await answer(store) is None
    assert await answer(store, sha256=ONE) == "f1"
    assert not await store.forget("bot", Kind.PHOTO, sha256=TWO)
    assert await store.forget("bot", Kind.PHOTO, sha256=ONE)
    assert await answer(store, sha256=ONE) is None


async def test_a_reference_is_forgotten_by_id_only_while_it_is_the_one_that_answers(store: Store, clock: Clock) -> None:
    await warm_version(store, "1")
    clock.at += 1
    await warm_version(store, "2", ALWAYS)
    assert not await store.forget("bot", Kind.PHOTO, r2_key="a.jpg", file_id="f1")
    assert await answer(store) == "f2"
    assert await store.forget("bot", Kind.PHOTO, r2_key="a.jpg", file_id="f2")
    assert await answer(store) is None


async def test_jobs_that_are_forgotten_take_their_records_along(store: Store) -> None:
    await warm_version(store, "1", photo("a.jpg"))
    await warm_version(store, "2", photo("b.jpg", sha256=TWO))
    await warm_version(store, "3", photo("c.jpg"))
    await store.change_each(Action.FORGET, ["job-1", "job-2"])
    assert [await answer(store, key) for key in ("a.jpg", "b.jpg", "c.jpg")] == [None, None, "f3"]
    await store.change_all(Action.FORGET, Filter(state=State.DONE), limit=10)
    assert await answer(store, "c.jpg") is None
    assert await counted(store) == {}


async def test_the_same_bytes_in_other_kinds_and_places_have_records_of_their_own(store: Store) -> None:
    await warm_version(store, "1")
    assert await store.find("bot", Kind.DOCUMENT, r2_key="a.jpg") is None
    await warm_version(store, "2", NewJob("bot", Kind.DOCUMENT, "a.jpg"))
    await warm_version(store, "3", photo(destination="other"))
    assert await answer(store) == "f1"
    assert (await record(store, destination="other")).result["file_id"] == "f3"
    assert await counted(store) == await recounted(store)


async def test_a_failed_rewarm_can_be_tried_again_though_its_key_is_warm(store: Store, clock: Clock) -> None:
    await warm_version(store, "1")
    clock.at += 10
    claim = await begin(store, ALWAYS)
    clock.at += 10
    await store.settle([Failed(claim.lease, TIMED_OUT)])
    assert await answer(store) == "f1"
    again = await store.retry(claim.job.id)
    assert again is not None
    assert again.state is State.QUEUED


async def test_a_failed_job_whose_media_became_warm_since_is_not_sent_again(store: Store, clock: Clock) -> None:
    claim = await begin(store, photo())
    await store.settle([Failed(claim.lease, TIMED_OUT)])
    clock.at += 10
    await warm_version(store, "1")
    again = await store.retry(claim.job.id)
    assert again is not None
    assert again.state is State.FAILED


async def test_the_options_that_made_a_reference_are_kept_with_it(store: Store) -> None:
    await warm_version(store, "1", photo(options={"caption": "hello"}))
    assert (await record(store)).options == {"caption": "hello"}


async def test_bytes_that_nobody_read_are_not_sent_again_for_a_digest_while_the_object_is_the_same(
    store: Store, clock: Clock
) -> None:
    """The destination fetched the object by itself, so its record has no digest."""
    await warm_version(store, "1", digest=False)
    pushed = await push_one(store, photo(sha256=ONE))
    assert pushed.to_check == "a.jpg"
    await compare(store, Found("e1"))
    assert await state(store, pushed.id) is State.DONE
    clock.at += 1
    pushed = await push_one(store, photo(sha256=ONE))
    await compare(store, Found("e2"))
    assert await state(store, pushed.id) is State.QUEUED
    assert [job.id for job in await store.queued(5)] == [pushed.id]


async def test_a_known_id_is_answered_whatever_has_become_of_its_object(store: Store, clock: Clock) -> None:
    job = photo(id="mine")
    await warm_version(store, "1", job)
    clock.at += 1
    await warm_version(store, "2", ALWAYS)
    clock.at += 10_000
    pushed = await push_one(store, evolve(job, refresh=Refresh.ALWAYS))
    assert (pushed.id, pushed.state, pushed.to_check) == ("mine", State.DONE, None)
    await store.forget("bot", Kind.PHOTO, r2_key="a.jpg")
    assert (await push_one(store, job)).state is State.QUEUED
    assert (await view(store, "mine")).state is State.QUEUED
