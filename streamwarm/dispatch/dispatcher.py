"""Hands queued jobs to idle workers: the best first, and only where their destination may be sent to now.

A worker that is free releases one permit; only then is a job chosen, so the choice is as late as it can be. The claim
is committed before the job goes out over the memory channel, so the channel needs no buffer and no job is in it when
the service stops.
"""

from __future__ import annotations

from collections.abc import Callable

import trio
from attrs import define, field

from streamwarm.backlog.store import GivenBack, Store
from streamwarm.dispatch.limits import Limits, Pause
from streamwarm.dispatch.ready_queue import ReadyQueue
from streamwarm.errors import DestinationError, StoreUnavailable
from streamwarm.model import Claim, QueuedJob
from streamwarm.watch.events import DestinationPaused, Observer, QueueReordered, StoreTrouble

POLL_S = 2.0
"""How often the store is asked though nobody woke us: jobs that other processes pushed or whose retry came due."""

REFRESH_S = 0.1
"""While there are jobs at hand, new pushes are looked at this often: at most ten reads a second, however many come."""

TROUBLE_S = 1.0
"""The pause after the store failed."""

GIVE_BACK_S = 5.0
"""How long a stopped dispatcher may take to finish a claim, and to give back what no worker has yet."""


@define
class Dispatcher:
    """One task (`run`), and what others may call: `idle`, `wake`, `pause`. `now` is the store's clock."""

    store: Store
    queue: ReadyQueue
    limits: Limits
    claims: trio.MemorySendChannel[Claim]
    now: Callable[[], float]
    observe: Observer
    _idle: trio.Semaphore = field(factory=lambda: trio.Semaphore(0))
    _wake: trio.Event = field(factory=trio.Event)
    _refreshed_at: float = float("-inf")
    _more: bool = False
    _left_out: frozenset[str] = frozenset()  # the paused destinations, whose jobs would only take up room
    _scope: trio.CancelScope = field(factory=trio.CancelScope)
    claiming: bool = False

    def idle(self) -> None:
        """A worker can take one more job."""
        self._idle.release()

    def wake(self) -> None:
        """There may be new jobs, or a pause has changed."""
        self._wake.set()

    def pause(self, destination: str, error: DestinationError) -> None:
        """Send nothing there until the deadline that the error names."""
        for_s = error.retry_after_s
        until = None if for_s is None else self.now() + for_s
        self.limits.pause(destination, Pause(until, error.message))
        self._wake.set()  # what is held for it must make room for others
        self.observe(DestinationPaused(destination, error.message, for_s))

    def stop(self) -> None:
        """Claim no more. Workers finish what they have and then find the channel closed."""
        self.claiming = False
        self._scope.cancel()

    async def run(self) -> None:
        """Serve idle workers until stopped; then the channel is closed."""
        with self._scope, self.claims:
            self.claiming = True
            while True:
                await self._idle.acquire()
                permits = 1
                try:
                    jobs = await self._choose()
                    permits = len(jobs)
                    claims = await self._claim(jobs)
                except StoreUnavailable as exc:
                    self.observe(StoreTrouble("claiming jobs", str(exc)))
                    self._release(permits)
                    await trio.sleep(TROUBLE_S)
                    continue
                self._release(permits - len(claims))
                await self._hand_out(claims)

    async def _choose(self) -> list[QueuedJob]:
        """The best job, waited for, and one more for each further worker that is idle by then."""
        await self._refresh_if_due()
        while (first := self._pop()) is None:
            await self._sleep_until_something_changes()
            await self._refresh_if_due()
        jobs = [first]
        while self._idle.value and (job := self._pop()) is not None:
            self._idle.acquire_nowait()
            jobs.append(job)
        return jobs

    def _pop(self) -> QueuedJob | None:
        now = self.now()
        changed = self.queue.reorder(now)
        if changed:
            self.observe(QueueReordered(changed))
        return self.queue.pop_best(now, self.limits.free_at)

    async def _refresh_if_due(self) -> None:
        since_s = trio.current_time() - self._refreshed_at
        pauses_changed = self.limits.active(self.now()).keys() != self._left_out
        due = pauses_changed or since_s >= POLL_S or (self._wake.is_set() and since_s >= REFRESH_S)
        running_low = len(self.queue) < self.queue.max_queue // 4 and (self._more or self._wake.is_set())
        if due or running_low:
            await self._refresh()

    async def _refresh(self) -> None:
        self._wake = trio.Event()  # before the read: a push that comes during it is not missed
        self._refreshed_at = trio.current_time()
        left_out = frozenset(self.limits.active(self.now()))
        jobs = await self.store.queued(self.queue.max_queue, without=left_out)
        self._left_out = left_out
        self.queue.replace(jobs, self.now())
        self._more = len(jobs) == self.queue.max_queue

    async def _sleep_until_something_changes(self) -> None:
        pause_ends_at = self.limits.next_change_at(self.now())
        wait_s = POLL_S if pause_ends_at is None else min(POLL_S, pause_ends_at - self.now())
        with trio.move_on_after(max(wait_s, 0.0)):
            await self._wake.wait()
            await trio.sleep_until(self._refreshed_at + REFRESH_S if self.queue else trio.current_time())

    async def _claim(self, jobs: list[QueuedJob]) -> list[Claim]:
        # Shielded, or a stop in mid-commit would leave claims that nobody knows of until their leases run out.
        with trio.CancelScope(shield=True, deadline=trio.current_time() + GIVE_BACK_S):
            return await self.store.claim([job.id for job in jobs])
        raise StoreUnavailable(f"the store did not take a claim within {GIVE_BACK_S:g} s")

    def _release(self, permits: int) -> None:
        for _ in range(permits):
            self._idle.release()

    async def _hand_out(self, claims: list[Claim]) -> None:
        for number, claim in enumerate(claims):
            try:
                await self.claims.send(claim)
            except BaseException:
                await self._give_back(claims[number:])
                raise

    async def _give_back(self, claims: list[Claim]) -> None:
        """Stopped between claim and worker: give back what nobody has; where the store is away, leases run out."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + GIVE_BACK_S):
            try:
                await self.store.settle([GivenBack(claim.lease) for claim in claims])
            except StoreUnavailable as exc:
                self.observe(StoreTrouble("giving claims back", str(exc)))
