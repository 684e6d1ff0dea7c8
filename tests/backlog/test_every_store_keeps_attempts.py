"""What every store keeps of attempts: without it, nobody can find out why a job took hours, or which process died."""

from __future__ import annotations

import pytest
from attrs import evolve

from streamwarm.attempts import LOCAL, AttemptRecord, Outcome
from streamwarm.backlog.core.attempts import KEPT_ATTEMPTS
from streamwarm.backlog.settlement import Failed, Ran, Release, Retry
from streamwarm.backlog.store import Action, Store
from streamwarm.errors import AttemptError, ErrorCode
from streamwarm.model import State
from streamwarm.retry import PATIENCE_S, RENEWED_ATTEMPTS
from streamwarm.stream.outcome import after_failure
from tests.worlds.backlog import LOST, TIMED_OUT, claim_one, done, photo, push_one, start, view, warm

RAN = Ran(worker=3, lane="-1001", bytes=77)


async def attempts_of(store: Store, job_id: str) -> list[AttemptRecord]:
    found = await store.attempts(job_id)
    assert found is not None
    return found


async def outcomes_of(store: Store, job_id: str) -> list[tuple[int, Outcome | None]]:
    return [(one.number, one.outcome) for one in await attempts_of(store, job_id)]


async def test_each_attempt_says_who_ran_it_for_how_long_and_how_it_ended(store: Store, clock) -> None:
    claim = await start(store, photo())
    job_id, started_at = claim.job.id, clock.at
    clock.at += 7
    await store.settle([Retry(claim.lease, TIMED_OUT, clock.at, ran=RAN)])
    clock.at += 1
    await store.wake_due()
    second = await claim_one(store, job_id)
    clock.at += 2
    await store.settle([evolve(done(second), ran=evolve(RAN, bytes=1234))])
    first = AttemptRecord(
        job_id,
        number=1,
        started_at=started_at,
        ended_at=started_at + 7,
        host=LOCAL.host,
        process=LOCAL.process,
        worker=3,
        lane="-1001",
        bytes=77,
        outcome=Outcome.RETRY,
        error=TIMED_OUT,
    )
    assert await attempts_of(store, job_id) == [
        first,
        evolve(
            first,
            number=2,
            started_at=started_at + 8,
            ended_at=started_at + 10,
            bytes=1234,
            outcome=Outcome.DONE,
            error=None,
        ),
    ]


async def test_an_attempt_that_runs_is_listed_without_an_end(store: Store, clock) -> None:
    claim = await start(store, photo())
    running = AttemptRecord(claim.job.id, 1, clock.at, host=LOCAL.host, process=LOCAL.process)
    clock.at += 20
    await store.renew([claim.lease])
    await store.note_departure(claim.lease)
    assert await attempts_of(store, claim.job.id) == [running]


async def test_the_attempt_of_a_killed_process_is_closed_as_lost_and_names_the_process(store: Store, clock) -> None:
    claim = await start(store, photo())
    clock.at += 31
    await store.rescue()
    (lost,) = await attempts_of(store, claim.job.id)
    assert (lost.outcome, lost.host, lost.process) == (Outcome.LOST, LOCAL.host, LOCAL.process)
    assert (lost.ended_at, lost.worker, lost.bytes) == (clock.at, None, None)
    assert lost.error is not None
    assert lost.error.code is ErrorCode.WORKER_LOST
    assert await store.settle([done(claim)]) == [False]
    assert await outcomes_of(store, claim.job.id) == [(1, Outcome.LOST)], "a late result changes no evidence"


async def test_the_lost_attempt_of_a_job_that_ends_with_it_has_the_jobs_error(store: Store, clock) -> None:
    claim = await start(store, photo())
    await store.note_departure(claim.lease)
    await store.rescue(everything=True)
    (lost,) = await attempts_of(store, claim.job.id)
    job = await view(store, claim.job.id)
    assert (lost.outcome, job.state) == (Outcome.LOST, State.UNKNOWN)
    assert lost.error == job.error


async def test_every_way_to_end_an_attempt_has_its_word(store: Store) -> None:
    released = await start(store, photo("released.jpg"))
    failed = await start(store, photo("failed.jpg"))
    unknown = await start(store, photo("unknown.jpg"))
    cancelled = await start(store, photo("cancelled.jpg"))
    await store.settle(
        [Release(released.lease), Failed(failed.lease, TIMED_OUT), Failed(unknown.lease, LOST, State.UNKNOWN)]
    )
    await store.cancel(cancelled.job.id)
    for claim, word in (
        (released, Outcome.RELEASED),
        (failed, Outcome.FAILED),
        (unknown, Outcome.UNKNOWN),
        (cancelled, Outcome.CANCELLED),
    ):
        assert await outcomes_of(store, claim.job.id) == [(1, word)]


async def test_attempts_that_do_not_count_are_kept_and_numbered_too(store: Store) -> None:
    job_id = (await push_one(store, photo())).id
    for _ in range(2):
        await store.settle([Release((await claim_one(store, job_id)).lease)])
    claim = await claim_one(store, job_id)
    await store.settle([Failed(claim.lease, TIMED_OUT)])
    await store.retry(job_id)
    await claim_one(store, job_id)
    assert (await view(store, job_id)).attempt == 1
    assert await outcomes_of(store, job_id) == [
        (1, Outcome.RELEASED),
        (2, Outcome.RELEASED),
        (3, Outcome.FAILED),
        (4, None),
    ]


async def test_a_job_that_is_tried_for_days_keeps_its_last_hundred_attempts(store: Store) -> None:
    job_id = (await push_one(store, photo())).id
    other = await warm(store, photo("other.jpg"))
    for _ in range(KEPT_ATTEMPTS + 5):
        await store.settle([Release((await claim_one(store, job_id)).lease)])
    numbers = [one.number for one in await attempts_of(store, job_id)]
    assert numbers == list(range(6, KEPT_ATTEMPTS + 6))
    assert await outcomes_of(store, other.id) == [(1, Outcome.DONE)]


async def test_attempts_go_with_their_job_and_with_no_other(store: Store, clock) -> None:
    old = await warm(store, photo("old.jpg", id="old"))
    failed = await start(store, photo("failed.jpg", id="failed"))
    await store.settle([Failed(failed.lease, TIMED_OUT)])
    clock.at += 8 * 86_400
    kept = await warm(store, photo("kept.jpg", id="kept"))
    assert await store.prune() == 1
    assert await store.attempts(old.id) is None
    await store.change_each(Action.FORGET, ["failed"])
    assert await store.attempts("failed") is None
    assert await outcomes_of(store, kept.id) == [(1, Outcome.DONE)]
    await push_one(store, photo("failed.jpg", id="failed"))
    assert await attempts_of(store, "failed") == [], "a new job has none of the old one's"


async def test_a_job_remembers_when_it_first_failed_until_a_user_retries_it(store: Store, clock) -> None:
    job_id = (await push_one(store, photo())).id
    first_at = clock.at + 100
    for counts in (False, True, True):
        clock.at += 50
        claim = await claim_one(store, job_id)
        await store.settle([Retry(claim.lease, TIMED_OUT, clock.at, counts=counts)])
        await store.wake_due()
    assert (await view(store, job_id)).first_failed_at == first_at, "what did not count was no failure"
    claim = await claim_one(store, job_id)
    assert claim.job.first_failed_at == first_at
    await store.settle([Failed(claim.lease, TIMED_OUT)])
    again = await store.retry(job_id)
    assert again is not None
    assert again.first_failed_at is None


async def test_a_process_that_dies_in_an_outage_does_not_end_the_jobs_that_wait_for_it(store: Store, clock) -> None:
    """Three attempts are allowed. Passing trouble gave it a fourth, and then its process died."""
    job_id = (await push_one(store, photo())).id
    first_at = clock.at
    for _ in range(3):
        claim = await claim_one(store, job_id)
        await store.settle([Retry(claim.lease, TIMED_OUT, clock.at)])
        await store.wake_due()
    await claim_one(store, job_id)
    assert (await store.rescue(everything=True)).queued == 1
    await claim_one(store, job_id)
    clock.at = first_at + PATIENCE_S
    assert (await store.rescue(everything=True)).queued == 0
    assert (await view(store, job_id)).state is State.FAILED


async def fail_again(store: Store, clock, job_id: str) -> bool:
    """Make an attempt that fails by a time-out, as a worker does. Returns False if the job has failed for good."""
    claim = await claim_one(store, job_id)
    settlement = after_failure(
        claim,
        AttemptError(ErrorCode.TIMEOUT, "no byte for 60 s"),
        on_unknown="retry",
        max_attempts=3,
        now=clock.at,
        random=0.5,
    )
    await store.settle([settlement])
    if not isinstance(settlement, Retry):
        return False
    clock.at = settlement.retry_at
    await store.wake_due()
    return True


@pytest.mark.parametrize("stopped", [True, False])
async def test_a_second_outage_hours_later_has_fifteen_minutes_of_its_own(store: Store, clock, stopped: bool) -> None:
    """Between the outages the service was stopped, or the job was queued behind others."""
    job_id = (await push_one(store, photo())).id
    first_at = clock.at
    while clock.at < first_at + 60:
        assert await fail_again(store, clock, job_id)
    claim = await claim_one(store, job_id)
    await store.settle([Retry(claim.lease, TIMED_OUT, clock.at + 100)])
    clock.at += 3 * 3600 if stopped else 100
    await store.wake_due()
    clock.at += 0 if stopped else 3 * 3600
    second_at = clock.at
    while clock.at < second_at + PATIENCE_S - 300:
        assert await fail_again(store, clock, job_id)


async def test_an_object_that_is_broken_for_good_fails_though_hours_lie_between_its_attempts(
    store: Store, clock
) -> None:
    job_id = (await push_one(store, photo())).id
    attempts = 1
    while await fail_again(store, clock, job_id):
        clock.at += 2 * 3600
        attempts += 1
        assert attempts <= RENEWED_ATTEMPTS + 2
