"""`Store` over transactions: each method is one operation, given to what runs transactions.

Ids and lease tokens are drawn outside the transaction, so an operation is a function of its rows and the time."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import repeat

import trio
from attrs import define, field

from streamwarm.attempts import LOCAL, AttemptRecord, Holder, LaneAttempt
from streamwarm.backlog.commit_signal import CommitSignal
from streamwarm.backlog.core import bulk, operations, pushing, sharing
from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.core.deadlines import reset_at
from streamwarm.backlog.core.odd import OddRows
from streamwarm.backlog.core.queue_reads import Wanted, read_queue
from streamwarm.backlog.core.survey import FIRST_PAGE, SURVEYED
from streamwarm.backlog.core.survey import Page as SurveyPage
from streamwarm.backlog.core.tables import Tables
from streamwarm.backlog.settlement import Settlement
from streamwarm.backlog.shared_limits import MovedLane, SharedLimits, UserPause
from streamwarm.backlog.store import NO_KINDS, Action, Changed, Counts, Filter, Page, Pushed, Refused
from streamwarm.backlog.transactional_records import TransactionalRecords
from streamwarm.backlog.transactions import Operation, T, Transactions
from streamwarm.backlog.upkeep import Due, Rescued
from streamwarm.fetch.source import CachedObject
from streamwarm.model import Claim, Event, Job, Kind, Lease, NewJob, OddRow, QueuedJob, State
from streamwarm.priority import NEVER_PAUSED, PausedTimes

SURVEY_PAUSE_S = 0.1
"""The pause after each page of a survey: 5,000 rows a second at most, which take a few per cent of a core."""

BATCH_JOBS = 1_000
"""How many jobs `wake_due`, `rescue` and `prune` change in one transaction. That takes SQLite about 50 ms, so a push
waits no longer than that behind a hundred thousand jobs."""


@define(eq=False)
class TransactionalStore(TransactionalRecords):
    """A `Store`. `poll_s`: how often to read the events that other processes committed. `process` names this process
    among those that share the store; `holder` is kept with its attempts. `accounts` maps each destination to the
    account that its settings name."""

    _transactions: Transactions
    _commits: CommitSignal
    _limits: StoreBounds
    _new_id: Callable[[], str]
    _new_token: Callable[[], str]
    _poll_s: float
    _now: Callable[[], float]
    _process: str
    _holder: Holder = LOCAL
    _odd: OddRows = field(factory=OddRows)
    _accounts: Mapping[str, str] = field(factory=dict)

    def now(self) -> float:
        return self._now()

    async def push(self, jobs: Sequence[NewJob]) -> list[Pushed | Refused]:
        ids = [self._new_id() if job.id is None else job.id for job in jobs]
        return await self._transactions.write(
            lambda tables, now: pushing.push(tables, now, jobs, ids, self._limits, self._accounts),
            makes_live=True,
        )

    async def get(self, job_id: str) -> Job | None:
        return await self._transactions.read(lambda tables, _: operations.job_of(tables.jobs, job_id))

    async def attempts(self, job_id: str) -> list[AttemptRecord] | None:
        return await self._transactions.read(lambda tables, _: operations.list_attempts(tables, job_id))

    async def attempts_at_lane(self, lane: str, *, since: float, limit: int) -> list[LaneAttempt]:
        return await self._transactions.read(lambda tables, _: tables.attempts.at_lane(lane, since=since, limit=limit))

    async def list_jobs(self, which: Filter, *, limit: int, after: int | None = None) -> Page:
        return await self._transactions.read(
            lambda tables, _: operations.list_jobs(tables.jobs, which, limit=limit, after=after)
        )

    async def cancel(self, job_id: str) -> Job | None:
        return await self._transactions.write(
            lambda tables, now: bulk.change_one(tables, now, self._accounts, Action.CANCEL, job_id)
        )

    async def retry(self, job_id: str) -> Job | None:
        return await self._transactions.write(
            lambda tables, now: bulk.change_one(tables, now, self._accounts, Action.RETRY, job_id), makes_live=True
        )

    async def change_each(self, action: Action, job_ids: Sequence[str]) -> Changed:
        return await self._transactions.write(
            lambda tables, now: bulk.change_each(tables, now, self._accounts, action, job_ids),
            makes_live=action is Action.RETRY,
        )

    async def change_all(self, action: Action, which: Filter, *, limit: int, after: int | None = None) -> Changed:
        return await self._transactions.write(
            lambda tables, now: bulk.change_all(tables, now, self._accounts, action, which, limit=limit, after=after),
            makes_live=action is Action.RETRY,
        )

    async def queued(
        self,
        limit: int,
        *,
        without: Collection[str] = (),
        paused: PausedTimes = NEVER_PAUSED,
        copies: Collection[CachedObject] | None = None,
        refused_kinds: Mapping[str, Collection[Kind]] = NO_KINDS,
    ) -> list[QueuedJob]:
        wanted, wait_s = Wanted(limit, without, paused, copies, refused_kinds), self._limits.max_wait_s
        return await self._transactions.read(lambda tables, now: read_queue(tables.jobs, now, wait_s, wanted))

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
        settled = await self._transactions.write(
            lambda tables, now: operations.settle(tables, now, settlements, self._accounts)
        )
        if settled.outdated:
            await self._queue_checks(settled.outdated)
        return settled.answers

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

    async def prune(self, *, believed: float = math.inf) -> int:
        def prune(tables: Tables, now: float) -> int:
            return operations.prune(tables, min(now, believed), self._limits, BATCH_JOBS)

        return sum(await self._in_batches(prune, lambda deleted: deleted))

    async def reset_deadlines(self) -> None:
        await self._transactions.write(
            lambda tables, now: sharing.reset_deadlines(tables, reset_at(now, self._limits.lease_s))
        )

    async def survey(self) -> None:
        self._odd.start_survey()
        page: SurveyPage | None = FIRST_PAGE
        while page is not None:
            page = await self._transactions.read(partial(_survey, page))
            if page is not None and page.after is not None:
                await trio.sleep(SURVEY_PAUSE_S)
        self._odd.end_survey(SURVEYED)

    def odd_rows(self) -> int:
        return len(self._odd)

    def new_odd_rows(self) -> list[OddRow]:
        return self._odd.take_news()

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
        await self._transactions.write(lambda tables, _: sharing.resume(tables, destination))

    async def pause_source(self, reason: str) -> None:
        await self._transactions.write(lambda tables, now: sharing.pause_source(tables.shared, now, reason))

    async def take_lease(self, name: str, token: str, *, lease_s: float, force: bool = False) -> bool:
        return await self._transactions.write(
            lambda tables, now: sharing.take_lease(tables.shared, now, name, token, lease_s, force)
        )

    async def end_lease(self, name: str, token: str) -> bool:
        return await self._transactions.write(lambda tables, _: tables.shared.delete_lease(name, token))

    async def move_lane(self, moved: MovedLane) -> None:
        await self._transactions.write(lambda tables, _: tables.shared.put_moved_lane(moved))

    async def shared_limits(self) -> SharedLimits:
        return await self._transactions.write(
            lambda tables, now: sharing.shared_limits(tables.shared, now, self._process)
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


async def correct_counts(transactions: Transactions) -> None:
    """Correct the counts of jobs if they were damaged."""
    if await transactions.read(lambda tables, _: tables.jobs.is_miscounted()):
        await transactions.write(lambda tables, _: tables.jobs.recount())


def _survey(page: SurveyPage, tables: Tables, _: float) -> SurveyPage | None:
    return tables.survey(page)
