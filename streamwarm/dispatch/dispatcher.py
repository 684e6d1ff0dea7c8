"""Hands queued jobs to idle workers: the best first, and only where their destination may be sent to now.

A worker that is free releases one permit; only then is a job chosen, so the choice is as late as it can be. A place in
the destination's budget is reserved with the choice and held until the attempt ends (`ended`). The claim is committed
before the job goes out over the memory channel, so the channel needs no buffer and no job is in it when the service
stops.

Jobs that this process's own pushes queue arrive over a bounded channel (`arrivals.py`). The store is read for all
others: at the start, when an event reports a job that did not arrive so, when loaded jobs run low, and every `POLL_S`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence

import trio
from attrs import define, field

from streamwarm.backlog.settlement import Release
from streamwarm.backlog.shared_limits import MovedLane, PauseEffect
from streamwarm.backlog.store import Store
from streamwarm.dispatch.arrivals import Arrivals
from streamwarm.dispatch.choices import Chosen, in_lanes, passed_over, spares_for
from streamwarm.dispatch.departure_turns import DepartureTurns
from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.loader import POLL_S, Loader
from streamwarm.dispatch.ready_queue import ReadyQueue
from streamwarm.dispatch.refusals import is_older_than_resume, pause_after
from streamwarm.errors import DestinationError, StoreUnavailable
from streamwarm.fetch.source import CachedObject
from streamwarm.model import Claim, Lane, QueuedJob, Route
from streamwarm.watch.observations import ChatMoved, DestinationPaused, Observer, QueueReordered, StoreTrouble

TROUBLE_S = 1.0
"""The pause after the store failed."""

RELEASE_S = 5.0
"""How long a stopped dispatcher may take, in seconds, to finish a claim, and to release claims that no worker has."""


@define
class Dispatcher:
    """One task (`run`), and what others call: `offer`, `idle`, `wake`, `pause`, `depart`, `ended`, `move_lane`.

    `now` is the store's clock, `steady_now` that of the limits (`SteadyClock`). `is_cached`: whether an
    object can be sent while the bucket is paused. `copies`: all that can.
    """

    store: Store
    queue: ReadyQueue
    limits: Limits
    claims: trio.MemorySendChannel[Claim]
    now: Callable[[], float]
    steady_now: Callable[[], float]
    observe: Observer
    is_cached: Callable[[str], bool]
    copies: Callable[[], Collection[CachedObject]] = tuple
    _turns: DepartureTurns = field(init=False)
    _idle: trio.Semaphore = field(factory=lambda: trio.Semaphore(0))
    _changed: trio.Event = field(factory=trio.Event)
    _arrivals: Arrivals = field(init=False)
    _loader: Loader = field(init=False)
    _stale: bool = True  # the store may hold better jobs than the loaded ones
    _taken: bool = False  # a job was taken since the last read
    _scope: trio.CancelScope = field(factory=trio.CancelScope)
    claiming: bool = False

    def __attrs_post_init__(self) -> None:
        self._turns = DepartureTurns(self.limits, self.steady_now, self._budget_changed)
        self._arrivals = Arrivals(self.queue.max_queue)
        self._loader = Loader(self.store, self.limits, self.copies, self.steady_now)

    def idle(self) -> None:
        """Note that a worker can take one more job."""
        self._idle.release()

    def wake(self) -> None:
        """Note that there may be new jobs, or that a pause has changed."""
        self._note_pauses()
        self._read_again()
        self._turns.changed()

    def offer(self, jobs: Sequence[QueuedJob]) -> None:
        """Take jobs that a push of this process has just committed. Those that do not fit stay in the store."""
        self._stale |= not self._arrivals.offer(jobs)
        self._changed.set()

    def expect(self, job_ids: Iterable[str]) -> None:
        """Note jobs that this process has just committed and that wait for a comparison."""
        self._arrivals.expect(job_ids)

    def release(self, jobs: Sequence[QueuedJob]) -> None:
        """Take jobs that a comparison has just released, or queued. Those that do not fit stay in the store."""
        self._stale |= not self._arrivals.release(jobs)
        self._changed.set()

    def note_queued(self, job_id: str) -> None:
        """An event says that this job is queued. Read the store for it, unless it was offered here."""
        if self._arrivals.is_news(job_id):
            self._read_again()

    def pause(self, claim: Claim, error: DestinationError) -> PauseEffect:
        """Send nothing to the destination, or to the lane, until the deadline that the error names."""
        if is_older_than_resume(self.limits, claim, error, now=self.now()):
            return PauseEffect(job_waits=False)
        lane, effect = pause_after(self.limits, claim, error, now=self.now(), steady_now=self.steady_now())
        address, kind = lane.address if lane else None, effect.set_aside.kind if effect.set_aside else None
        self.observe(
            DestinationPaused(claim.job.destination, error.message, error.retry_after_s, error.code, address, kind)
        )
        self.wake()  # its loaded jobs must make room for others
        return effect

    async def depart(self, claim: Claim, size_bytes: int) -> float:
        """Wait until the attempt may send its last bytes. Returns when that was. Raises `DestinationError`."""
        return await self._turns.depart(claim, size_bytes)

    def ended(self, claim: Claim, departed_at: float | None) -> None:
        """Free the place of an attempt that is over, or count it. Called once for every claim handed out."""
        self._end(claim.job.route, claim.lane, departed_at)

    async def move_lane(self, claim: Claim, address: str) -> None:
        """Reach the claim's lane at `address` from now on, and after a restart.

        If the store is unavailable, the move is not stored; the destination will report it again.
        """
        if claim.lane is None:
            return
        destination, lane = claim.job.destination, claim.lane.name
        self.limits.move_lane(destination, lane, address)
        self.observe(ChatMoved(destination, lane, address))
        try:
            await self.store.move_lane(MovedLane(destination, lane, address))
        except StoreUnavailable as exc:
            self.observe(StoreTrouble("remembering a chat's new id", str(exc)))

    def stop(self) -> None:
        """Stop claiming. Workers finish what they have and then find the channel closed."""
        self.claiming = False
        self._scope.cancel()

    async def run(self) -> None:
        """Serve idle workers until stopped; then the channel is closed."""
        with self._scope, self.claims:
            self.claiming = True
            while True:
                await self._idle.acquire()
                chosen: list[Chosen] = []
                try:
                    await self._choose(chosen)
                    claims = await self._claim(chosen)
                except StoreUnavailable as exc:
                    self.observe(StoreTrouble("claiming jobs", str(exc)))
                    self._return_permits(max(1, len(chosen)))
                    await trio.sleep(TROUBLE_S)
                    continue
                if len(claims) < len(chosen):
                    self._stale = True  # other processes claim from this store too
                self._return_permits(len(chosen) - len(claims))
                await self._hand_out(claims)

    async def _choose(self, chosen: list[Chosen]) -> None:
        """Wait for the best job; add it to `chosen`, and one more for each further worker that is idle by then."""
        await self._refresh_if_due()
        while (first := self._pop()) is None:
            self._stale |= self.queue.more and self._taken  # loaded jobs wait for budgets; the store has others
            await self._sleep_until_something_changes()
            await self._refresh_if_due()
        chosen.append(first)
        while self._idle.value and (another := self._pop()) is not None:
            self._idle.acquire_nowait()
            chosen.append(another)

    def _pop(self) -> Chosen | None:
        """Take the best job that may go now, and reserve a place in its destination's budget."""
        now, steady_now = self.now(), self.steady_now()
        self._observe_reordered(self.queue.reorder(now))
        ahead_s = steady_now - now
        while (job := self.queue.pop_best(now, lambda route: self.limits.route_free_at(route) - ahead_s)) is not None:
            if self._can_be_read(job):
                break
            self._stale = True  # the bucket was paused meanwhile: the job stays in the store
        if job is None:
            return None
        self._taken = True
        return Chosen(job, self.limits.reserve(job.route, steady_now))

    def _can_be_read(self, job: QueuedJob) -> bool:
        """False while the bucket is paused, unless the object is in the cache."""
        return self.limits.source_pause is None or self.is_cached(job.r2_key)

    def _observe_reordered(self, changed: int) -> None:
        if changed:
            self.observe(QueueReordered(changed))

    def _end(self, route: Route, lane: Lane | None, departed_at: float | None) -> None:
        self.limits.end(route, lane, departed_at, self.steady_now())
        self._turns.changed()
        self._budget_changed(route.destination)

    def _budget_changed(self, destination: str) -> None:
        self.queue.ask_again(destination)
        self._changed.set()

    async def _refresh_if_due(self) -> None:
        self._load_arrivals()
        due = self._loader.pauses_changed() or trio.current_time() >= self._loader.due_at(self._stale)
        running_low = len(self.queue) < self.queue.max_queue // 4 and (self.queue.more or self._stale)
        # While the bucket is paused the queue is low all the time: few jobs' objects are in the cache.
        if due or (running_low and not self._loader.source_paused):
            await self._refresh()

    async def _refresh(self) -> None:
        self._stale = self._taken = False  # before the read: a push that comes during it is not missed
        self._note_pauses()
        jobs, is_partial = await self._loader.read(self.queue.max_queue)
        self._stale |= is_partial
        self._observe_reordered(self.queue.replace(filter(self._can_be_read, jobs), self.now()))
        self._load_arrivals()  # those that the read returned are loaded already; the others came after it

    def _read_again(self) -> None:
        self._stale = True
        self._changed.set()

    def _note_pauses(self) -> None:
        self.queue.paused = self.limits.note_pauses(self.steady_now(), self.now())

    def _load_arrivals(self) -> None:
        """Load the jobs that were offered. Those of paused destinations stay in the store until the pause ends."""
        now = self.now()
        for job in self._arrivals.drain():
            is_loadable = not self._loader.leaves_out(job) and self._can_be_read(job)
            if is_loadable and not self.queue.add(job, now):
                self._stale = True

    async def _sleep_until_something_changes(self) -> None:
        """Sleep until a budget or the queue may have changed, or the store may be read again."""
        self._changed = trio.Event()
        now = self.steady_now()
        wait_s = POLL_S
        if (free_at := self.limits.next_change_at(now)) is not None:
            wait_s = min(wait_s, free_at - now)
        if self._stale:
            paced = self.queue or self._loader.source_paused
            read_again_at = self._loader.due_at(stale=True) if paced else -math.inf
            wait_s = min(wait_s, max(0.0, read_again_at - trio.current_time()))
        with trio.move_on_after(wait_s):
            await self._changed.wait()

    async def _claim(self, chosen: list[Chosen]) -> list[Claim]:
        """Claim the chosen jobs. Returns the claims; places in the budget that got none are free again."""
        # Spares are for jobs that another process was faster to take.
        spares = spares_for(chosen, self.queue) if self.limits.processes > 1 else {}
        claimed: list[Claim] = []
        try:
            # Shielded: a stop in mid-commit would leave claims that no process holds until their leases run out.
            with trio.CancelScope(shield=True, deadline=trio.current_time() + RELEASE_S) as scope:
                claimed = await self.store.claim(
                    [one.job.id for one in chosen], spares=[spares.get(one.job.route, ()) for one in chosen]
                )
            if scope.cancelled_caught:
                raise StoreUnavailable(f"the store did not take a claim within {RELEASE_S:g} s")
            self.queue.drop(passed_over(chosen, spares, claimed))
        finally:
            claims, without = in_lanes(chosen, claimed)
            for one in without:
                self._end(one.job.route, one.lane, None)
        return claims

    def _return_permits(self, permits: int) -> None:
        for _ in range(permits):
            self._idle.release()

    async def _hand_out(self, claims: list[Claim]) -> None:
        for number, claim in enumerate(claims):
            try:
                await self._send(claim)
            except BaseException:
                await self._release_claims(claims[number:])
                raise

    async def _send(self, claim: Claim) -> None:
        """Hand the claim to a worker. One is nearly always waiting, so try without blocking: `send` would yield to
        the event loop once per claim and delay the rest."""
        await trio.lowlevel.checkpoint_if_cancelled()  # a stop in mid-commit: the claim is released
        try:
            self.claims.send_nowait(claim)
        except trio.WouldBlock:
            await self.claims.send(claim)

    async def _release_claims(self, claims: list[Claim]) -> None:
        """Release claims that no worker has. If the store is unavailable, their leases run out."""
        for claim in claims:
            self.ended(claim, None)
        with trio.CancelScope(shield=True, deadline=trio.current_time() + RELEASE_S):
            try:
                await self.store.settle([Release(claim.lease) for claim in claims])
            except StoreUnavailable as exc:
                self.observe(StoreTrouble("releasing claims", str(exc)))
