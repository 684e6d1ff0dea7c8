"""Records outcomes in batches, retries while the store is unavailable, and finishes what it holds before the service
stops.

Workers hand their outcomes over and go on. What waits here is bounded. If the store is unavailable for long, workers
wait at the channel. This is intended: work whose outcome cannot be recorded should not be started.

`settle/` has two halves. This module and `finished.py` lead from the workers into the store; `publisher.py` and
`feed.py` lead from the store to everybody who follows events. The outcomes' values are in `backlog/settlement.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio
from attrs import define, field

from streamwarm.backlog.store import Store
from streamwarm.errors import StoreUnavailable
from streamwarm.model import State
from streamwarm.settle.finished import Finished
from streamwarm.settle.report import Tally, observations_of
from streamwarm.watch.observations import LateResult, Observer, StoreTrouble, UnexpectedError

BATCH = 64
"""How many outcomes one transaction records, and how many may wait for the next."""

RETRY_S = 1.0
"""The wait after the store failed, in seconds."""

QUIET_S = 0.05
"""How many seconds without an outcome pass before the store is asked whether the backlog is empty."""

LATER_S = 5.0
"""How many seconds pass before that is asked again: the last jobs may end without an attempt (compared, cancelled)."""

DRAIN_S = 10.0
"""How many seconds the last outcomes may take when the service stops. After that, leases run out and attempts are made
again."""


@asynccontextmanager
async def open_completer(store: Store, *, now: Callable[[], float], observe: Observer) -> AsyncIterator[Completer]:
    """Run a completer inside this block. On the way out it settles what it was handed, for at most `DRAIN_S`.

    `now` is the store's clock.
    """
    completer = Completer(store, now, observe)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(completer._run)
        try:
            yield completer
        finally:
            completer._close()


@define
class Completer:
    """Settles what `finish` is given. Open it with `open_completer`."""

    _store: Store
    _now: Callable[[], float]
    _observe: Observer
    _tally: Tally = field(factory=Tally)
    # Cancellation must not lose outcomes that are in hand; `_close` gives this shield its deadline.
    _shield: trio.CancelScope = field(factory=lambda: trio.CancelScope(shield=True))
    _send: trio.MemorySendChannel[Finished] = field(init=False)
    _receive: trio.MemoryReceiveChannel[Finished] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[Finished](BATCH)

    async def finish(self, finished: Finished) -> None:
        """Hand an outcome over. Waits only while `BATCH` others wait already."""
        try:
            await self._send.send(finished)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            # After the drain deadline. The lease runs out, and the attempt is made again.
            self._observe(LateResult(finished.claim.job.id, finished.claim.job.destination, "dropped at shutdown"))

    def _close(self) -> None:
        self._send.close()
        self._shield.deadline = trio.current_time() + DRAIN_S

    async def _run(self) -> None:
        with self._shield, self._receive:
            while (first := await self._next()) is not None:
                await self._settle([first, *self._waiting()])
            await self._report_when_empty()

    async def _next(self) -> Finished | None:
        """Returns the next outcome, or None once there will be no more.

        If none comes for a moment, check whether the backlog is empty: to check after every outcome would cost a read
        of the store per small job.
        """
        quiet_s = QUIET_S
        while self._tally.count:
            with trio.move_on_after(quiet_s):
                return await self._received()
            await self._report_when_empty()
            quiet_s = LATER_S
        return await self._received()

    async def _received(self) -> Finished | None:
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            return None

    def _waiting(self) -> list[Finished]:
        batch: list[Finished] = []
        while len(batch) < BATCH:
            try:
                batch.append(self._receive.receive_nowait())
            except (trio.WouldBlock, trio.EndOfChannel):
                break
        return batch

    async def _settle(self, batch: list[Finished]) -> None:
        for finished, kept in zip(batch, await self._write(batch), strict=True):
            self._report(finished, kept)

    async def _write(self, batch: list[Finished]) -> list[bool]:
        while True:
            try:
                return await self._store.settle([finished.settlement for finished in batch])
            except StoreUnavailable as exc:
                self._observe(StoreTrouble("recording outcomes", str(exc)))
                await trio.sleep(RETRY_S)
            except Exception as exc:  # an outcome that the store cannot hold
                if len(batch) > 1:  # the others of its batch must be recorded
                    return [kept for finished in batch for kept in await self._write([finished])]
                self._observe(UnexpectedError(f"recording the outcome of job {batch[0].claim.job.id}", exc))
                return [False]  # its lease runs out, and the attempt is made again

    def _report(self, finished: Finished, kept: bool) -> None:
        if not kept:
            if finished.called_off:
                return
            job = finished.claim.job
            self._observe(LateResult(job.id, job.destination, type(finished.settlement).__name__))
            return
        self._tally.add(finished, self._now())
        for observation in observations_of(finished, self._now()):
            self._observe(observation)

    async def _report_when_empty(self) -> None:
        """Observe `BatchDone` once no job is queued, waiting or running."""
        if self._tally.count and not await self._has_pending_jobs():
            self._observe(self._tally.finish())

    async def _has_pending_jobs(self) -> bool:
        try:
            by_state = (await self._store.counts()).by_state
        except StoreUnavailable:
            return True  # unknown; the next batch asks again
        return any(by_state.get(state) for state in (State.QUEUED, State.WAITING, State.RUNNING))
