"""What users lose without these: small files first, a 429 that stops only its own bot, a clean stop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from attrs import define
from trio.testing import MockClock

from streamwarm.backlog.settlement import Release
from streamwarm.backlog.store import Pushed, Store
from streamwarm.dispatch.dispatcher import Dispatcher
from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.ready_queue import ReadyQueue
from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.model import Claim, Job, Kind, NewJob, State
from streamwarm.send.destination import Quota, Rates
from streamwarm.watch.events import DestinationPaused, Observation, QueueReordered, StoreTrouble
from tests.worlds.failing_store import FailingStore, memory_store, now


@define
class World:
    """A dispatcher at work; `claims` is the workers' end of its channel."""

    store: Store
    failing: FailingStore
    dispatcher: Dispatcher
    claims: trio.MemoryReceiveChannel[Claim]
    observed: list[Observation]

    async def push(self, r2_key: str, kind: Kind = Kind.DOCUMENT, destination: str = "bot-a") -> str:
        """A push of this process: the dispatcher is handed the job, and then hears of it from its event."""
        answer = (await self.store.push([NewJob(destination, kind, r2_key)]))[0]
        assert isinstance(answer, Pushed)
        assert answer.queued is not None
        self.dispatcher.offer([answer.queued])
        self.dispatcher.note_queued(answer.id)
        return answer.id

    async def push_elsewhere(self, r2_key: str) -> str:
        """A push of another process: the dispatcher hears of it from its event alone."""
        answer = (await self.store.push([NewJob("bot-a", Kind.DOCUMENT, r2_key)]))[0]
        assert isinstance(answer, Pushed)
        self.dispatcher.note_queued(answer.id)
        return answer.id

    async def next_job(self) -> Job:
        """What the next idle worker gets."""
        self.dispatcher.idle()
        return (await self.claims.receive()).job

    async def job(self, job_id: str) -> Job:
        job = await self.store.get(job_id)
        assert job is not None
        return job

    async def pause(self, destination: str, for_s: float | None) -> None:
        error = DestinationError(
            ErrorCode.RATE_LIMITED, "429", retry_after_s=for_s, counts=False, pauses_destination=True
        )
        answer = (await self.store.push([NewJob(destination, Kind.VIDEO, "refused.mp4")]))[0]
        assert isinstance(answer, Pushed)
        claim = (await self.store.claim([answer.id]))[0]
        self.dispatcher.pause(claim, error)


@asynccontextmanager
async def world(
    *, max_queue: int = 500, rates: Mapping[str, Rates] | None = None, **trouble: Any
) -> AsyncIterator[World]:
    """The dispatcher is stopped at the end, and must then end by itself."""
    observed: list[Observation] = []
    async with memory_store() as store:
        failing = FailingStore(store, **trouble)
        claims, worker_claims = trio.open_memory_channel[Claim](0)
        queue, limits = ReadyQueue(max_queue, 900.0), Limits(rates or {})
        dispatcher = Dispatcher(failing, queue, limits, claims, now, now, observed.append)
        with trio.fail_after(3600):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(dispatcher.run)
                await trio.testing.wait_all_tasks_blocked()
                yield World(store, failing, dispatcher, worker_claims, observed)
                dispatcher.stop()


async def test_a_small_photo_pushed_last_is_sent_first(autojump_clock: MockClock) -> None:
    async with world() as w:
        await w.push("old.bin")
        await w.push("film.mp4", Kind.VIDEO)
        assert (await w.next_job()).r2_key == "old.bin"
        await w.push("face.jpg", Kind.PHOTO)
        await trio.sleep(1)
        assert (await w.next_job()).r2_key == "face.jpg"
        assert (await w.next_job()).r2_key == "film.mp4"


@pytest.mark.parametrize(("waited_s", "told"), [(59.0, []), (60.5, [2]), (601.0, [2])])
async def test_jobs_whose_score_changed_with_their_age_are_told(
    waited_s: float, told: list[int], autojump_clock: MockClock
) -> None:
    async with world() as w:
        for key in ("1.bin", "2.bin", "3.bin"):
            await w.push(key)
        await w.next_job()
        await trio.sleep(waited_s)
        await w.next_job()
        assert [o.jobs for o in w.observed if isinstance(o, QueueReordered)] == told


async def test_a_worker_that_waits_gets_a_job_as_soon_as_it_is_pushed(autojump_clock: MockClock) -> None:
    async with world() as w:
        w.dispatcher.idle()
        await trio.sleep(100.05)
        pushed_at = trio.current_time()
        await w.push("new.bin")
        assert (await w.claims.receive()).job.r2_key == "new.bin"
        assert trio.current_time() - pushed_at < 0.2


async def test_a_job_that_another_process_pushed_is_found_without_a_word(autojump_clock: MockClock) -> None:
    async with world() as w:
        w.dispatcher.idle()
        await trio.sleep(10)
        await w.store.push([NewJob("bot-a", Kind.PHOTO, "elsewhere.jpg")])
        assert (await w.claims.receive()).job.r2_key == "elsewhere.jpg"


async def test_a_paused_destination_is_passed_over_and_resumes_by_itself(autojump_clock: MockClock) -> None:
    async with world() as w:
        await w.push("limited.jpg", Kind.PHOTO, "bot-a")
        await w.push("film.mp4", Kind.VIDEO, "bot-b")
        await w.pause("bot-a", 30.0)
        paused_at = trio.current_time()
        assert [(o.destination, o.for_s) for o in w.observed if isinstance(o, DestinationPaused)] == [("bot-a", 30.0)]
        assert (await w.next_job()).r2_key == "film.mp4"
        assert trio.current_time() - paused_at < 1
        assert (await w.next_job()).r2_key == "limited.jpg"
        assert trio.current_time() - paused_at == pytest.approx(30, abs=0.2)


async def test_a_destination_paused_for_good_waits_for_a_person(autojump_clock: MockClock) -> None:
    async with world() as w:
        await w.push("held.jpg", Kind.PHOTO)
        await w.pause("bot-a", None)
        w.dispatcher.idle()
        with trio.move_on_after(600) as waited:
            await w.claims.receive()
        assert waited.cancelled_caught
        w.dispatcher.limits.resume("bot-a")
        w.dispatcher.wake()
        assert (await w.claims.receive()).job.r2_key == "held.jpg"


async def test_a_job_cancelled_while_it_was_held_costs_no_worker(autojump_clock: MockClock) -> None:
    async with world() as w:
        await w.push("first.bin")
        gone = await w.push("gone.bin")
        await w.push("last.bin")
        assert (await w.next_job()).r2_key == "first.bin"
        await w.store.cancel(gone)
        assert (await w.next_job()).r2_key == "last.bin"
        await w.push("later.bin")
        assert (await w.next_job()).r2_key == "later.bin"


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


async def test_a_bot_that_may_send_is_not_held_up_by_one_whose_jobs_fill_its_share_of_the_queue(
    autojump_clock: MockClock,
) -> None:
    limited = Rates(quotas=(Quota(1, 3_600.0),))
    async with world(max_queue=8, rates={"bot-a": limited}) as w:
        for number in range(20):
            await w.push(f"a{number}.bin", destination="bot-a")
            await w.push(f"b{number}.bin", destination="bot-b")
        started_at = trio.current_time()
        sent = [(await w.next_job()).destination for _ in range(21)]
        assert sent.count("bot-b") == 20
        assert trio.current_time() - started_at < 1


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


async def test_more_jobs_than_the_channel_holds_are_all_handed_out_and_in_order(autojump_clock: MockClock) -> None:
    async with world(max_queue=4) as w:
        ids = [await w.push(f"{number}.bin") for number in range(30)]
        assert [(await w.next_job()).id for _ in ids] == ids


async def test_jobs_pushed_for_a_paused_destination_take_no_room_and_wait_for_its_end(
    autojump_clock: MockClock,
) -> None:
    async with world(max_queue=4) as w:
        await w.pause("bot-a", 30.0)
        paused_at = trio.current_time()
        w.dispatcher.idle()
        await trio.sleep(1)
        held = [await w.push(f"held{number}.jpg", Kind.PHOTO) for number in range(4)]
        await trio.sleep(0.5)
        await w.push("film.mp4", Kind.VIDEO, "bot-b")
        assert (await w.claims.receive()).job.r2_key == "film.mp4"
        assert trio.current_time() - paused_at < 2
        assert (await w.next_job()).id == held[0]
        assert trio.current_time() - paused_at == pytest.approx(30, abs=0.2)
