"""The rescuer acts in time, and no fault of the store ends it. Under a virtual clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.memory.store import open_memory_store
from streamwarm.backlog.rescuer import prune_interval_s, run_rescuer
from streamwarm.backlog.settlement import Retry
from streamwarm.backlog.store import Store
from streamwarm.errors import ErrorCode, StoreUnavailable
from streamwarm.model import State
from streamwarm.watch.observations import AttemptFailed, Observation, StoreTrouble
from tests.worlds.backlog import TIMED_OUT, claim_one, numbered, photo, start, view, warm

LIMITS = StoreBounds(keep_done_s=100)


@pytest.fixture
async def virtual_store(autojump_clock: MockClock) -> AsyncIterator[Store]:
    new_id = numbered("job-")
    async with open_memory_store(limits=LIMITS, now=trio.current_time, new_id=new_id, new_token=new_id) as store:
        yield store


async def test_a_job_of_a_dead_worker_is_claimable_within_ten_seconds_of_its_lease(
    virtual_store: Store, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    await nursery.start(lambda **k: run_rescuer(virtual_store, now=trio.current_time, random=lambda: 0.5, **k))
    claim = await start(virtual_store, photo())
    await trio.sleep(LIMITS.lease_s - 1)
    assert (await view(virtual_store, claim.job.id)).state is State.RUNNING
    await trio.sleep(11)
    assert (await view(virtual_store, claim.job.id)).state is State.QUEUED


async def test_a_job_that_ends_because_its_worker_was_lost_is_told_as_any_other_failure(
    virtual_store: Store, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    told: list[Observation] = []
    rescuer = partial(run_rescuer, virtual_store, now=trio.current_time, random=lambda: 0.5, observe=told.append)
    await nursery.start(rescuer)
    held = await start(virtual_store, photo("held.jpg"))
    assert await virtual_store.note_departure(held.lease)
    lost = await start(virtual_store, photo("lost.jpg"))
    for _ in range(LIMITS.max_attempts - 1):
        await trio.sleep(LIMITS.lease_s + 11)
        await claim_one(virtual_store, lost.job.id)
    await trio.sleep(LIMITS.lease_s + 11)
    failures = [(o.id, o.code, o.outcome, o.attempt) for o in told if isinstance(o, AttemptFailed) and o.final]
    assert failures == [
        (held.job.id, ErrorCode.DELIVERY_UNKNOWN, "unknown", 1),
        (lost.job.id, ErrorCode.WORKER_LOST, "failed", LIMITS.max_attempts),
    ]


async def test_a_retry_comes_at_its_time_and_old_jobs_go(
    virtual_store: Store, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    await nursery.start(lambda **k: run_rescuer(virtual_store, now=trio.current_time, random=lambda: 0.5, **k))
    old = await warm(virtual_store, photo("old.jpg"))
    claim = await start(virtual_store, photo())
    due_at = trio.current_time() + 7.3
    await virtual_store.settle([Retry(claim.lease, TIMED_OUT, due_at)])
    await trio.sleep_until(due_at - 0.1)
    assert (await view(virtual_store, claim.job.id)).state is State.WAITING
    await trio.sleep_until(due_at + 0.1)
    assert (await view(virtual_store, claim.job.id)).state is State.QUEUED
    await trio.sleep(3_700)
    assert await virtual_store.get(old.id) is None


async def test_an_ended_job_goes_soon_after_its_time_also_where_that_is_short(
    virtual_store: Store, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    every_s = prune_interval_s(LIMITS.keep_done_s)
    await nursery.start(
        lambda **k: run_rescuer(virtual_store, now=trio.current_time, random=lambda: 0.5, prune_every_s=every_s, **k)
    )
    old = await warm(virtual_store, photo("old.jpg"))
    await trio.sleep(LIMITS.keep_done_s - 1)
    assert await virtual_store.get(old.id) is not None
    await trio.sleep(2 + every_s)
    assert await virtual_store.get(old.id) is None


def test_what_is_kept_for_days_is_looked_for_once_an_hour_and_for_seconds_every_few() -> None:
    assert [prune_interval_s(keep_s) for keep_s in (0, 600, 7 * 86400)] == [5, 60, 3600]


class Flaky:
    """A store that is down until a given time."""

    def __init__(self, store: Store, out_until: float) -> None:
        self._store = store
        self._out_until = out_until

    def __getattr__(self, name: str) -> object:
        if trio.current_time() < self._out_until:
            raise StoreUnavailable("the disk is full")
        return getattr(self._store, name)


async def test_a_store_that_is_out_is_told_and_asked_again(
    virtual_store: Store, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    told: list[Observation] = []
    claim = await start(virtual_store, photo())
    flaky = Flaky(virtual_store, trio.current_time() + 60)

    async def run(task_status: trio.TaskStatus[None]) -> None:
        await run_rescuer(
            flaky,  # type: ignore[arg-type]
            now=trio.current_time,
            random=lambda: 0.5,
            observe=told.append,
            task_status=task_status,
        )

    await nursery.start(run)
    await trio.sleep(70)
    assert (await view(virtual_store, claim.job.id)).state is State.QUEUED
    assert {observed.where for observed in told if isinstance(observed, StoreTrouble)} == {
        "wake",
        "rescue",
        "prune",
        "survey",
    }
    assert len(told) < 100
