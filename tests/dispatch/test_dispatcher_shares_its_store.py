"""Pushes reach idle workers at once, several processes take from one queue in order, and it costs few reads."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from streamwarm.backlog.settlement import Release
from streamwarm.backlog.store import Pushed
from streamwarm.model import Kind, NewJob
from streamwarm.send.destination import Quota, Rates
from tests.worlds.dispatcher import world


async def test_a_job_that_another_process_pushed_is_found_without_a_word(autojump_clock: MockClock) -> None:
    async with world() as w:
        w.dispatcher.idle()
        await trio.sleep(10)
        await w.store.push([NewJob("bot-a", Kind.PHOTO, "elsewhere.jpg")])
        assert (await w.claims.receive()).job.r2_key == "elsewhere.jpg"


async def test_jobs_that_other_processes_take_cost_a_worker_no_wait_for_the_next_poll(
    autojump_clock: MockClock,
) -> None:
    async with world() as w:
        ids = [await w.push(f"{number}.bin") for number in range(300)]
        assert (await w.next_job()).r2_key == "0.bin"
        others = await w.store.claim(ids[1:-1])  # as another process on the same store does
        assert len(others) == 298
        started_at = trio.current_time()
        assert (await w.next_job()).r2_key == "299.bin"
        assert trio.current_time() - started_at < 0.5


async def test_two_processes_hand_out_each_job_once_and_in_order_without_asking_twice(
    autojump_clock: MockClock,
) -> None:
    """Both hold the same best of the queue, and take turns that neither knows of."""
    limited = Rates(quotas=(Quota(1_000, 3_600.0),))
    async with world(rates={"bot-a": limited}) as one, world(rates={"bot-a": limited}) as other:
        other.failing.store = one.store
        for w in (one, other):
            w.dispatcher.limits.share(2)
        ids = [await one.push(f"{number}.bin") for number in range(300)]
        other.dispatcher.wake()
        turns = [w for _ in range(20) for w in (one, *[other] * 9, *[one] * 5)]
        assert [(await w.next_job()).id for w in turns] == ids
        assert one.failing.calls["claim"] + other.failing.calls["claim"] == len(ids)
        for w in (one, other):
            assert w.failing.calls["queued"] < 10
            assert w.dispatcher.limits.state("bot-a").usage.in_flight == turns.count(w)  # a place for each, no more


async def test_a_process_that_finds_all_it_holds_taken_looks_again(autojump_clock: MockClock) -> None:
    async with world() as w:
        w.dispatcher.limits.share(2)
        ids = [await w.push(f"{number}.bin") for number in range(30)]
        assert (await w.next_job()).id == ids[0]
        await w.store.claim(ids[1:-1])
        assert (await w.next_job()).id == ids[-1]
        assert w.failing.calls["queued"] <= 3


async def test_a_queue_that_takes_long_to_read_is_read_seldom(autojump_clock: MockClock) -> None:
    async with world(max_queue=400, delay_s={"queued": 0.05}) as w:
        for number in range(300):
            await w.push_elsewhere(f"{number}.bin")
        started_at = trio.current_time()
        for number in range(100):
            await w.push_elsewhere(f"later{number}.bin")
            await w.next_job()
            await trio.sleep(0.05)
        reads = w.failing.calls["queued"]
        assert 5 < reads < 3 + (trio.current_time() - started_at) / 0.5


async def test_a_push_reaches_an_idle_worker_at_once_and_costs_no_read_of_the_queue(autojump_clock: MockClock) -> None:
    async with world() as w:
        w.dispatcher.idle()
        await trio.sleep(0.5)
        reads = w.failing.calls["queued"]
        pushed_at = trio.current_time()
        await w.push("new.bin")
        assert (await w.claims.receive()).job.r2_key == "new.bin"
        assert trio.current_time() == pushed_at
        w.dispatcher.idle()
        await trio.sleep(1)
        assert w.failing.calls["queued"] == reads


async def test_a_job_that_is_queued_again_after_its_push_is_found_at_once(autojump_clock: MockClock) -> None:
    async with world() as w:
        job_id = await w.push("again.bin")
        w.dispatcher.idle()
        claim = await w.claims.receive()
        w.dispatcher.idle()
        await trio.sleep(0.5)
        await w.store.settle([Release(claim.lease)])
        given_back_at = trio.current_time()
        w.dispatcher.note_queued(job_id)
        assert (await w.claims.receive()).job.id == job_id
        assert trio.current_time() - given_back_at < 0.2


async def test_a_job_whose_event_comes_before_its_push_returns_is_handed_out_once(autojump_clock: MockClock) -> None:
    async with world() as w:
        for _ in range(2):
            w.dispatcher.idle()
        await trio.sleep(0.5)
        (answer,) = await w.store.push([NewJob("bot-a", Kind.PHOTO, "new.jpg")])
        assert isinstance(answer, Pushed)
        assert answer.queued is not None
        w.dispatcher.note_queued(answer.id)
        assert (await w.claims.receive()).job.id == answer.id
        w.dispatcher.offer([answer.queued])
        await trio.sleep(10)
        assert w.failing.calls["claim"] == 1
