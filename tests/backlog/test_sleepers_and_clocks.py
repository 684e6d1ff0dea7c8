"""Leases follow the store's clock: a process that slept through its lease completes nothing, and no jump of the clock
completes anything twice (fault 21)."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.memory.store import open_memory_store
from streamwarm.backlog.rescuer import run_rescuer
from streamwarm.backlog.sqlite.store import open_sqlite_store
from streamwarm.backlog.store import Store
from streamwarm.model import Kind, State
from tests.worlds.backlog import IN_THREADS, Clock, claim_one, done, numbered, photo, push_one, start, view
from tests.worlds.sleeping_worker import LIMITS as SHORT_LEASES

ROOT = Path(__file__).parents[2]


async def test_a_process_that_sleeps_through_its_lease_delivers_nothing_when_it_wakes(path: str) -> None:
    names = numbered("mine-")
    with trio.fail_after(60):
        async with (
            open_sqlite_store(
                path, limits=SHORT_LEASES, now=time.time, new_id=names, new_token=names, **IN_THREADS
            ) as store,
            trio.open_nursery() as nursery,
        ):
            job_id = (await push_one(store, photo())).id
            command = [sys.executable, "-m", "tests.worlds.sleeping_worker", path, job_id]
            sleeper: trio.Process = await nursery.start(
                partial(trio.run_process, command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            )
            assert await said(sleeper) == "claimed"
            sleeper.send_signal(signal.SIGSTOP)
            while not (await store.rescue()).queued:  # its lease runs out by real time
                await trio.sleep(0.01)
            mine = await claim_one(store, job_id)
            sleeper.send_signal(signal.SIGCONT)
            assert sleeper.stdin is not None
            await sleeper.stdin.send_all(b"go on\n")
            assert json.loads(await said(sleeper)) == {"lost": 1, "kept": [False]}
            assert await store.settle([done(mine, "mine")]) == [True]
        with closing(sqlite3.connect(path)) as connection:
            results = connection.execute("SELECT result FROM events WHERE state = 'done'").fetchall()
        assert results == [('{"file_id":"mine"}',)]


async def said(process: trio.Process) -> str:
    assert process.stdout is not None
    line = b""
    while not line.endswith(b"\n"):
        line += await process.stdout.receive_some()
    return line.decode().strip()


@pytest.mark.parametrize("jump_s", [3_600.0, -3_600.0])
async def test_a_clock_that_jumps_takes_no_job_from_a_living_worker(jump_s: float, autojump_clock: MockClock) -> None:
    jumped_s = 0.0

    def clock() -> float:
        return 1_000_000.0 + trio.current_time() + jumped_s

    async def renew() -> None:
        assert await store.renew([claim.lease]) == []

    names = numbered("job-")
    async with (
        open_memory_store(limits=StoreBounds(), now=clock, new_id=names, new_token=names) as store,
        trio.open_nursery() as nursery,
    ):
        claim = await start(store, photo())
        await nursery.start(partial(run_rescuer, store, now=clock, random=lambda: 0.5, before_rescue=renew))
        await trio.sleep(3)
        jumped_s = jump_s
        await trio.sleep(60)
        assert (await view(store, claim.job.id)).state is State.RUNNING
        assert await store.settle([done(claim), done(claim)]) == [True, False]
        nursery.cancel_scope.cancel()


async def test_jobs_go_on_though_the_clock_was_set_back(store: Store, clock: Clock) -> None:
    first = (await push_one(store, photo("first.jpg"))).id
    clock.at -= 7_200
    second = (await push_one(store, photo("second.jpg"))).id
    assert {job.id for job in await store.queued(10)} == {first, second}
    claims = await store.claim([first, second])
    assert await store.settle([done(claim) for claim in claims]) == [True, True]
    assert [event.seq for event in await store.events_after(0, limit=10)] == [1, 2, 3, 4, 5, 6]
    assert await store.find("bot", Kind.PHOTO, r2_key="first.jpg") is not None
    assert (await view(store, first)).state is State.DONE
