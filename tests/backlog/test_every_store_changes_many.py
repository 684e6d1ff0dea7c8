"""Retrying, cancelling and forgetting many jobs must do to each what the single method does, and no more."""

from __future__ import annotations

from streamwarm.backlog.core.lifecycle import RETRYABLE
from streamwarm.backlog.settlement import Failed
from streamwarm.backlog.store import Action, Changed, Filter, Store
from streamwarm.model import Kind, NewJob, State
from tests.worlds.backlog import TIMED_OUT, claim_one, done, photo, push_one, start, view, warm

FAILED = Filter(State.FAILED)


async def fail(store: Store, job: NewJob, state: State = State.FAILED) -> str:
    claim = await start(store, job)
    assert await store.settle([Failed(claim.lease, TIMED_OUT, state)]) == [True]
    return claim.job.id


def ids(changed: Changed) -> list[str]:
    return [job.id for job in changed.jobs]


async def states(store: Store, job_ids: list[str]) -> list[State | None]:
    jobs = [await store.get(job_id) for job_id in job_ids]
    return [None if job is None else job.state for job in jobs]


async def test_all_failed_jobs_are_retried_in_batches_and_no_other(store: Store) -> None:
    failed = [await fail(store, photo(f"{n}.jpg")) for n in range(5)]
    other = await fail(store, photo("other.jpg", destination="other"))
    held = await fail(store, photo("held.jpg"), State.UNKNOWN)
    queued = (await push_one(store, photo("queued.jpg"))).id
    here, after, batches = Filter(State.FAILED, "bot"), None, []
    while not batches or after is not None:
        batch = await store.change_all(Action.RETRY, here, limit=2, after=after)
        batches.append(ids(batch))
        after = batch.next
    assert batches == [failed[:2:-1], failed[2:0:-1], failed[:1]]
    assert await states(store, [*failed, other, held, queued]) == [
        *[State.QUEUED] * 5,
        State.FAILED,
        State.UNKNOWN,
        State.QUEUED,
    ]
    assert (await view(store, failed[0])).attempt == 0


async def test_of_jobs_for_the_same_media_one_is_retried(store: Store) -> None:
    twice = [await fail(store, photo("same.jpg")) for _ in range(2)]
    warmed = await fail(store, photo("warm.jpg"))
    await warm(store, photo("warm.jpg"))
    owned = await fail(store, photo("owned.jpg"))
    await push_one(store, photo("owned.jpg"))
    changed = await store.change_all(Action.RETRY, FAILED, limit=10)
    assert (ids(changed), changed.matched) == ([twice[1]], 4)
    assert await states(store, [*twice, warmed, owned]) == [
        State.FAILED,
        State.QUEUED,
        State.FAILED,
        State.FAILED,
    ]


async def test_named_jobs_are_cancelled_and_a_running_one_loses_its_lease(store: Store) -> None:
    claim = await start(store, photo("running.jpg"))
    queued = (await push_one(store, photo("queued.jpg"))).id
    ended = (await warm(store, photo("done.jpg"))).id
    names = [claim.job.id, queued, ended, queued, "nobody"]
    changed = await store.change_each(Action.CANCEL, names)
    assert (ids(changed), changed.matched) == ([claim.job.id, queued], 3)
    assert {job.state for job in changed.jobs} == {State.CANCELLED}
    assert await store.settle([done(claim)]) == [False]
    events = await store.events_after(0, limit=100)
    assert [event.id for event in events if event.state is State.CANCELLED] == [claim.job.id, queued]


async def test_forgetting_deletes_dead_letters_and_makes_done_media_cold(store: Store) -> None:
    dead = [await fail(store, photo(f"{state}.jpg"), state) for state in (State.FAILED, State.UNKNOWN)]
    running = (await start(store, photo("running.jpg"))).job.id
    by_key = (await warm(store, photo("by-key.jpg"))).id
    by_digest = (await warm(store, photo("x.jpg", sha256="11" * 32), sha256="11" * 32)).id
    changed = await store.change_each(Action.FORGET, [*dead, running, by_key, by_digest])
    assert (sorted(ids(changed)), changed.matched) == (sorted([*dead, by_key, by_digest]), 5)
    assert await states(store, [*dead, running, by_key]) == [None, None, State.RUNNING, State.DONE]
    assert await store.find("bot", Kind.PHOTO, r2_key="by-key.jpg") is None
    assert await store.find("bot", Kind.PHOTO, sha256="11" * 32) is None
    # What was held is free again, and what was done is warmed anew.
    for name in ("unknown.jpg", "by-key.jpg"):
        assert not (await push_one(store, photo(name))).duplicate
    assert await store.change_each(Action.FORGET, [by_digest]) == Changed([], matched=1)


async def test_bulk_and_single_agree_on_what_can_be_retried(store: Store) -> None:
    for state in State:
        job = photo(f"{state}.jpg")
        job_id = (await push_one(store, job)).id
        if state is State.CANCELLED:
            await store.cancel(job_id)
        elif state is not State.QUEUED:
            claim = await claim_one(store, job_id)
            if state is State.DONE:
                await store.settle([done(claim)])
            elif state in {State.FAILED, State.UNKNOWN}:
                await store.settle([Failed(claim.lease, TIMED_OUT, state)])
        before = (await view(store, job_id)).state
        changed = await store.change_each(Action.RETRY, [job_id])
        assert bool(ids(changed)) is (before in RETRYABLE)
