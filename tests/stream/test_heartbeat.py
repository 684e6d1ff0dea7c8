"""What a lease hangs on: a slow transfer keeps its job however long it takes, a stuck one loses it to another."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any

import trio
from attrs import define
from trio.testing import MockClock

from streamwarm.backlog.rescuer import run_rescuer
from streamwarm.backlog.store import Pushed, Store
from streamwarm.dispatch.dispatcher import Dispatcher
from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.ready_queue import ReadyQueue
from streamwarm.errors import SourceError
from streamwarm.fetch.source import ObjectInfo, Origin
from streamwarm.model import Claim, Job, Kind, NewJob, State
from streamwarm.send.destination import Body, Media
from streamwarm.settle.completer import open_completer
from streamwarm.stream.departure import NOTE_S
from streamwarm.stream.running import Running
from streamwarm.stream.worker import WorkerTools, run_worker
from streamwarm.watch.observations import LateResult, Observation
from tests.worlds.failing_store import FailingStore, memory_store, now
from tests.worlds.stream import unjudged

LEASE_S = 30.0
BODY_TIMEOUT_S = 60.0
PIECES = 10


async def never_the_buckets(_: SourceError) -> bool:
    return False


@define
class SlowObject:
    """Its pieces come at their own pace."""

    info: ObjectInfo
    incoming: AsyncGenerator[bytes, None]
    origin: Origin = Origin.STREAM

    def pieces(self) -> AsyncGenerator[bytes, None]:
        return self.incoming


async def one_by_one(pause_s: float) -> AsyncGenerator[bytes, None]:
    for _ in range(PIECES):
        await trio.sleep(pause_s)
        yield b"x"


@define
class SlowBucket:
    pause_s: float

    @asynccontextmanager
    async def open_object(self, r2_key: str, *, sha256: str | None = None) -> AsyncIterator[SlowObject]:
        async with aclosing(one_by_one(self.pause_s)) as incoming:
            yield SlowObject(ObjectInfo(r2_key, PIECES, None, None), incoming)


Deliver = Callable[[Media, Body], Awaitable[dict[str, Any]]]


@define
class Far:
    """A destination that delivers by the function it is given."""

    deliver: Deliver
    name: str = "bot"
    on_unknown: str = "retry"
    answer_timeout_s: float = 60.0

    def check_media(self, media: Media) -> None:
        """Anything goes."""


@asynccontextmanager
async def service(
    pause_s: float, deliver: Deliver, *, on_unknown: str = "retry", delay_s: dict[str, float] | None = None
) -> AsyncIterator[tuple[Store, list[Observation], Running]]:
    """Dispatcher, two workers, completer, heartbeat and rescuer, as the service wires them. `delay_s`: how long the
    store takes, by method."""
    observed: list[Observation] = []
    async with (
        memory_store() as store,
        trio.open_nursery() as nursery,
        open_completer(store, now=now, observe=observed.append) as completer,
    ):
        claims, worker_claims = trio.open_memory_channel[Claim](0)
        dispatcher = Dispatcher(
            store, ReadyQueue(500, 900.0), Limits(), claims, now, now, observed.append, lambda _: False
        )
        running = Running()
        tools = WorkerTools(
            source=SlowBucket(pause_s),
            destinations={"bot": Far(deliver, on_unknown=on_unknown)},
            running=running,
            finish=completer.finish,
            pause=dispatcher.pause,
            weigh=unjudged,
            took=lambda _: None,
            depart=dispatcher.depart,
            is_of_the_bucket=never_the_buckets,
            note_departure=FailingStore(store, delay_s=delay_s or {}).note_departure,
            ended=dispatcher.ended,
            move_lane=dispatcher.move_lane,
            idle=dispatcher.idle,
            observe=observed.append,
            now=now,
            random=lambda: 0.0,
            redact=str,
            max_attempts=5,
            body_timeout_s=BODY_TIMEOUT_S,
        )
        for number in (1, 2):
            nursery.start_soon(run_worker, number, worker_claims.clone(), tools)
        nursery.start_soon(dispatcher.run)
        nursery.start_soon(partial(running.renew_leases, store, every_s=LEASE_S / 3, observe=observed.append))
        renew, wake = partial(running.renew, store), dispatcher.wake
        rescuer = partial(run_rescuer, now=now, random=lambda: 0.0, on_queued=wake, before_rescue=renew)
        nursery.start_soon(rescuer, store)
        yield store, observed, running
        nursery.cancel_scope.cancel()


async def ended(store: Store, job_id: str) -> Job:
    with trio.fail_after(3_600):
        while (job := await store.get(job_id)) is None or job.state is not State.DONE:
            await trio.sleep(1)
    return job


async def take(media: Media, body: Body) -> dict[str, Any]:
    async for _ in body.pieces():
        pass
    return {"file_id": "taken"}


async def push(store: Store) -> str:
    (answer,) = await store.push([NewJob("bot", Kind.DOCUMENT, "slow.bin")])
    assert isinstance(answer, Pushed)
    return answer.id


async def test_a_transfer_slower_than_its_lease_is_made_once(autojump_clock: MockClock) -> None:
    async with service(BODY_TIMEOUT_S - 1, take) as (store, *_):
        job = await ended(store, await push(store))
        assert now() - job.created_at > 9 * LEASE_S
        assert job.attempt == 1


async def test_a_transfer_that_nothing_can_end_loses_its_job_to_another_worker_and_changes_nothing_later(
    autojump_clock: MockClock,
) -> None:
    tries = 0

    async def stick_at_first(media: Media, body: Body) -> dict[str, Any]:
        nonlocal tries
        tries += 1
        if tries == 1:
            with trio.CancelScope(shield=True):  # as a thread that hangs in a system call
                await trio.sleep(600)
            return {"file_id": "too late"}
        return await take(media, body)

    async with service(0.0, stick_at_first) as (store, observed, _):
        job = await ended(store, await push(store))
        assert now() - job.created_at < BODY_TIMEOUT_S + LEASE_S + 20
        assert (job.attempt, job.result["file_id"]) == (2, "taken")  # type: ignore[index]
        await trio.sleep(700)
        assert await store.get(job.id) == job
        assert [type(o) for o in observed if isinstance(o, LateResult)] == [LateResult]


async def test_a_store_that_hangs_keeps_the_last_bytes_back_and_frees_the_worker(autojump_clock: MockClock) -> None:
    delay_s = {"note_departure": 3_600.0}
    taken: list[int] = []

    async def count(media: Media, body: Body) -> dict[str, Any]:
        got = 0
        try:
            async with aclosing(body.pieces()) as pieces:
                async for piece in pieces:
                    got += len(piece)
        finally:
            taken.append(got)
        return {"file_id": "taken"}

    async with service(0.0, count, on_unknown="hold", delay_s=delay_s) as (store, *_):
        job_id = await push(store)
        await trio.sleep(NOTE_S + 1)
        assert taken == [PIECES - 1]
        delay_s.clear()
        job = await ended(store, job_id)
        assert (job.attempt, job.possible_duplicate, taken[-1]) == (1, False, PIECES)


async def test_late_word_of_a_cancelled_attempt_does_not_end_the_one_that_was_made_since(
    autojump_clock: MockClock,
) -> None:
    """A client cancels and retries at another process, whose events come here with a delay."""
    async with service(1.0, take) as (store, _, running):
        job_id = await push(store)
        await trio.sleep(3)
        await store.cancel(job_id)
        cancelled_at = now()
        running.cancel(job_id, cancelled_at)
        await trio.sleep(1)
        await store.retry(job_id)
        await trio.sleep(3)
        running.cancel(job_id, cancelled_at)
        await trio.sleep(1)
        assert [stream.id for stream in running.streams()] == [job_id]
        assert (await ended(store, job_id)).attempt == 1
