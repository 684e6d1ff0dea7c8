"""A dispatcher at work on a store in memory, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import define

from streamwarm.backlog.store import Pushed, Store
from streamwarm.dispatch.dispatcher import Dispatcher
from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.ready_queue import ReadyQueue
from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.fetch.source import CachedObject
from streamwarm.model import Claim, Job, Kind, NewJob
from streamwarm.send.destination import Rates
from streamwarm.watch.observations import Observation
from tests.worlds.failing_store import FailingStore, memory_store, now

DIGEST = "ab" * 32
"""That of every object in the cache."""


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
    *, max_queue: int = 500, rates: Mapping[str, Rates] | None = None, cached: Collection[str] = (), **trouble: Any
) -> AsyncIterator[World]:
    """The dispatcher is stopped at the end, and must then end by itself. `cached`: the keys of objects in the cache."""
    observed: list[Observation] = []
    async with memory_store() as store:
        failing = FailingStore(store, **trouble)
        claims, worker_claims = trio.open_memory_channel[Claim](0)
        queue, limits = ReadyQueue(max_queue, 900.0), Limits(rates or {})
        copies = [CachedObject(key, DIGEST) for key in cached]
        dispatcher = Dispatcher(
            failing, queue, limits, claims, now, now, observed.append, cached.__contains__, lambda: copies
        )
        with trio.fail_after(3600):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(dispatcher.run)
                await trio.testing.wait_all_tasks_blocked()
                yield World(store, failing, dispatcher, worker_claims, observed)
                dispatcher.stop()
