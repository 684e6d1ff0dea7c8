"""Setting the clock must not stop work: what waits for a deadline waits no longer than it was to, on every store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest
import trio
from attrs import define
from trio.testing import MockClock

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.core.deadlines import SlowClock, Steps, ends_at
from streamwarm.backlog.memory.store import open_memory_store
from streamwarm.backlog.rescuer import run_rescuer
from streamwarm.backlog.settlement import Retry
from streamwarm.backlog.shared_limits import SOURCE_LEASE, Cooldown
from streamwarm.backlog.store import Store
from streamwarm.errors import LONGEST_WAIT_S
from streamwarm.model import State
from tests.worlds.backlog import TIMED_OUT, Clock, numbered, photo, start, view, warm

HOUR = 3_600.0


async def wait(store: Store, clock: Clock, wait_s: float, r2_key: str = "a.jpg") -> str:
    """A job that waits so long for its next attempt, as its destination cools down."""
    claim = await start(store, photo(r2_key))
    cooldown = Cooldown("bot", None, clock.at + wait_s, "429", set_at=clock.at)
    await store.settle([Retry(claim.lease, TIMED_OUT, clock.at + wait_s, cooldown=cooldown)])
    return claim.job.id


@pytest.mark.parametrize("back_s", [30.0, HOUR, 365 * 24 * HOUR])
async def test_a_clock_set_back_makes_no_wait_longer(store: Store, clock: Clock, back_s: float) -> None:
    clock.at += 400 * 24 * HOUR
    job_id = await wait(store, clock, 2.0)
    clock.at -= back_s
    (cooldown,) = (await store.shared_limits()).cooldowns
    assert cooldown.until <= clock.at + 2.0
    await store.reset_deadlines()
    await store.reset_deadlines()  # by another process, too
    assert (await view(store, job_id)).retry_at == clock.at + 2.0
    clock.at += 2.1
    assert (await store.shared_limits()).cooldowns == []
    assert (await store.wake_due()).woken == 1


async def test_a_cooldown_of_now_replaces_one_of_a_clock_that_was_ahead(store: Store, clock: Clock) -> None:
    await wait(store, clock, 2.0)
    clock.at -= HOUR
    await wait(store, clock, 60.0, "b.jpg")
    (cooldown,) = (await store.shared_limits()).cooldowns
    assert cooldown.until == clock.at + 60.0


async def test_a_long_wait_stays_as_long_where_the_clock_is_right(store: Store, clock: Clock) -> None:
    job_id = await wait(store, clock, 5 * HOUR)
    clock.at += HOUR
    await store.reset_deadlines()
    assert (await view(store, job_id)).retry_at == clock.at + 4 * HOUR
    (cooldown,) = (await store.shared_limits()).cooldowns
    assert cooldown.until == clock.at + 4 * HOUR


async def test_a_retry_of_a_waiting_job_means_now(store: Store, clock: Clock) -> None:
    job_id = await wait(store, clock, 5 * HOUR)
    job = await store.retry(job_id)
    assert job is not None
    assert (job.state, job.retry_at, job.attempt) == (State.QUEUED, None, 1)
    assert [queued.id for queued in await store.queued(5)] == [job_id]


async def test_a_lost_workers_job_is_rescued_though_the_clock_was_set_back(store: Store, clock: Clock) -> None:
    claim = await start(store, photo())
    clock.at -= HOUR
    await store.reset_deadlines()
    assert (await store.rescue()).queued == 0  # a worker that lives has its time to renew
    clock.at += StoreBounds().lease_s + 1
    assert (await store.rescue()).queued == 1
    assert (await view(store, claim.job.id)).state is State.QUEUED


async def test_a_lease_of_a_dead_process_is_free_though_the_clock_was_set_back(store: Store, clock: Clock) -> None:
    await store.pause_source("the key is wrong")
    assert await store.take_lease(SOURCE_LEASE, "dead", lease_s=30)
    assert not await store.take_lease(SOURCE_LEASE, "mine", lease_s=30)
    clock.at -= HOUR
    assert await store.take_lease(SOURCE_LEASE, "mine", lease_s=30)


@define
class Wall:
    """A wall clock that goes on with the virtual one, and that a test sets."""

    set_s: float = 0.0

    def __call__(self) -> float:
        return 50_000_000.0 + trio.current_time() + self.set_s


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
async def living(wall: Wall) -> AsyncIterator[Store]:
    names = numbered("job-")
    async with (
        open_memory_store(limits=StoreBounds(keep_done_s=600), now=wall, new_id=names, new_token=names) as store,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(partial(run_rescuer, store, now=wall, random=lambda: 0.5, prune_every_s=60.0))
        await trio.sleep(1.5)
        yield store
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("step_s", [-HOUR, HOUR])
async def test_a_waiting_job_goes_on_in_its_time_whichever_way_the_clock_is_set(
    living: Store, wall: Wall, step_s: float, autojump_clock: MockClock
) -> None:
    claim = await start(living, photo())
    await living.settle([Retry(claim.lease, TIMED_OUT, wall() + 20)])
    wall.set_s = step_s
    await trio.sleep(23)
    assert (await view(living, claim.job.id)).state is State.QUEUED


async def test_a_clock_set_forward_takes_no_job_from_another_process_that_renews(
    living: Store, wall: Wall, autojump_clock: MockClock
) -> None:
    claim = await start(living, photo())
    wall.set_s = HOUR
    for _ in range(6):
        await trio.sleep(10)  # the other process renews every third of a lease
        assert await living.renew([claim.lease]) == []
    assert (await view(living, claim.job.id)).state is State.RUNNING


async def test_a_lost_workers_job_comes_back_though_the_clock_was_set_forward(
    living: Store, wall: Wall, autojump_clock: MockClock
) -> None:
    claim = await start(living, photo())
    wall.set_s = HOUR
    await trio.sleep(60)
    assert (await view(living, claim.job.id)).state is State.QUEUED


async def test_a_wrong_year_for_a_moment_deletes_nothing(living: Store, wall: Wall, autojump_clock: MockClock) -> None:
    job = await warm(living, photo())
    wall.set_s = 10 * 365 * 24 * HOUR
    await trio.sleep(500)
    wall.set_s = 0.0
    await trio.sleep(50)
    assert (await view(living, job.id)).state is State.DONE
    await trio.sleep(200)
    assert await living.get(job.id) is None  # its time was over


def test_the_rule_of_a_wait() -> None:
    assert ends_at(110.0, 100.0, 105.0) == 110.0
    assert ends_at(110.0, 100.0, 3.0) == 13.0
    assert ends_at(1e9, None, 3.0) == 3.0 + LONGEST_WAIT_S
    assert ends_at(50.0, 100.0, 3.0) == 3.0


def test_small_differences_of_two_clocks_are_no_step() -> None:
    steps = Steps()
    assert [steps.measure(now, steady) for now, steady in ((100, 0), (104, 1), (101, 2), (3_700, 3))] == [
        0,
        0,
        0,
        3_598,
    ]
    assert not steps.is_settled(20, 30)
    assert steps.is_settled(33, 30)


def test_a_slow_clock_follows_a_step_back_at_once() -> None:
    clock = SlowClock()
    assert [clock.read(now, steady) for now, steady in ((100, 0), (9_000, 10), (90, 20), (95, 25))] == [
        100,
        110,
        90,
        95,
    ]
