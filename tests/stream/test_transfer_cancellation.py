"""Cancel a transfer at every step it takes: no connection, task, generator or descriptor may be left, and no torn file
at the destination."""

from __future__ import annotations

import gc
import os
from functools import partial

import pytest
import trio
import trio.testing
from attrs import evolve

from streamwarm.model import Job, Kind
from tests.worlds.cancelling import cancelled_at
from tests.worlds.scripted_bucket import ETAG, answering, holding, patient_clock
from tests.worlds.stream import World, content, job, sha256, world

OBJECT = content(300_000)
VERIFIED = job(sha256=sha256(OBJECT))
ENOUGH_STEPS = 600


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def sweep(w: World, what: Job = VERIFIED) -> int:
    """Cancel at step 1, 2, 3… until a transfer comes to its end; how many were cancelled."""
    for step in range(1, ENOUGH_STEPS):
        if not await cancelled_at(step, partial(w.send, evolve(what, id=f"{what.id}-{step}"))):
            return step - 1
        for pool in (w.source_pool, w.destination_pool):
            assert pool.stats()["active"] == pool.stats()["queued"] == 0
    pytest.fail("the transfer never came to its end")


async def test_a_transfer_cancelled_anywhere_leaves_nothing_behind() -> None:
    descriptors, tasks = open_descriptors(), trio.lowlevel.current_statistics().tasks_living
    async with world(holding(OBJECT, cuts=[])) as w:
        cancelled = sum([await sweep(w) for _ in range(14)])
        assert cancelled > 110
        assert set(w.digests) == {sha256(OBJECT)}
        # Everything still serves.
        await w.send()
    gc.collect()  # an unclosed generator would complain here, and a complaint is an error
    await trio.testing.wait_all_tasks_blocked()
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert open_descriptors() == descriptors


async def test_a_photo_or_a_hand_off_cancelled_anywhere_leaves_nothing_behind() -> None:
    descriptors, tasks = open_descriptors(), trio.lowlevel.current_statistics().tasks_living
    picture = answering(200, OBJECT, etag=ETAG, content_type="image/jpeg")
    for telegram in ({}, {"handoff": "auto"}):
        async with world(picture, telegram=telegram) as w:
            assert await sweep(w, job(kind=Kind.PHOTO)) > 4
            assert set(w.digests) == {sha256(OBJECT)}
            assert w.emulator.deliveries[-1].origin == ("url" if telegram else "upload")
    gc.collect()
    await trio.testing.wait_all_tasks_blocked()
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert open_descriptors() == descriptors


@pytest.fixture
def clock() -> trio.testing.MockClock:
    return patient_clock()


async def test_a_transfer_cancelled_while_its_source_is_reopened_leaves_nothing_behind(
    clock: trio.testing.MockClock,
) -> None:
    descriptors = open_descriptors()
    async with world(holding(OBJECT, cuts=[120_000] * 400)) as w:
        for step in range(1, 40, 2):
            await cancelled_at(step, partial(w.send, VERIFIED))
            for pool in (w.source_pool, w.destination_pool):
                assert pool.stats()["active"] == pool.stats()["queued"] == 0
        assert set(w.digests) <= {sha256(OBJECT)}
        assert w.bucket_rig.reopened_at
    gc.collect()
    assert open_descriptors() == descriptors
