"""`Store` over transactions: each method is one operation, given to what runs transactions.

Ids and lease tokens are drawn here, outside the transaction. So an operation is a function of its rows and the time
it is given.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Sequence
from itertools import islice, repeat
from typing import Protocol, TypeVar

import trio
from attrs import define, field

from streamwarm.backlog.core import bulk, operations
from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.core.tables import MediaQuery, Tables
from streamwarm.backlog.settlement import Settlement
from streamwarm.backlog.shared_limits import MovedLane, SharedLimits, UserPause
from streamwarm.backlog.store import Action, Changed, Counts, Due, Filter, Page, Pushed, Refused, Rescued
from streamwarm.model import (
    LOCAL,
    AttemptRecord,
    Claim,
    Event,
    Holder,
    Job,
    Kind,
    Lease,
    MediaKey,
    NewJob,
    QueuedJob,
    State,
    WarmRecord,
)

T = TypeVar("T")

Operation = Callable[[Tables, float], T]
"""What to do in one transaction, given the tables and the store's time (Unix seconds)."""

BATCH_JOBS = 1_000
"""How many jobs `wake_due`, `rescue` and `prune` change in one transaction. That takes SQLite about 50 ms, so a push
waits no longer than that behind a hundred thousand jobs."""


class Transactions(Protocol):
    """Runs operations. If a method raises `StoreUnavailable`, nothing of the operation is committed."""

    async def write(self, operation: Operation[T], *, makes_live: bool = False) -> T:
        """Run it in a transaction and return once that is durable. `makes_live`: it calls `lock_media_keys`."""
        ...

    async def read(self, operation: Operation[T]) -> T:
        """Run it on a snapshot. It must not write."""
        ...


KEPT_EVENTS = 512
"""How many of the events that this process committed last are kept in memory: the publisher asks for them at once."""


@define(eq=False)
class CommitSignal:
    """Wakes those that wait for events once one is committed.

    It keeps the last events that this process committed, if they are known. So no commit costs a trip to a thread and
    rows to parse.
    """

    last_seq: int = 0
    changed: trio.Event = field(factory=trio.Event)
    _recent: deque[Event] = field(factory=lambda: deque(maxlen=KEPT_EVENTS))  # their numbers have no gap

    def announce(self, seq: int, events: Sequence[Event] = ()) -> None:
        """The newest committed event is `seq`. If `events` are given, they are the last ones up to it."""
        if events:
            if self._recent and self._recent[-1].seq + 1 != events[0].seq:
                self._recent.clear()  # another process committed those in between
            self._recent.extend(events)
        if seq > self.last_seq:
            self.last_seq = seq
            self.changed.set()
            self.changed = trio.Event()

    async def wait(self, seq: int) -> None:
        """Return once an event after `seq` has been announced. If one already was, does not yield to the event loop."""
        while self.last_seq <= seq:
            await self.changed.wait()

    def forget(self) -> None:
        """Forget the events: some were deleted, and only the store knows which are left."""
        self._recent.clear()

    def after(self, seq: int, limit: int) -> list[Event]:
        """Up to `limit` events that follow `seq` without a gap. Empty if only the store knows them."""
        first = self._recent[0].seq if self._recent else math.inf
        if seq + 1 < first:
            return []
        start = seq + 1 - int(first)
        return list(islice(self._recent, start, start + limit))


@define(eq=False)
class TransactionalStore:
    """A `Store`. `poll_s`: how often to read the events that other processes committed. `process` names this process
    among those that share the store; `holder` is kept with its attempts."""

    _transactions: Transactions
    _commits: CommitSignal
    _limits: StoreBounds
    _new_id: Callable[[], str]
    _new_token: Callable[[], str]
    _poll_s: float
    _now: Callable[[], float]
    _process: str
    _holder: Holder = LOCAL

    def now(self) -> float:
        return self._now()

    async def push(self, jobs: Sequence[NewJob]) -> list[Pushed | Refused]:
        ids = [self._new_id() if job.id is None else job.id for job in jobs]
        return await self._transactions.write(
            lambda tables, now: operations.push(tables, now, jobs, ids, self._limits), makes_live=True
        )

    async def get(self, job_id: str) -> Job | None:
        found = await self._transactions.read(lambda tables, _: tables.jobs.by_id({job_id}))
        return found[job_id].job if job_id in found else None

    async def attempts(self, job_id: str) -> list[AttemptRecord] | None:
        return await self._transactions.read(lambda tables, _: operations.list_attempts(tables, job_id))

    async def list_jobs(self, which: Filter, *, limit: int, after: int | None = None) -> Page:
        return await self._transactions.read(
            lambda tables, _: operations.list_jobs(tables.jobs, which, limit=limit, after=after)
        )

    async def find(
        self, destination: str, kind: Kind, *, sha256: str | None = None, r2_key: str | None = None
    ) -> WarmRecord | None:
        query = _media_query(destination, kind, sha256, r2_key)
        return await self._transactions.read(lambda tables, _: tables.media.find(query))

    async def forget(
        self, destination: str, kind: Kind, *, sha256: str | None = None, r2_key: str | None = None
    ) -> bool:
        query = _media_query(destination, kind, sha256, r2_key)
        return await self._transactions.write(lambda tables, _: tables.media.delete_records(query)) > 0

    async def cancel(self, job_id: str) -> Job | None:
        return await self._transactions.write(lambda tables, now: bulk.change_one(tables, now, Action.CANCEL, job_id))

    async def retry(self, job_id: str) -> Job | None:
        return await self._transactions.write(
            lambda tables, now: bulk.change_one(tables, now, Action.RETRY, job_id), makes_live=True
        )

    async def change_each(self, action: Action, job_ids: Sequence[str]) -> Changed:
        return await self._transactions.write(
            lambda tables, now: bulk.change_each(tables, now, action, job_ids), makes_live=action is Action.RETRY
        )

    async def change_all(self, action: Action, which: Filter, *, limit: int, after: int | None = None) -> Changed:
        return await self._transactions.write(
            lambda tables, now: bulk.change_all(tables, now, action, which, limit=limit, after=after),
            makes_live=action is Action.RETRY,
        )

    async def queued(self, limit: int, *, without: Collection[str] = ()) -> list[QueuedJob]:
        return await self._transactions.read(
            lambda tables, now: operations.queued(tables.jobs, now, limit, self._limits.max_wait_s, without)
        )

    async def claim(self, job_ids: Sequence[str], *, spares: Sequence[Sequence[str]] = ()) -> list[Claim]:
        tokens = [self._new_token() for _ in job_ids]
        choices = [[job_id, *more] for job_id, more in zip(job_ids, spares or repeat(()), strict=bool(spares))]
        return await self._transactions.write(
            lambda tables, now: operations.claim(tables, now, choices, tokens, self._limits.lease_s, self._holder)
        )

    async def renew(self, leases: Sequence[Lease]) -> list[Lease]:
        return await self._transactions.write(
            lambda tables, now: operations.renew(tables.jobs, now, leases, self._limits.lease_s)
        )

    async def note_departure(self, lease: Lease, *, departed: bool = True) -> bool:
        return await self._transactions.write(lambda tables, _: operations.note_departure(tables.jobs, lease, departed))

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        return await self._transactions.write(lambda tables, now: operations.settle(tables, now, settlements))

    async def wake_due(self) -> Due:
        """Writes only if a job is due: this is called every second."""
        due_now = await self._transactions.read(
            lambda tables, now: (at := tables.jobs.next_due_at()) is not None and at <= now
        )
        woken = 0
        while due_now:
            due = await self._transactions.write(lambda tables, now: operations.wake_due(tables, now, BATCH_JOBS))
            woken += due.woken
            due_now = due.woken == BATCH_JOBS
        return Due(woken, await self._transactions.read(lambda tables, _: tables.jobs.next_due_at()))

    async def rescue(self, *, everything: bool = False) -> Rescued:
        batches = await self._in_batches(
            lambda tables, now: operations.rescue(tables, now, self._limits, everything=everything, limit=BATCH_JOBS),
            lambda batch: batch.queued + len(batch.abandoned),
        )
        return Rescued(
            sum(batch.queued for batch in batches), tuple(job for batch in batches for job in batch.abandoned)
        )

    async def prune(self) -> int:
        return sum(
            await self._in_batches(
                lambda tables, now: operations.prune(tables, now, self._limits, BATCH_JOBS), lambda n: n
            )
        )

    async def events_after(self, seq: int, *, limit: int) -> list[Event]:
        if recent := self._commits.after(seq, limit):
            await trio.lowlevel.checkpoint()
            return recent
        return await self._transactions.read(lambda tables, _: tables.jobs.events_after(seq, limit))

    async def events_of(self, job_ids: Collection[str], *, after: int, until: int, limit: int) -> list[Event]:
        return await self._transactions.read(
            lambda tables, _: tables.jobs.events_of(job_ids, after=after, until=until, limit=limit)
        )

    async def states(self, job_ids: Collection[str]) -> dict[str, State]:
        found = await self._transactions.read(lambda tables, _: tables.jobs.by_id(job_ids))
        return {job_id: stored.job.state for job_id, stored in found.items()}

    async def last_seq(self) -> int:
        return await self._transactions.read(lambda tables, _: tables.jobs.last_event_seq())

    async def next_events(self, seq: int, *, limit: int) -> list[Event]:
        known_seq = seq
        while True:
            with trio.move_on_after(self._poll_s):
                await self._commits.wait(known_seq)
            # If its events have been deleted since, a commit leaves nothing to read. Then only a newer one counts.
            known_seq = max(seq, self._commits.last_seq)
            if events := await self.events_after(seq, limit=limit):
                return events

    async def counts(self) -> Counts:
        return await self._transactions.read(lambda tables, _: tables.jobs.counts())

    async def pause(self, destination: str | None, until: float | None) -> None:
        await self._transactions.write(lambda tables, now: tables.shared.put_pause(UserPause(destination, until, now)))

    async def resume(self, destination: str | None) -> None:
        await self._transactions.write(lambda tables, _: operations.resume(tables.shared, destination))

    async def pause_source(self, reason: str) -> None:
        await self._transactions.write(lambda tables, now: operations.pause_source(tables.shared, now, reason))

    async def take_lease(self, name: str, token: str, *, lease_s: float, force: bool = False) -> bool:
        def take(tables: Tables, now: float) -> bool:
            free_by = math.inf if force else now
            return tables.shared.take_lease(name, token, now=free_by, expires_at=now + lease_s)

        return await self._transactions.write(take)

    async def end_lease(self, name: str, token: str) -> bool:
        return await self._transactions.write(lambda tables, _: tables.shared.delete_lease(name, token))

    async def move_lane(self, moved: MovedLane) -> None:
        await self._transactions.write(lambda tables, _: tables.shared.put_moved_lane(moved))

    async def shared_limits(self) -> SharedLimits:
        return await self._transactions.write(
            lambda tables, now: operations.shared_limits(tables.shared, now, self._process)
        )

    async def check_writable(self) -> None:
        await self._transactions.write(lambda tables, now: tables.shared.probe(now))

    async def _in_batches(self, operation: Operation[T], changed: Callable[[T], int]) -> list[T]:
        """Repeat an operation on at most `BATCH_JOBS` jobs, one transaction each, until it has `changed` fewer.

        Returns the result of each.
        """
        batches: list[T] = []
        while not batches or changed(batches[-1]) >= BATCH_JOBS:
            batches.append(await self._transactions.write(operation))
        return batches


def _media_query(destination: str, kind: Kind, sha256: str | None, r2_key: str | None) -> MediaQuery:
    if sha256 is None and r2_key is None:
        raise ValueError("a warm record is looked up by its sha256 or its r2_key; neither was given")
    return MediaQuery(MediaKey.of(destination, kind, sha256=sha256, r2_key=r2_key or ""), sha256, r2_key)
