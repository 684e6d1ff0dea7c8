"""The service's use cases, once for both interfaces. The websocket and HTTP only decode requests and encode replies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager

import trio

from streamwarm.accept.guarded import no_destination, store_guarded
from streamwarm.accept.make_due import make_due
from streamwarm.accept.records import RecordIntake
from streamwarm.accept.wire.fields import FieldError
from streamwarm.accept.wire.jobs import parse_job
from streamwarm.accept.wire.push_answer import push_view
from streamwarm.accept.wire.record_requests import ForgetRecord, Lookup
from streamwarm.accept.wire.refusals import CallRefusedError, Reason
from streamwarm.accept.wire.requests import ChangeJobs, ListJobs, PauseSending, ResumeSending
from streamwarm.accept.wire.sizes import page_of_jobs
from streamwarm.accept.wire.views import attempts_view, job_view, record_view
from streamwarm.backlog.store import Action, Pushed, RefusalCode, Refused, Store
from streamwarm.errors import StoreUnavailable
from streamwarm.model import Job, JsonObject, NewJob, QueuedJob, State, WarmRecord
from streamwarm.redact import Redactor, knows_no_secrets
from streamwarm.send.destination import Destination
from streamwarm.watch.observations import (
    JobAdded,
    JobCancelled,
    Observer,
    PausedByUser,
    QueueFull,
    ResumedByUser,
    StoreTrouble,
)

_JOBS_BETWEEN_CHECKPOINTS = 500
"""Jobs checked without a checkpoint. One takes about ten microseconds, so a push blocks transfers for a few
milliseconds at most."""


_SIEVED_READS, _SIEVED_JOBS = 10, 200
"""Reads for a page of jobs by what no index has, and jobs in each: 2,000 jobs at most, some 50 ms."""


class Intake:
    """The use cases. Every method raises `CallRefusedError`; none raises `StoreUnavailable`.

    `stats` returns the reply of `stats`. `on_pushed` and `on_retried` are the dispatcher's `offer` and `wake`: the
    first gets the jobs that a push queued, the second is called when ended jobs are queued again. `on_to_check` gets
    those that wait for a comparison. Each is called after the commit. `on_found` gets each record that a look-up
    answers. `on_cancelled` (`Running.cancel`) ends the job's attempt if it runs in this process. `on_pauses`
    (`LimitsFollower.refresh_everywhere`) makes every process read the pauses in the store. `now` is the store's clock
    (Unix seconds). After `drain`, pushes are refused. `accounts` has the account of each destination; `redact` knows
    the secrets that no import may bring in. `records` has the use cases of records.
    """

    def __init__(
        self,
        store: Store,
        destinations: Mapping[str, Destination],
        *,
        max_pending: int,
        stats: Callable[[], Awaitable[JsonObject]],
        observe: Observer,
        on_pushed: Callable[[Sequence[QueuedJob]], None],
        on_retried: Callable[[], None],
        on_cancelled: Callable[[str], None],
        on_pauses: Callable[[], Awaitable[None]],
        now: Callable[[], float],
        on_to_check: Callable[[Sequence[Pushed]], None] = lambda _: None,
        on_found: Callable[[WarmRecord], None] = lambda _: None,
        accounts: Mapping[str, str] | None = None,
        redact: Redactor = knows_no_secrets,
    ) -> None:
        self._store = store
        self._destinations = destinations
        self._max_pending = max_pending
        self._stats = stats
        self._observe = observe
        self._on_pushed = on_pushed
        self._on_retried = on_retried
        self._on_cancelled = on_cancelled
        self._on_pauses = on_pauses
        self._now = now
        self._on_to_check = on_to_check
        self._on_found = on_found
        self._drain = trio.Event()
        self._drain_within_s = 0.0
        self.records = RecordIntake(
            store, destinations, accounts or {}, observe, self._added, on_pauses, now, redact.carries
        )

    @property
    def destinations(self) -> Collection[str]:
        """The names of the configured destinations."""
        return self._destinations.keys()

    def drain(self, within_s: float) -> None:
        """Refuse pushes from now on, and wake `draining`. The service stops within that many seconds."""
        self._drain_within_s = within_s
        self._drain.set()

    async def draining(self) -> float:
        """Wait until the service drains. Returns the seconds that it has left."""
        await self._drain.wait()
        return self._drain_within_s

    async def push(self, jobs: Sequence[object]) -> JsonObject:
        """Store the valid jobs and return what became of each, in the contract's shape.

        Both lists of the reply are in the order of the push, and every item has the job's `index` in it. If every job
        was refused because the backlog is full, the push is refused as a whole (`queue_full`). So a client has one
        place that says it must wait.
        """
        if self._drain.is_set():
            raise CallRefusedError(Reason.DRAINING, "the service is shutting down; push again after it has restarted")
        checked = await self._check(jobs)
        new = {index: job for index, job in enumerate(checked) if isinstance(job, NewJob)}
        with self._store_guarded("push"):
            pushed = await self._store.push(list(new.values())) if new else []
        results: dict[int, Pushed | Refused] = {
            index: refused for index, refused in enumerate(checked) if isinstance(refused, Refused)
        }
        results |= zip(new, pushed, strict=True)
        self._announce(new, results)
        return push_view(results)

    async def get(self, job_id: str) -> JsonObject:
        with self._store_guarded("get"):
            return _view_or_not_found(job_id, await self._store.get(job_id))

    async def attempts(self, job_id: str) -> JsonObject:
        """The job's attempts, oldest first: at most the last hundred."""
        with self._store_guarded("attempts"):
            attempts = await self._store.attempts(job_id)
        if attempts is None:
            raise _no_job(job_id)
        return attempts_view(attempts)

    async def states(self, job_ids: Sequence[str]) -> dict[str, State | None]:
        """The state of each of these jobs, None if it does not exist. Empty if the store is unavailable."""
        states: dict[str, State | None] = dict.fromkeys(job_ids)
        try:
            for start in range(0, len(job_ids), _JOBS_BETWEEN_CHECKPOINTS):
                states |= await self._store.states(job_ids[start : start + _JOBS_BETWEEN_CHECKPOINTS])
        except StoreUnavailable as error:
            self._observe(StoreTrouble("accept.watch", str(error)))
            return {}
        return states

    async def list_jobs(self, request: ListJobs) -> JsonObject:
        """A page of jobs. It has fewer than `limit` if they are large, or if few of those read pass the sieve. `next`
        is where the next page begins."""
        sieve, after, reads = request.sieve, request.after, 0
        page = page_of_jobs(request.limit)
        with self._store_guarded("list"):
            while not page.is_full and (sieve.is_open or reads < _SIEVED_READS):
                count = page.next_read() if sieve.is_open else _SIEVED_JOBS
                read = await self._store.list_jobs(request.which, limit=count, after=after)
                page.add([job for job in read.jobs if sieve.passes(job)], read.next)
                after, reads = read.next, reads + 1
        return {"jobs": page.items, "next": page.next}

    async def find(self, lookup: Lookup) -> JsonObject | None:
        """The warm record's view, or None if the media is cold."""
        with self._store_guarded("find"):
            record = await self._store.find(lookup.destination, lookup.kind, sha256=lookup.sha256, r2_key=lookup.r2_key)
        if record is None:
            return None
        self._on_found(record)
        return record_view(record)

    async def forget(self, request: ForgetRecord) -> JsonObject:
        """Drop the warm record. Returns `{"forgotten": false}` if there was none, or not with this `file_id`; that is
        not an error."""
        lookup, file_id = request.lookup, request.file_id
        with self._store_guarded("forget"):
            forgotten = await self._store.forget(
                lookup.destination, lookup.kind, sha256=lookup.sha256, r2_key=lookup.r2_key, file_id=file_id
            )
        return {"forgotten": forgotten}

    async def cancel(self, job_id: str) -> JsonObject:
        with self._store_guarded("cancel"):
            before = await self._store.get(job_id)
            job = await self._store.cancel(job_id)
        if before is not None and job is not None and before.state is not job.state:
            self._cancelled([job])
        return _view_or_not_found(job_id, job)

    async def retry(self, job_id: str) -> JsonObject:
        with self._store_guarded("retry"):
            job = await self._store.retry(job_id)
        self._on_retried()
        return _view_or_not_found(job_id, job)

    async def change_jobs(self, request: ChangeJobs) -> JsonObject:
        """Change one bounded batch of jobs. Returns `{"matched", "changed", "next"}`; `next` is the next batch's
        `after`."""
        action = request.action
        with self._store_guarded(f"{action}_jobs"):
            if request.ids is not None:
                batch = await self._store.change_each(action, request.ids)
            else:
                batch = await self._store.change_all(action, request.which, limit=request.limit, after=request.after)
        if action is Action.CANCEL:
            self._cancelled(batch.jobs)
        elif action is Action.RETRY and batch.jobs:
            self._on_retried()
        return {"matched": batch.matched, "changed": len(batch.jobs), "next": batch.next}

    async def pause(self, request: PauseSending) -> JsonObject:
        """Pause and return the stats. Running transfers are finished. Raises `FieldError` if `until` is in the past."""
        if request.until is not None and request.until <= self._now():
            raise FieldError("until is in the past; give a future time, or leave it out")
        if request.destination is not None and request.destination not in self._destinations:
            raise no_destination(request.destination, self._destinations)
        with self._store_guarded("pause"):
            await self._store.pause(request.destination, request.until)
            await self._on_pauses()
        self._observe(PausedByUser(request.destination, request.until))
        return await self.stats()

    async def resume(self, request: ResumeSending) -> JsonObject:
        """Resume and return the stats. A destination that is no longer configured can be resumed while the store has a
        pause for it."""
        name = request.destination
        with self._store_guarded("resume"):
            kept = {pause.destination for pause in (await self._store.shared_limits()).pauses}
            if name is not None and name not in self._destinations and name not in kept:
                raise no_destination(name, self._destinations)
            await self._store.resume(name)
            await make_due(self._store, name)
            await self._on_pauses()
        self._observe(ResumedByUser(name))
        return await self.stats()

    async def stats(self) -> JsonObject:
        with self._store_guarded("stats"):
            return await self._stats()

    async def _check(self, jobs: Sequence[object]) -> list[NewJob | Refused]:
        checked = []
        for index, raw in enumerate(jobs):
            if index % _JOBS_BETWEEN_CHECKPOINTS == 0:
                await trio.lowlevel.checkpoint()
            checked.append(parse_job(raw, self._destinations))
        return checked

    def _cancelled(self, jobs: Sequence[Job]) -> None:
        for job in (job for job in jobs if job.state is State.CANCELLED):
            self._on_cancelled(job.id)
            self._observe(JobCancelled(job.id, job.destination, job.kind))

    def _added(self, queued: QueuedJob) -> None:
        """A job was queued for a record."""
        self._observe(JobAdded(queued.id, queued.destination, queued.kind, queued.r2_key))
        self._on_pushed([queued])

    def _announce(self, new: Mapping[int, NewJob], results: Mapping[int, Pushed | Refused]) -> None:
        for index, job in new.items():
            result = results[index]
            if isinstance(result, Pushed) and not result.duplicate:
                self._observe(JobAdded(result.id, job.destination, job.kind, job.r2_key))
        full = sum(isinstance(result, Refused) and result.code is RefusalCode.QUEUE_FULL for result in results.values())
        if full:
            self._observe(QueueFull(full, self._max_pending))
        pushed = [result for result in results.values() if isinstance(result, Pushed)]
        if queued := [result.queued for result in pushed if result.queued is not None]:
            self._on_pushed(queued)
        if to_check := [result for result in pushed if result.to_check is not None]:
            self._on_to_check(to_check)

    def _store_guarded(self, method: str) -> AbstractContextManager[None]:
        return store_guarded(self._observe, method)


def _view_or_not_found(job_id: str, job: Job | None) -> JsonObject:
    if job is None:
        raise _no_job(job_id)
    return job_view(job)


def _no_job(job_id: str) -> CallRefusedError:
    return CallRefusedError(Reason.NOT_FOUND, f"there is no job {job_id!a} (any more)")
