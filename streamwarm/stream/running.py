"""The attempts that run now: `stats` and progress show them, and their leases are renewed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import trio
from attrs import define, field, frozen

from streamwarm.backlog.store import Store
from streamwarm.errors import StoreUnavailable
from streamwarm.model import Kind, Lease, Progress
from streamwarm.stream.attempt import Attempt
from streamwarm.watch.observations import Observer, StoreTrouble


@frozen
class StreamView:
    """What one busy worker streams now, as `stats` shows it. `total` is None until the object's size is known."""

    worker: int
    id: str
    destination: str
    kind: Kind
    r2_key: str
    attempt: int
    bytes_in: int
    bytes_out: int
    total: int | None
    bytes_per_s: int
    elapsed_s: float


@frozen
class _Entry:
    worker: int
    attempt: Attempt
    attempt_scope: trio.CancelScope


@define
class Running:
    """One entry per busy worker, so it is bounded by their number."""

    _entries: dict[Lease, _Entry] = field(factory=dict)
    busy_peak: int = 0

    @contextmanager
    def register(self, worker: int, attempt: Attempt, attempt_scope: trio.CancelScope) -> Iterator[None]:
        """The attempt is running inside this block. `attempt_scope` is cancelled if it must stop: its lease is lost, or
        its job was cancelled."""
        lease = attempt.claim.lease
        self._entries[lease] = _Entry(worker, attempt, attempt_scope)
        self.busy_peak = max(self.busy_peak, len(self._entries))
        try:
            yield
        finally:
            del self._entries[lease]

    @property
    def busy(self) -> int:
        return len(self._entries)

    @property
    def progress(self) -> Mapping[str, Progress]:
        """How far every running attempt has come, by job id."""
        found = (entry.attempt.progress for entry in self._entries.values())
        return {progress.id: progress for progress in found if progress is not None}

    def cancel(self, job_id: str, at: float = math.inf) -> None:
        """End the attempt at this job, if one runs here that was claimed before the job was cancelled.

        `at` is when that was, by the store's clock. The report of it may be late: by then the job may have been queued
        again, and claimed anew.
        """
        for entry in self._entries.values():
            job = entry.attempt.job
            if job.id == job_id and job.updated_at <= at:
                entry.attempt_scope.cancel()

    def streams(self) -> list[StreamView]:
        """What each busy worker streams now, by worker number."""
        now = trio.current_time()
        return [_stream_view(e, now) for e in sorted(self._entries.values(), key=lambda e: e.worker)]

    async def renew_leases(self, store: Store, *, every_s: float, observe: Observer) -> None:
        """Keep the leases of what runs here; cancel an attempt whose lease is lost (cancelled, or rescued elsewhere).

        The heartbeat is tied to bytes moved: a slow transfer keeps its lease. A stalled one is ended by
        its watchdog. If even that does not end it, its lease is left to run out and its job is rescued. A process that
        hangs renews nothing.
        """
        while True:
            await trio.sleep(every_s)
            try:
                await self.renew(store)
            except StoreUnavailable as exc:
                observe(StoreTrouble("renewing leases", str(exc)))

    async def renew(self, store: Store) -> None:
        """Renew once. Raises `StoreUnavailable`."""
        now = trio.current_time()
        alive = [lease for lease, entry in self._entries.items() if entry.attempt.alive(now)]
        lost = await store.renew(alive) if alive else []
        for lease in lost:
            if lease in self._entries:  # its attempt may have ended meanwhile
                self._entries[lease].attempt_scope.cancel()


def _stream_view(entry: _Entry, now: float) -> StreamView:
    job, meter = entry.attempt.job, entry.attempt.meter
    seconds = max(now - entry.attempt.started_at, 0.001)
    return StreamView(
        worker=entry.worker,
        id=job.id,
        destination=job.destination,
        kind=job.kind,
        r2_key=job.r2_key,
        attempt=job.attempt,
        bytes_in=meter.bytes_in if meter else 0,
        bytes_out=meter.bytes_out if meter else 0,
        total=meter.total if meter else None,
        bytes_per_s=round(meter.bytes_out / seconds) if meter else 0,
        elapsed_s=round(seconds, 3),
    )
