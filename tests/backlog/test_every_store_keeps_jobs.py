"""What every store promises about pushes, claims and endings."""

from __future__ import annotations

import pytest

from streamwarm.backlog.settlement import Failed, Release, Retry
from streamwarm.backlog.store import Filter, Pushed, Refused, Store
from streamwarm.model import Kind, NewJob, State
from tests.worlds.backlog import DIGEST, TIMED_OUT, claim_one, done, photo, push_one, start, view, warm


async def test_a_repeated_push_makes_no_second_work(store: Store) -> None:
    jobs = [photo("a.jpg", id="mine"), photo("b.jpg")]
    first = await store.push(jobs)
    assert first == [Pushed("mine", State.QUEUED, False), Pushed("job-1", State.QUEUED, False)]
    again = await store.push(jobs)
    assert again == [Pushed("mine", State.QUEUED, True), Pushed("job-1", State.QUEUED, True)]
    assert len(await store.queued(10)) == 2


async def test_jobs_of_one_push_see_each_other(store: Store) -> None:
    answers = await store.push([photo(), photo(), photo(id="job-1")])
    assert answers == [Pushed("job-1", State.QUEUED, duplicate) for duplicate in (False, True, True)]


async def test_an_id_with_other_content_refuses_that_job_alone(store: Store) -> None:
    await push_one(store, photo(id="mine", options={"caption": "x", "width": 1}))
    same, other, fresh = await store.push(
        [
            photo(id="mine", options={"width": 1, "caption": "x"}),
            photo(id="mine", options={"caption": "y", "width": 1}),
            photo("b.jpg"),
        ]
    )
    assert isinstance(same, Pushed)
    assert same.duplicate
    assert isinstance(other, Refused)
    assert other.code == "id_conflict"
    assert isinstance(fresh, Pushed)


async def test_a_full_backlog_takes_what_fits_and_still_answers_duplicates(store: Store) -> None:
    await push_one(store, photo("first.jpg"))
    answers = await store.push([photo(f"{n}.jpg") for n in range(25)] + [photo("first.jpg")])
    assert [isinstance(answer, Pushed) for answer in answers] == [True] * 19 + [False] * 6 + [True]
    assert {answer.code for answer in answers if isinstance(answer, Refused)} == {"queue_full"}
    await store.cancel("job-1")
    assert isinstance((await store.push([photo("late.jpg")]))[0], Pushed)


async def test_a_job_survives_exactly_as_it_was_pushed(store: Store) -> None:
    key = "a/../b%2e\n'\";--\0\u00e9\U0001f600" + "x" * 1000
    options = {"caption": 'it\'s "quoted"\n\0\U0001f600', "width": 3, "supports_streaming": True}
    pushed = NewJob("bot'", Kind.VIDEO, key, "cd" * 32, 2**40, "id\0'\u00e9", options)
    await store.push([pushed])
    job = await view(store, "id\0'\u00e9")
    assert (job.r2_key, job.destination, job.bytes, job.sha256) == (key, "bot'", 2**40, "cd" * 32)
    assert job.options == options
    assert (await push_one(store, pushed)).duplicate


async def test_a_job_is_claimed_by_one_worker_only(store: Store) -> None:
    job_id = (await push_one(store, photo())).id
    claims = await store.claim([job_id, job_id, "no such job"])
    assert [(claim.job.id, claim.job.attempt, claim.job.state) for claim in claims] == [(job_id, 1, State.RUNNING)]
    assert await store.claim([job_id]) == []
    assert await store.queued(10) == []


async def test_a_worker_whose_job_is_gone_gets_the_first_of_its_spares_that_is_not(store: Store) -> None:
    ids = [(await push_one(store, photo(f"{number}.jpg"))).id for number in range(8)]
    for taken in (0, 2, 3, 4):
        await store.claim([ids[taken]])
    claims = await store.claim([ids[0], ids[1], "no such job"], spares=[[ids[1], *ids[2:6]], ids[2:6], ids[2:6]])
    assert [claim.job.id for claim in claims] == [ids[5], ids[1]]
    assert len({claim.lease.token for claim in claims}) == 2
    assert [job.id for job in await store.queued(10)] == ids[6:]


async def test_a_result_ends_the_job_and_warms_its_media(store: Store) -> None:
    job = await warm(store, photo())
    assert (job.state, job.result, job.error) == (State.DONE, {"file_id": "file-1"}, None)
    answer = await push_one(store, photo())
    assert answer == Pushed(job.id, State.DONE, duplicate=True, result={"file_id": "file-1"})


async def test_a_failed_attempt_comes_back_at_its_time(store: Store, clock) -> None:
    claim = await start(store, photo())
    assert await store.settle([Retry(claim.lease, TIMED_OUT, clock.at + 10)]) == [True]
    job = await view(store, claim.job.id)
    assert (job.state, job.retry_at, job.attempt, job.error) == (State.WAITING, clock.at + 10, 1, TIMED_OUT)
    due = await store.wake_due()
    assert (due.woken, due.next_at) == (0, clock.at + 10)
    clock.at += 10
    due = await store.wake_due()
    assert (due.woken, due.next_at) == (1, None)
    assert (await claim_one(store, job.id)).job.attempt == 2


async def test_an_attempt_that_did_not_count_is_given_back(store: Store, clock) -> None:
    claim = await start(store, photo())
    await store.settle([Retry(claim.lease, TIMED_OUT, clock.at, counts=False)])
    await store.wake_due()
    claim = await claim_one(store, claim.job.id)
    assert claim.job.attempt == 1
    await store.settle([Release(claim.lease)])
    assert (await claim_one(store, claim.job.id)).job.attempt == 1


async def test_a_cancelled_job_is_not_sent_and_its_worker_is_told(store: Store) -> None:
    claim = await start(store, photo())
    job = await store.cancel(claim.job.id)
    assert job is not None
    assert job.state is State.CANCELLED
    assert await store.renew([claim.lease]) == [claim.lease]
    assert await store.settle([done(claim)]) == [False]
    assert await store.cancel(claim.job.id) == job
    assert await store.cancel("no such job") is None
    fresh = await push_one(store, photo())
    assert (fresh.id == job.id, fresh.duplicate) == (False, False)


async def test_a_retry_never_makes_a_second_job_for_the_same_media(store: Store) -> None:
    claim = await start(store, photo())
    await store.settle([Failed(claim.lease, TIMED_OUT)])
    second = await warm(store, photo())
    assert (await store.retry(claim.job.id)).state is State.FAILED  # type: ignore[union-attr]
    await store.forget("bot", Kind.PHOTO, r2_key="a.jpg")
    third = await push_one(store, photo())
    assert (await store.retry(claim.job.id)).state is State.FAILED  # type: ignore[union-attr]
    await store.cancel(third.id)
    assert (await store.retry(claim.job.id)).state is State.QUEUED  # type: ignore[union-attr]
    assert (await store.retry(second.id)).state is State.DONE  # type: ignore[union-attr]
    assert await store.retry("no such job") is None


async def test_counts_tell_where_every_job_stands(store: Store, clock) -> None:
    await warm(store, photo("1.jpg"))
    await start(store, photo("2.jpg", destination="other"))
    clock.at += 5
    await store.push([photo("3.jpg"), photo("4.jpg")])
    counts = await store.counts()
    assert {state: n for state, n in counts.by_state.items() if n} == {
        State.DONE: 1,
        State.RUNNING: 1,
        State.QUEUED: 2,
    }
    assert counts.by_destination["bot"][State.QUEUED] == 2
    assert counts.by_destination["other"][State.RUNNING] == 1
    assert counts.oldest_queued_at == clock.at


@pytest.mark.parametrize("destination", [None, "bot"])
@pytest.mark.parametrize("state", [None, State.QUEUED])
async def test_every_job_is_on_exactly_one_page(store: Store, destination: str | None, state: State | None) -> None:
    await store.push([photo(f"{n}.jpg", destination="bot" if n % 3 else "other") for n in range(20)])
    await store.cancel("job-5")
    seen: list[int] = []
    after = None
    while True:
        page = await store.list_jobs(Filter(state, destination), limit=4, after=after)
        seen += [job.seq for job in page.jobs]
        after = page.next
        if after is None:
            break
    wanted = [
        n + 1 for n in range(20) if (destination is None or n % 3) and (state is None or f"job-{n + 1}" != "job-5")
    ]
    assert seen == wanted[::-1]


async def test_old_jobs_are_forgotten_with_their_events_and_warm_records_stay(store: Store, clock) -> None:
    ended = await warm(store, photo("old.jpg"))
    failed = await start(store, photo("bad.jpg"))
    await store.settle([Failed(failed.lease, TIMED_OUT)])
    newest = await store.last_seq()
    clock.at += 7 * 86_400 + 1
    await push_one(store, photo("new.jpg"))
    assert await store.prune() == 1
    assert await store.get(ended.id) is None
    assert {event.id for event in await store.events_after(0, limit=99)} == {failed.job.id, "job-3"}
    assert await store.find("bot", Kind.PHOTO, r2_key="old.jpg") is not None
    clock.at += 30 * 86_400
    await store.cancel("job-3")
    assert await store.prune() == 1
    assert await store.last_seq() == newest + 2
    assert (await store.push([photo("fresh.jpg")]))[0] == Pushed("job-4", State.QUEUED, False)


async def test_a_forgotten_id_that_is_pushed_again_warms_again(store: Store, clock) -> None:
    await warm(store, photo(id="mine"))
    assert (await push_one(store, photo(id="mine"))).state is State.DONE
    assert await store.forget("bot", Kind.PHOTO, sha256=DIGEST)
    clock.at += 3
    assert await push_one(store, photo(id="mine")) == Pushed("mine", State.QUEUED, False)
    again = await view(store, "mine")
    assert (again.attempt, again.result, again.created_at) == (0, None, clock.at - 3)
    assert (await store.queued(1))[0].queued_at == clock.at


async def test_a_store_that_works_says_so(store: Store) -> None:
    await store.check_writable()
