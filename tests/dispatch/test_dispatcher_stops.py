"""What a stop or a store in trouble may cost: a moment, never a worker or a job."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from streamwarm.model import State
from streamwarm.watch.observations import StoreTrouble
from tests.worlds.dispatcher import world


async def test_a_store_that_was_away_costs_no_worker_and_no_job(autojump_clock: MockClock) -> None:
    async with world(failures={"queued": 2, "claim": 2}) as w:
        keys = {f"{number}.bin" for number in range(3)}
        for key in sorted(keys):
            await w.push(key)
        for _ in keys:
            w.dispatcher.idle()
        assert {(await w.claims.receive()).job.r2_key for _ in keys} == keys
        assert [type(o) for o in w.observed] == [StoreTrouble] * 4


async def test_a_stopped_dispatcher_gives_back_what_no_worker_has_and_hands_out_nothing(
    autojump_clock: MockClock,
) -> None:
    async with world() as w:
        ids = [await w.push("in-hand.bin"), await w.push("still-queued.bin")]
        w.dispatcher.idle()
        await trio.testing.wait_all_tasks_blocked()
        assert (await w.job(ids[0])).state is State.RUNNING
        w.dispatcher.stop()
        w.dispatcher.idle()
        with pytest.raises(trio.EndOfChannel):
            await w.claims.receive()
        for job_id in ids:
            job = await w.job(job_id)
            assert (job.state, job.attempt) == (State.QUEUED, 0)
        assert not w.dispatcher.claiming


async def test_a_claim_that_is_being_committed_when_the_service_stops_is_given_back(autojump_clock: MockClock) -> None:
    async with world(delay_s={"claim": 2.0}) as w:
        job_id = await w.push("in-flight.bin")
        w.dispatcher.idle()
        await trio.sleep(1)
        w.dispatcher.stop()
        with pytest.raises(trio.EndOfChannel):
            await w.claims.receive()
        job = await w.job(job_id)
        assert (job.state, job.attempt) == (State.QUEUED, 0)


async def test_a_service_stops_in_order_though_the_store_takes_nothing_back(autojump_clock: MockClock) -> None:
    async with world(failures={"settle": 1000}) as w:
        job_id = await w.push("stranded.bin")
        w.dispatcher.idle()
        await trio.testing.wait_all_tasks_blocked()
        w.dispatcher.stop()
        with pytest.raises(trio.EndOfChannel):
            await w.claims.receive()
        assert (await w.job(job_id)).state is State.RUNNING  # until its lease runs out
        assert [type(o) for o in w.observed] == [StoreTrouble]


async def test_a_store_that_never_answers_a_claim_ends_in_a_retry(autojump_clock: MockClock) -> None:
    async with world(delay_s={"claim": 600.0}) as w:
        await w.push("late.bin")
        w.dispatcher.idle()
        await trio.sleep(10)
        w.failing.delay_s.clear()
        assert (await w.claims.receive()).job.r2_key == "late.bin"
