"""What every store promises about leases, lost workers and lost answers."""

from __future__ import annotations

from streamwarm.backlog.settlement import Failed, Release, Retry
from streamwarm.backlog.store import Pushed, Store
from streamwarm.backlog.upkeep import Rescued
from streamwarm.errors import ErrorCode
from streamwarm.model import Kind, State
from tests.worlds.backlog import LOST, TIMED_OUT, claim_one, done, photo, push_one, start, view


async def test_a_worker_that_lost_its_lease_changes_nothing(store: Store, clock) -> None:
    lost = await start(store, photo())
    clock.at += 31
    assert (await store.rescue()).queued == 1
    held = await claim_one(store, lost.job.id)
    assert held.job.possible_duplicate  # who knows how far the first one came
    assert await store.renew([lost.lease, held.lease]) == [lost.lease]
    before = await store.events_after(0, limit=100)
    assert await store.settle([done(lost), Failed(lost.lease, TIMED_OUT), Release(lost.lease)]) == [False] * 3
    assert await store.events_after(0, limit=100) == before
    assert await store.find("bot", Kind.PHOTO, r2_key="a.jpg") is None
    assert await store.settle([done(held), done(held)]) == [True, False]


async def test_a_slow_transfer_that_renews_is_never_rescued(store: Store, clock) -> None:
    claim = await start(store, photo())
    for _ in range(5):
        clock.at += 25
        assert await store.renew([claim.lease]) == []
        assert (await store.rescue()).queued == 0
    assert await store.settle([done(claim)]) == [True]


async def test_a_job_that_kills_its_process_every_time_is_set_aside(store: Store, clock) -> None:
    job_id = (await push_one(store, photo())).id
    for _ in range(2):
        await claim_one(store, job_id)
        assert await store.rescue(everything=True) == Rescued(1)
    await claim_one(store, job_id)
    rescued = await store.rescue(everything=True)
    job = await view(store, job_id)
    assert rescued == Rescued(0, (job,))
    assert job.state is State.FAILED
    assert job.error is not None
    assert job.error.code is ErrorCode.WORKER_LOST
    assert "3 attempts" in job.error.message


async def test_a_worker_lost_after_the_last_bytes_of_a_held_job_leaves_it_to_a_person(store: Store, clock) -> None:
    claim = await start(store, photo())
    before = await store.events_after(0, limit=100)
    assert await store.note_departure(claim.lease)
    assert await store.events_after(0, limit=100) == before  # it tells nobody: nothing has happened to the job
    clock.at += 20
    assert await store.renew([claim.lease]) == []
    clock.at += 31
    rescued = await store.rescue()
    job = await view(store, claim.job.id)
    assert rescued == Rescued(0, (job,))
    assert (job.state, job.attempt, job.possible_duplicate) == (State.UNKNOWN, 1, False)
    assert job.error is not None
    assert job.error.code is ErrorCode.DELIVERY_UNKNOWN
    assert await store.find("bot", Kind.PHOTO, r2_key="a.jpg") is None
    assert await push_one(store, photo()) == Pushed(job.id, State.UNKNOWN, duplicate=True)
    again = await store.retry(job.id)
    assert again is not None
    assert again.possible_duplicate


async def test_a_departure_is_that_of_one_attempt(store: Store, clock) -> None:
    claim = await start(store, photo())
    assert await store.note_departure(claim.lease)
    assert await store.settle([Retry(claim.lease, TIMED_OUT, clock.at)]) == [True]
    await store.wake_due()
    second = await claim_one(store, claim.job.id)
    assert not await store.note_departure(claim.lease)  # its lease is gone: its last bytes must not leave
    assert await store.rescue(everything=True) == Rescued(1)  # and nothing says that those of this one have
    assert not await store.note_departure(second.lease)
    third = await claim_one(store, claim.job.id)
    assert await store.note_departure(third.lease)
    assert await store.settle([done(third)]) == [True]
    assert not await store.note_departure(third.lease)


async def test_a_departure_that_came_to_nothing_holds_no_job(store: Store) -> None:
    claim = await start(store, photo())
    assert await store.note_departure(claim.lease)
    assert await store.note_departure(claim.lease, departed=False)
    assert await store.rescue(everything=True) == Rescued(1)


async def test_a_lost_answer_stays_marked_for_the_life_of_the_job(store: Store, clock) -> None:
    claim = await start(store, photo())
    await store.settle([Retry(claim.lease, LOST, clock.at, possible_duplicate=True)])
    await store.wake_due()
    claim = await claim_one(store, claim.job.id)
    await store.settle([Failed(claim.lease, TIMED_OUT)])
    job = await store.retry(claim.job.id)
    assert job is not None
    assert (job.state, job.attempt, job.error, job.possible_duplicate) == (State.QUEUED, 0, None, True)


async def test_a_held_job_waits_for_a_person_and_its_resend_is_marked(store: Store) -> None:
    claim = await start(store, photo())
    await store.settle([Failed(claim.lease, LOST, State.UNKNOWN)])
    assert await push_one(store, photo()) == Pushed(claim.job.id, State.UNKNOWN, duplicate=True)
    job = await store.retry(claim.job.id)
    assert job is not None
    assert (job.state, job.possible_duplicate) == (State.QUEUED, True)


async def test_a_job_that_was_cancelled_while_it_ran_is_marked_when_it_is_sent_again(store: Store) -> None:
    running, queued = await start(store, photo()), await push_one(store, photo("b.jpg"))
    assert isinstance(queued, Pushed)
    for job_id in (running.job.id, queued.id):
        await store.cancel(job_id)
    retried = [await store.retry(job_id) for job_id in (running.job.id, queued.id)]
    assert [job.possible_duplicate for job in retried if job is not None] == [True, False]
