"""In every store, a job changes its state only as the table of changes allows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import product

import pytest

from streamwarm.backlog.core.lifecycle import CHANGES, IllegalChange, check_change
from streamwarm.backlog.core.transitions import MAKERS
from streamwarm.backlog.records import Comparison, Found, Gone
from streamwarm.backlog.settlement import Failed, Retry
from streamwarm.backlog.store import Action, Store
from streamwarm.model import State
from tests.worlds.backlog import LOST, TIMED_OUT, Clock, claim_one, done, photo, push_one, start, view, warm

JOB = "job-of-test"
Reach = Callable[[Store, Clock], Awaitable[object]]


async def be_queued(store: Store, clock: Clock) -> None:
    await push_one(store, photo(id=JOB))


async def be_running(store: Store, clock: Clock) -> None:
    await start(store, photo(id=JOB))


async def be_waiting(store: Store, clock: Clock) -> None:
    claim = await start(store, photo(id=JOB))
    await store.settle([Retry(claim.lease, TIMED_OUT, clock() + 10)])


async def be_done(store: Store, clock: Clock) -> None:
    await store.settle([done(await start(store, photo(id=JOB)))])


async def be_failed(store: Store, clock: Clock) -> None:
    await store.settle([Failed((await start(store, photo(id=JOB))).lease, TIMED_OUT)])


async def be_unknown(store: Store, clock: Clock) -> None:
    await store.settle([Failed((await start(store, photo(id=JOB))).lease, LOST, State.UNKNOWN)])


async def be_cancelled(store: Store, clock: Clock) -> None:
    await be_queued(store, clock)
    await cancel(store, clock)


REACH: dict[State, Reach] = {
    State.QUEUED: be_queued,
    State.RUNNING: be_running,
    State.WAITING: be_waiting,
    State.DONE: be_done,
    State.FAILED: be_failed,
    State.UNKNOWN: be_unknown,
    State.CANCELLED: be_cancelled,
}


async def claim(store: Store, clock: Clock) -> None:
    await claim_one(store, JOB)


async def cancel(store: Store, clock: Clock) -> None:
    await store.cancel(JOB)


async def retry(store: Store, clock: Clock) -> None:
    await store.retry(JOB)


async def rescue(store: Store, clock: Clock) -> None:
    await store.rescue(everything=True)


async def wake(store: Store, clock: Clock) -> None:
    clock.at += 60
    await store.wake_due()


async def forget_and_push(store: Store, clock: Clock) -> None:
    job = await view(store, JOB)
    await store.forget(job.destination, job.kind, r2_key=job.r2_key)
    await push_one(store, photo(id=JOB))


async def compare(store: Store, clock: Clock, seen: Found | Gone) -> None:
    """Another job's record makes the queued one wait for a comparison."""
    await store.cancel(JOB)
    await warm(store, photo())
    clock.at += 3_600
    await store.change_each(Action.FORGET, [JOB])
    await push_one(store, photo(id=JOB))
    await store.compare([Comparison("a.jpg", seen, clock.at)])


async def find_unchanged(store: Store, clock: Clock) -> None:
    await compare(store, clock, Found("etag"))


async def find_gone(store: Store, clock: Clock) -> None:
    await compare(store, clock, Gone())


CHANGED_BY: dict[tuple[State, State], Reach] = {
    (State.QUEUED, State.RUNNING): claim,
    (State.QUEUED, State.CANCELLED): cancel,
    (State.QUEUED, State.DONE): find_unchanged,
    (State.QUEUED, State.FAILED): find_gone,
    (State.RUNNING, State.QUEUED): rescue,
    (State.RUNNING, State.CANCELLED): cancel,
    (State.WAITING, State.QUEUED): wake,
    (State.WAITING, State.CANCELLED): cancel,
    (State.FAILED, State.QUEUED): retry,
    (State.UNKNOWN, State.QUEUED): retry,
    (State.UNKNOWN, State.CANCELLED): cancel,
    (State.CANCELLED, State.QUEUED): retry,
    (State.DONE, State.QUEUED): forget_and_push,
}
"""The ends of a running attempt are missing: `REACH` settles them."""


@pytest.mark.parametrize("state", list(State))
async def test_every_state_can_be_reached_through_the_store(store: Store, clock: Clock, state: State) -> None:
    await REACH[state](store, clock)
    assert (await view(store, JOB)).state is state


@pytest.mark.parametrize(("before", "after"), sorted(CHANGED_BY))
async def test_every_change_in_the_table_can_be_made_through_the_store(
    store: Store, clock: Clock, before: State, after: State
) -> None:
    await REACH[before](store, clock)
    await CHANGED_BY[before, after](store, clock)
    assert (await view(store, JOB)).state is after


def test_every_change_in_the_table_has_a_function_that_makes_it_and_a_test_that_does() -> None:
    settled = {(State.RUNNING, state) for state in (State.WAITING, State.DONE, State.FAILED, State.UNKNOWN)}
    assert MAKERS.keys() == CHANGES
    assert CHANGED_BY.keys() | settled == CHANGES


@pytest.mark.parametrize("before", list(State))
@pytest.mark.parametrize("action", [claim, cancel, retry, rescue, wake])
async def test_no_method_of_the_store_makes_a_change_outside_the_table(
    store: Store, clock: Clock, before: State, action: Reach
) -> None:
    await REACH[before](store, clock)
    if action is claim:
        await store.claim([JOB])
    else:
        await action(store, clock)
    after = (await view(store, JOB)).state
    assert after is before or (before, after) in CHANGES


@pytest.mark.parametrize(("before", "after"), sorted(set(product(State, State)) - CHANGES))
def test_a_change_outside_the_table_is_an_error(before: State, after: State) -> None:
    with pytest.raises(IllegalChange, match=f"from {before} to {after}"):
        check_change(before, after)


@pytest.mark.parametrize(("before", "after"), sorted(CHANGES))
def test_a_change_in_the_table_is_allowed(before: State, after: State) -> None:
    check_change(before, after)
