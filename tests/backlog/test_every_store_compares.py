"""What a push means to a record, and what the bucket's answer means to both: in every store."""

from __future__ import annotations

import pytest
from attrs import evolve

from streamwarm.backlog.records import Comparison
from streamwarm.backlog.settlement import Failed
from streamwarm.backlog.store import Store
from streamwarm.errors import ErrorCode
from streamwarm.model import Kind, NewJob, Refresh, SourceState, State
from tests.worlds.backlog import LOST, Clock, claim_one, photo, push_one, view
from tests.worlds.records import (
    ONE,
    TWO,
    Found,
    Gone,
    Unanswered,
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

TRUST_S = 300


async def test_a_push_moments_after_the_upload_asks_nobody(store: Store, clock: Clock) -> None:
    await warm_version(store, "1")
    clock.at += TRUST_S - 1
    pushed = await push_one(store, photo())
    assert (pushed.state, pushed.duplicate, pushed.to_check) == (State.DONE, True, None)
    assert pushed.result == {"file_id": "f1", "sha256": ONE}


@pytest.mark.parametrize("named", [{"sha256": ONE}, {"source_etag": "e1"}, {"refresh": Refresh.NEVER}])
async def test_a_push_that_names_what_is_recorded_asks_nobody_however_old_it_is(
    store: Store, clock: Clock, named: dict[str, str]
) -> None:
    await warm_version(store, "1")
    clock.at += 10 * TRUST_S
    assert (await push_one(store, photo(**named))).state is State.DONE


@pytest.mark.parametrize("named", [{}, {"source_etag": "e2"}])
async def test_an_unchanged_object_is_answered_without_a_worker(
    store: Store, clock: Clock, named: dict[str, str]
) -> None:
    await warm_version(store, "1")
    clock.at += 10 * TRUST_S
    pushed = await push_one(store, photo(**named))
    assert (pushed.state, pushed.duplicate, pushed.to_check) == (State.QUEUED, False, "a.jpg")
    assert await store.queued(9) == await store.claim([pushed.id]) == []
    assert await store.to_check(9) == ["a.jpg"]
    compared = await compare(store, Found("e1"))
    assert (list(compared.queued), compared.unchanged) == ([], {("bot", Kind.PHOTO): 1})
    job = await view(store, pushed.id)
    assert (job.state, job.attempt) == (State.DONE, 0)
    assert job.result == {"file_id": "f1", "sha256": ONE, "source": "unchanged"}
    assert (await record(store)).checked_at == clock.at
    assert await store.to_check(9) == []
    assert (await push_one(store, photo())).state is State.DONE


async def test_a_changed_object_is_warmed_anew_and_answered_until_then(store: Store, clock: Clock) -> None:
    await warm_version(store, "1")
    clock.at += TRUST_S
    pushed = await push_one(store, photo())
    compared = await compare(store, Found("e2"))
    assert [job.id for job in compared.queued] == [pushed.id] == [job.id for job in await store.queued(9)]
    assert compared.changed == 1
    assert (await record(store)).source_state is SourceState.CHANGED
    assert await answer(store) == "f1"
    await store.settle([delivered(await claim_one(store, pushed.id), "2")])
    assert (await record(store)).source_state is SourceState.CURRENT
    assert await answer(store) == "f2"
    assert await counted(store) == await recounted(store)


async def test_a_deleted_object_fails_its_push_and_stays_answered(store: Store, clock: Clock) -> None:
    await warm_version(store, "1")
    clock.at += TRUST_S
    pushed = await push_one(store, photo())
    assert (await compare(store, Gone())).gone == 1
    job = await view(store, pushed.id)
    assert job.state is State.FAILED
    assert job.error is not None
    assert (job.error.code, job.error.permanent) == (ErrorCode.SOURCE_NOT_FOUND, True)
    assert (await record(store)).source_state is SourceState.GONE
    assert await answer(store) == "f1"
    assert (await push_one(store, photo())).to_check == "a.jpg"
    await compare(store, Found("e1"))
    assert (await record(store)).source_state is SourceState.CURRENT
    assert await counted(store) == await recounted(store)


async def test_a_bucket_that_says_nothing_leaves_the_recorded_reference(store: Store, clock: Clock) -> None:
    await warm_version(store, "1")
    clock.at += TRUST_S
    pushed = await push_one(store, photo())
    before = await record(store)
    await compare(store, Unanswered())
    assert (await view(store, pushed.id)).result == {"file_id": "f1", "sha256": ONE, "source": "unverified"}
    assert await record(store) == before
    assert (await push_one(store, photo())).to_check == "a.jpg"


async def test_always_warms_anew_and_never_leaves_a_moment_without_a_reference(store: Store, clock: Clock) -> None:
    await warm_version(store, "1")
    claim = await begin(store, photo(refresh=Refresh.ALWAYS))
    assert await answer(store) == "f1"
    clock.at += 1
    await store.settle([delivered(claim, "1")])
    assert await answer(store) == "f1"
    assert (await record(store)).warmed_at == clock.at


async def test_one_answer_of_the_bucket_serves_every_kind_and_destination_of_an_object(
    store: Store, clock: Clock
) -> None:
    documents, elsewhere = NewJob("bot", Kind.DOCUMENT, "a.jpg"), photo(destination="other")
    for job in (photo(), documents, elsewhere):
        await warm_version(store, "1", job)
    clock.at += TRUST_S
    pushed = [await push_one(store, job) for job in (photo(), documents, elsewhere)]
    compared = await compare(store, Found("e1"))
    assert sum(compared.unchanged.values()) == 3
    assert [await state(store, one.id) for one in pushed] == [State.DONE] * 3


async def test_a_change_that_nobody_pushed_is_warmed_anew_if_the_asker_wants_it(store: Store, clock: Clock) -> None:
    await warm_version(store, "1", photo(options={"caption": "kept"}))
    clock.at += TRUST_S
    compared = await compare(store, Found("e2"), rewarm=[("bot", Kind.PHOTO), ("bot", Kind.AUDIO)])
    (job,) = compared.queued
    stored = await view(store, job.id)
    assert (stored.r2_key, stored.options, stored.sha256) == ("a.jpg", {"caption": "kept"}, None)
    again = await compare(store, Found("e2"), rewarm=[("bot", Kind.PHOTO)])
    assert again.queued == []


async def test_a_late_answer_of_the_bucket_says_nothing_of_what_was_warmed_since(store: Store, clock: Clock) -> None:
    await warm_version(store, "1")
    asked_at, clock.at = clock.at + 1, clock.at + 10
    await warm_version(store, "2", photo(refresh=Refresh.ALWAYS))
    for seen in (Found("e1"), Gone()):
        await store.compare([Comparison("a.jpg", seen, asked_at)])
        assert (await record(store)).source_state is SourceState.CURRENT
        assert await answer(store) == "f2"


async def test_a_record_without_an_etag_takes_that_of_an_object_that_is_older(store: Store, clock: Clock) -> None:
    await import_one(store, clock)
    await compare(store, Found("e1", last_modified=clock.at - 100))
    assert (await record(store)).source_etag == "e1"
    assert (await record(store)).source_state is SourceState.CURRENT
    clock.at += TRUST_S
    await push_one(store, photo())
    await compare(store, Found("e2"))
    assert (await record(store)).source_state is SourceState.CHANGED


async def test_a_record_without_an_etag_takes_no_newer_objects_etag(store: Store, clock: Clock) -> None:
    await import_one(store, clock)
    clock.at += 50
    await compare(store, Found("e2", last_modified=clock.at - 10))
    found = await record(store)
    assert (found.source_state, found.source_etag) == (SourceState.CHANGED, None)


async def import_one(store: Store, clock: Clock) -> None:
    await warm_version(store, "1")
    made = await record(store)
    await store.forget("bot", Kind.PHOTO, r2_key="a.jpg")
    bare = evolve(made, source_etag=None, sha256=None, checked_at=None, result={"file_id": "f1", "source": "import"})
    assert await store.import_records([bare]) == [None]


@pytest.mark.parametrize(("etag", "checked"), [("e1", False), ("e2", True), (None, True)])
async def test_a_push_that_meets_an_upload_of_an_older_version_has_it_compared(
    store: Store, clock: Clock, etag: str | None, checked: bool
) -> None:
    claim, opened_at = await begin(store, photo()), clock.at
    clock.at += 5
    joined = await push_one(store, photo(source_etag=etag))
    assert (joined.id, joined.state, joined.duplicate) == (claim.job.id, State.RUNNING, True)
    await store.settle([delivered(claim, "1", opened_at=opened_at)])
    assert await answer(store) == "f1"
    assert await store.to_check(9) == (["a.jpg"] if checked else [])
    if checked:
        clock.at += 1
        compared = await compare(store, Found("e2"))
        assert len(compared.queued) == 1


async def test_a_push_before_the_object_was_opened_needs_no_second_look(store: Store, clock: Clock) -> None:
    claim = await begin(store, photo())
    await push_one(store, photo())
    clock.at += 5
    await store.settle([delivered(claim, "1", opened_at=clock.at - 1)])
    assert await store.to_check(9) == []


async def test_a_held_job_is_returned_by_every_push_and_the_older_reference_answered(
    store: Store, clock: Clock
) -> None:
    await warm_version(store, "1")
    clock.at += 1
    claim = await begin(store, photo(refresh=Refresh.ALWAYS))
    await store.settle([Failed(claim.lease, LOST, State.UNKNOWN)])
    for refresh in Refresh:
        pushed = await push_one(store, photo(refresh=refresh))
        assert (pushed.id, pushed.state) == (claim.job.id, State.UNKNOWN)
    assert await answer(store) == "f1"


async def test_objects_that_wait_longest_are_compared_first_and_a_cancelled_job_not_at_all(
    store: Store, clock: Clock
) -> None:
    for name in ("b.jpg", "a.jpg", "c.jpg"):
        await warm_version(store, "1", photo(name))
    clock.at += TRUST_S
    ids = []
    for name in ("b.jpg", "a.jpg", "c.jpg"):
        ids.append((await push_one(store, photo(name))).id)
        clock.at += 10
    assert await store.to_check(9) == ["b.jpg", "a.jpg", "c.jpg"]
    assert await store.to_check(2) == ["b.jpg", "a.jpg"]
    assert await store.to_check(9, waited_s=20) == ["b.jpg", "a.jpg"]
    await store.cancel(ids[0])
    assert await store.to_check(9) == ["a.jpg", "c.jpg"]
    await compare(store, Found("e1"), "b.jpg")
    assert await state(store, ids[0]) is State.CANCELLED


async def test_a_record_that_is_forgotten_while_its_object_is_compared_is_warmed_anew(
    store: Store, clock: Clock
) -> None:
    await warm_version(store, "1")
    clock.at += TRUST_S
    pushed = await push_one(store, photo())
    await store.forget("bot", Kind.PHOTO, r2_key="a.jpg")
    await compare(store, Found("e1"))
    assert [job.id for job in await store.queued(9)] == [pushed.id]


async def test_jobs_that_wait_for_the_bucket_leave_the_queue_to_the_others(store: Store, clock: Clock) -> None:
    await warm_version(store, "1")
    clock.at += TRUST_S
    waits = await push_one(store, photo())
    clock.at += 10
    ready = await push_one(store, photo("other.jpg"))
    assert [job.id for job in await store.queued(1)] == [ready.id]
    counts = await store.counts()
    assert counts.oldest_queued_at == clock.at
    assert counts.by_state[State.QUEUED] == 2
    assert [claim.job.id for claim in await store.claim([waits.id], spares=[[ready.id]])] == [ready.id]


async def test_another_digest_than_the_one_compared_is_warmed(store: Store, clock: Clock) -> None:
    await warm_version(store, "1", digest=False)
    pushed = await push_one(store, photo(sha256=TWO))
    clock.at += 1
    await warm_version(store, "1", photo(refresh=Refresh.ALWAYS))
    await compare(store, Found("e1"))
    assert [job.id for job in await store.queued(9)] == [pushed.id]
