"""What a user loses if an outcome is not written down: a file that is sent twice, or a job that never ends."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from streamwarm.backlog.settlement import Done, Failed, Release, Retry
from streamwarm.backlog.store import Pushed, Store
from streamwarm.errors import AttemptError, DestinationError, ErrorCode
from streamwarm.model import Claim, Kind, NewJob, SeenObject, State
from streamwarm.settle.completer import BATCH, DRAIN_S, open_completer
from streamwarm.settle.finished import Finished
from streamwarm.watch.observations import (
    AttemptFailed,
    AttemptSucceeded,
    BatchDone,
    LateResult,
    Observation,
    RetryScheduled,
    StoreTrouble,
)
from tests.worlds.failing_store import EPOCH, FailingStore, memory_store, now

NEVER = 1_000_000


async def claimed(store: Store, count: int = 1) -> list[Claim]:
    pushed = await store.push([NewJob("mybot", Kind.PHOTO, f"a/{number}.jpg") for number in range(count)])
    return list(await store.claim([one.id for one in pushed]))  # type: ignore[union-attr]


def done(claim: Claim) -> Finished:
    seen = SeenObject(claim.job.r2_key, 5, None, None, "0" * 64)
    result = {"file_id": f"file of {claim.job.id}"}
    return Finished(claim, Done(claim.lease, result, seen), 1.0)


def failed(claim: Claim) -> Finished:
    error = AttemptError(ErrorCode.SOURCE_NOT_FOUND, "gone")
    return Finished(claim, Failed(claim.lease, error.as_job_error()), 1.0)


def again(claim: Claim) -> Finished:
    error = DestinationError(ErrorCode.DESTINATION_UNAVAILABLE, "502")
    return Finished(claim, Retry(claim.lease, error.as_job_error(), EPOCH + 60), 1.0)


def of_kind(observed: list[Observation], kind: type) -> list[Observation]:
    return [observation for observation in observed if type(observation) is kind]


async def states(store: Store, claims: list[Claim]) -> list[State]:
    jobs = [await store.get(claim.job.id) for claim in claims]
    return [job.state for job in jobs if job is not None]


async def test_outcomes_in_hand_are_written_down_though_the_service_is_cancelled(autojump_clock: MockClock) -> None:
    async with memory_store() as store:
        claims = await claimed(store, 3)
        slow = FailingStore(store, delay_s={"settle": 2.0})
        with trio.CancelScope() as scope:
            async with open_completer(slow, now=now, observe=lambda _: None) as completer:
                for claim in claims:
                    await completer.finish(done(claim))
                scope.cancel()
        assert await states(store, claims) == [State.DONE] * 3


async def test_a_store_that_comes_back_gets_every_outcome_once(autojump_clock: MockClock) -> None:
    observed: list[Observation] = []
    async with memory_store() as store:
        claims = await claimed(store, BATCH * 3)
        failing = FailingStore(store, failures={"settle": 5})
        async with open_completer(failing, now=now, observe=observed.append) as completer:
            for claim in claims:
                await completer.finish(done(claim))
        assert await states(store, claims) == [State.DONE] * len(claims)
        assert len(of_kind(observed, StoreTrouble)) == 5
        assert len(of_kind(observed, AttemptSucceeded)) == len(claims)
        record = await store.find("mybot", Kind.PHOTO, r2_key="a/7.jpg")
        assert record is not None
        assert record.result == {"file_id": f"file of {claims[7].job.id}"}


async def test_a_service_stops_though_the_store_is_away_for_good(autojump_clock: MockClock) -> None:
    async with memory_store() as store:
        claims = await claimed(store)
        unavailable = FailingStore(store, failures={"settle": NEVER})
        async with open_completer(unavailable, now=now, observe=lambda _: None) as completer:
            await completer.finish(done(claims[0]))
            stopped_at = trio.current_time()
        assert trio.current_time() - stopped_at == pytest.approx(DRAIN_S)
        assert await states(store, claims) == [State.RUNNING]  # its lease runs out, and it is made again


async def test_a_worker_that_lost_its_lease_changes_nothing_and_counts_nowhere(autojump_clock: MockClock) -> None:
    observed: list[Observation] = []
    async with memory_store() as store:
        claims = await claimed(store, 2)
        await store.cancel(claims[0].job.id)
        async with open_completer(store, now=now, observe=observed.append) as completer:
            await completer.finish(done(claims[0]))
            await completer.finish(done(claims[1]))
        assert await states(store, claims) == [State.CANCELLED, State.DONE]
        assert of_kind(observed, LateResult) == [LateResult(claims[0].job.id, "mybot", "Done")]
        assert [event.id for event in of_kind(observed, AttemptSucceeded)] == [claims[1].job.id]
        assert await store.find("mybot", Kind.PHOTO, r2_key=claims[0].job.r2_key) is None


async def test_observers_learn_what_became_of_each_attempt_and_when_the_backlog_ran_empty(
    autojump_clock: MockClock,
) -> None:
    observed: list[Observation] = []
    async with memory_store() as store:
        claims = await claimed(store, 3)
        async with open_completer(store, now=now, observe=observed.append) as completer:
            await completer.finish(again(claims[0]))
            await completer.finish(done(claims[1]))
            await completer.finish(failed(claims[2]))
            await trio.testing.wait_all_tasks_blocked()
            assert of_kind(observed, BatchDone) == []  # one waits for its next attempt
            await trio.sleep(60)
            await store.wake_due()
            second = await store.claim([claims[0].job.id])
            await completer.finish(done(second[0]))
            await trio.testing.wait_all_tasks_blocked()
        outcomes = [(event.outcome, event.final) for event in of_kind(observed, AttemptFailed)]
        assert outcomes == [("waiting", False), ("failed", True)]
        assert [event.in_s for event in of_kind(observed, RetryScheduled)] == [pytest.approx(60)]
        summaries = [(one.count, one.ok, one.failed) for one in of_kind(observed, BatchDone)]
        assert summaries == [(3, 2, 1)]


async def test_an_attempt_given_back_is_queued_at_once_and_told_as_no_failure(autojump_clock: MockClock) -> None:
    observed: list[Observation] = []
    async with memory_store() as store:
        claims = await claimed(store)
        async with open_completer(store, now=now, observe=observed.append) as completer:
            await completer.finish(Finished(claims[0], Release(claims[0].lease), 1.0))
        job = await store.get(claims[0].job.id)
        assert job is not None
        assert (job.state, job.attempt) == (State.QUEUED, 0)
        assert observed == []


async def test_an_attempt_whose_job_was_cancelled_is_no_late_result(autojump_clock: MockClock) -> None:
    observed: list[Observation] = []
    async with memory_store() as store:
        claims = await claimed(store)
        await store.cancel(claims[0].job.id)
        async with open_completer(store, now=now, observe=observed.append) as completer:
            await completer.finish(Finished(claims[0], Release(claims[0].lease), 1.0, called_off=True))
        assert await states(store, claims) == [State.CANCELLED]
        assert observed == []


async def test_the_end_of_a_backlog_is_reported_though_its_last_job_had_no_attempt(autojump_clock: MockClock) -> None:
    observed: list[Observation] = []
    async with memory_store() as store, open_completer(store, now=now, observe=observed.append) as completer:
        [claim] = await claimed(store)
        [other] = [
            one.id for one in await store.push([NewJob("mybot", Kind.PHOTO, "b.jpg")]) if isinstance(one, Pushed)
        ]
        await completer.finish(done(claim))
        await trio.sleep(1)
        assert of_kind(observed, BatchDone) == []
        await store.cancel(other)
        await trio.sleep(10)
        assert [(one.count, one.ok) for one in observed if isinstance(one, BatchDone)] == [(1, 1)]
