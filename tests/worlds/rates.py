"""Dispatcher, budgets and workers in virtual time, against a Bot API that keeps Telegram's rates to the letter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import trio
from attrs import define, evolve, field, frozen

from streamwarm.backlog.settlement import Done
from streamwarm.backlog.shared_limits import SharedLimits
from streamwarm.backlog.store import Store
from streamwarm.dispatch.dispatcher import Dispatcher
from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.ready_queue import ReadyQueue
from streamwarm.model import Claim, Kind, Lane, NewJob, SeenObject
from streamwarm.sandbox.bot_api_rates import RateLimits, RateRules
from streamwarm.send.destination import Rates
from streamwarm.send.telegram.rates import telegram_rates
from streamwarm.watch.observations import unobserved
from tests.worlds.failing_store import FailingStore, memory_store, now

BOT = "bot"


@frozen
class Upload:
    """How one upload goes: `sends_s` until its last piece, `counts_s` from there until the Bot API counts it, and
    `answers_s` until the answer is here."""

    sends_s: float = 0.1
    counts_s: float = 0.05
    answers_s: float = 0.1


@define
class FarSide:
    """`made`: when messages were made, by chat. `refused`: when a rate was broken."""

    rates: RateLimits
    made: dict[str, list[float]] = field(factory=dict)
    refused: list[float] = field(factory=list)

    def take(self, lane: Lane | None) -> bool:
        chat = lane.address if lane else "?"
        at = trio.current_time()
        if self.rates.take(1, hash(chat), group=chat.startswith("-"), now=at):
            self.refused.append(at)
            return False
        self.made.setdefault(chat, []).append(at)
        return True

    @property
    def all_made(self) -> list[float]:
        return sorted(at for times in self.made.values() for at in times)


@define
class Crowd:
    """A store that so many processes share."""

    store: Store
    processes: int

    async def shared_limits(self) -> SharedLimits:
        return evolve(await self.store.shared_limits(), processes=self.processes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


@define
class World:
    store: Store
    dispatcher: Dispatcher
    far: FarSide
    upload: Callable[[Claim], Upload]
    pushed: int = 0
    busy: int = 0
    busy_peak: int = 0
    departures_waited_s: list[float] = field(factory=list)

    async def push(self, count: int) -> None:
        numbers = range(self.pushed, self.pushed + count)
        self.pushed += count
        await self.store.push([NewJob(BOT, Kind.PHOTO, f"{number}.jpg") for number in numbers])
        self.dispatcher.wake()

    async def run_with_work(self, for_s: float, a_minute: int) -> None:
        """Let time pass, with more work at hand always than may be done."""
        await self.push(a_minute)
        for _ in range(round(for_s / 60)):
            await self.push(a_minute)
            await trio.sleep(60)

    async def work(self, claims: trio.MemoryReceiveChannel[Claim]) -> None:
        self.dispatcher.idle()
        async for claim in claims:
            self.busy += 1
            self.busy_peak = max(self.busy_peak, self.busy)
            await self._attempt(claim)
            self.busy -= 1
            self.dispatcher.idle()

    async def _attempt(self, claim: Claim) -> None:
        how = self.upload(claim)
        await trio.sleep(how.sends_s)
        ready_at = trio.current_time()
        departed_at = await self.dispatcher.depart(claim, 50_000)
        self.departures_waited_s.append(trio.current_time() - ready_at)
        await trio.sleep(how.counts_s)
        self.far.take(claim.lane)
        await trio.sleep(how.answers_s)
        self.dispatcher.ended(claim, departed_at)
        seen = SeenObject(claim.job.r2_key, 1, None, None, "0" * 64)
        await self.store.settle([Done(claim.lease, {}, seen)])


@asynccontextmanager
async def rate_world(
    chats: Iterable[int | str],
    *,
    workers: int = 5,
    upload: Callable[[Claim], Upload] = lambda _: Upload(),
    rules: RateRules | None = None,
    rates: Rates | None = None,
    failures: dict[str, int] | None = None,
    beside: World | None = None,
) -> AsyncIterator[World]:
    """At work inside the block, and gone after it. The next `failures[method]` calls of the dispatcher's store fail.
    With one `beside` it, it is another process of the same store, which sends to the same Bot API."""
    limits = Limits({BOT: rates or telegram_rates(chats, local_server=False)})
    far = beside.far if beside else FarSide(RateLimits(rules or RateRules()))
    shared = nullcontext(beside.store) if beside else memory_store()
    async with shared as store, trio.open_nursery() as nursery:
        claims, worker_claims = trio.open_memory_channel[Claim](0)
        failing: Any = FailingStore(store, failures or {})
        dispatcher = Dispatcher(failing, ReadyQueue(500, 900.0), limits, claims, now, now, unobserved, lambda _: False)
        world = World(store, dispatcher, far, upload)
        for _ in range(workers):
            nursery.start_soon(world.work, worker_claims.clone())
        nursery.start_soon(dispatcher.run)
        yield world
        nursery.cancel_scope.cancel()
