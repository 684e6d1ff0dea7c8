"""Jobs and their events in dictionaries, with the indexes that the other stores have."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from math import inf

from attrs import define, evolve, field

from streamwarm.backlog.core.deadlines import Reset
from streamwarm.backlog.core.lifecycle import LIVE
from streamwarm.backlog.core.odd import OddRows
from streamwarm.backlog.core.ordering import Band
from streamwarm.backlog.core.small_tables import counts_of
from streamwarm.backlog.core.transitions import StoredJob
from streamwarm.backlog.store import PENDING, Counts, Filter
from streamwarm.model import NOWHERE, Event, Job, MediaKey, QueuedJob, State
from streamwarm.priority import base_score

_Arrival = tuple[float, int, str]
"""A queued job: `(queued_at, seq, id)`."""


@define(eq=False)
class MemoryJobs:
    """A `JobTable`. `_queued` is the index that the databases have: each destination's queued jobs per base score, in
    the order of arrival. `_to_check` has those that wait for a comparison of their object, by its key."""

    odd: OddRows = field(factory=OddRows)
    _jobs: dict[str, StoredJob] = field(factory=dict)
    _by_state: dict[State, dict[str, None]] = field(factory=lambda: {state: {} for state in State})
    _queued: dict[str, dict[int, list[_Arrival]]] = field(factory=lambda: defaultdict(lambda: defaultdict(list)))
    _to_check: dict[str, list[_Arrival]] = field(factory=dict)
    _live: dict[MediaKey, str] = field(factory=dict)
    _last_job_seq: int = 0
    _events: list[Event] = field(factory=list)
    _events_of: dict[str, list[Event]] = field(factory=dict)
    _last_event_seq: int = 0

    def lock_media_keys(self) -> None:
        """Nothing to lock: there is one writer."""

    def by_id(self, ids: Collection[str]) -> dict[str, StoredJob]:
        return {job_id: self._jobs[job_id] for job_id in ids if job_id in self._jobs}

    def get(self, job_id: str) -> Job | None:
        stored = self._jobs.get(job_id)
        return None if stored is None else stored.job

    lock = by_id
    lock_to_claim = by_id

    def live(self, keys: Collection[MediaKey]) -> dict[MediaKey, StoredJob]:
        return {key: self._jobs[self._live[key]] for key in keys if key in self._live}

    def live_ids(self, keys: Collection[MediaKey]) -> dict[MediaKey, object]:
        return {key: self._live[key] for key in keys if key in self._live}

    def last_job_seq(self) -> int:
        return self._last_job_seq

    def insert(self, jobs: Sequence[StoredJob]) -> None:
        for stored in jobs:
            self._put(stored)
            self._last_job_seq = max(self._last_job_seq, stored.job.seq)

    def update(self, jobs: Sequence[StoredJob]) -> None:
        for stored in jobs:
            self._drop(stored.job.id)
            self._put(stored)

    def unbar(self, destination: str) -> None:
        for job_id, stored in self._jobs.items():
            job = stored.job
            if job.state in {State.QUEUED, State.WAITING} and job.destination == destination:
                self._jobs[job_id] = evolve(stored, job=evolve(job, barred=NOWHERE))

    def extend_leases(self, job_ids: Sequence[str], expires_at: float) -> None:
        for job_id in job_ids:
            self._jobs[job_id] = evolve(self._jobs[job_id], lease_expires_at=expires_at)

    def delete(self, jobs: Sequence[Job]) -> None:
        gone = {job.id for job in jobs}
        for job_id in gone:
            self._drop(job_id)
            self._events_of.pop(job_id, None)
        self._events = [event for event in self._events if event.id not in gone]

    def page(self, which: Filter, *, limit: int, before_seq: int | None) -> list[Job]:
        before = inf if before_seq is None else before_seq
        matching = (
            stored.job for stored in self._jobs.values() if stored.job.seq < before and which.matches(stored.job)
        )
        return heapq.nlargest(limit, matching, key=lambda job: job.seq)

    def lock_to_check(self, r2_keys: Collection[str]) -> list[StoredJob]:
        return [self._jobs[job_id] for r2_key in r2_keys for *_, job_id in self._to_check.get(r2_key, ())]

    def keys_to_check(self, limit: int, queued_by: float) -> list[str]:
        waiting = ((arrivals[0], r2_key) for r2_key, arrivals in self._to_check.items())
        return [key for _, key in heapq.nsmallest(limit, (one for one in waiting if one[0][0] <= queued_by))]

    def queued_counts(self) -> dict[str, int]:
        return {
            destination: sum(len(arrivals) for arrivals in by_score.values())
            for destination, by_score in self._queued.items()
        }

    def queued_at(self, destination: str) -> list[QueuedJob]:
        return [
            self._jobs[job_id].as_queued for arrivals in self._queued[destination].values() for *_, job_id in arrivals
        ]

    def base_scores(self, destination: str) -> list[int]:
        return sorted(score for score, arrivals in self._queued[destination].items() if arrivals)

    def queued_in(self, bands: Sequence[Band], limit: int) -> list[QueuedJob]:
        merged = heapq.merge(*(self._arrivals_in(band, limit) for band in bands))
        return [self._jobs[job_id].as_queued for *_, job_id in islice(merged, limit)]

    def _arrivals_in(self, band: Band, limit: int) -> list[_Arrival]:
        arrivals = self._queued[band.destination][band.base_score]
        first = bisect_left(arrivals, band.from_at, key=_queued_at)
        end = bisect_right(arrivals, band.to_at, key=_queued_at)
        if not band.without_kinds:
            return arrivals[first : min(end, first + limit)]
        taken = (one for one in arrivals[first:end] if band.has_kind(self._jobs[one[-1]].job.kind))
        return list(islice(taken, limit))

    def lock_due(self, now: float, limit: int) -> list[StoredJob]:
        due = ((at, stored) for at, stored in self._waiting() if at <= now)
        return [stored for _, stored in heapq.nsmallest(limit, due, key=lambda pair: (pair[0], pair[1].job.seq))]

    def next_due_at(self) -> float | None:
        return min((at for at, _ in self._waiting()), default=None)

    def lock_expired(self, expired_by: float, limit: int) -> list[StoredJob]:
        expired = (
            (stored.lease_expires_at, stored)
            for stored in self._in_state(State.RUNNING)
            if stored.lease_expires_at is not None and stored.lease_expires_at <= expired_by
        )
        ordered = heapq.nsmallest(limit, expired, key=lambda pair: (pair[0], pair[1].job.seq))
        return [stored for _, stored in ordered]

    def lock_ended(self, state: State, ended_before: float, limit: int) -> list[Job]:
        ended = (stored.job for stored in self._in_state(state) if stored.job.updated_at < ended_before)
        return heapq.nsmallest(limit, ended, key=lambda job: (job.updated_at, job.seq))

    def reset_deadlines(self, to: Reset) -> None:
        for at, stored in list(self._waiting()):
            job = stored.job
            if to.ahead_from <= job.updated_at:
                waits_s = min(max(at - job.updated_at, 0.0), to.longest_s)
                self.update([evolve(stored, job=evolve(job, retry_at=to.now + waits_s, updated_at=to.now))])
        for stored in list(self._in_state(State.RUNNING)):
            if (stored.lease_expires_at or 0.0) >= to.lease_from:
                self.extend_leases([stored.job.id], to.now + to.lease_s)

    def is_miscounted(self) -> bool:
        """The jobs themselves are counted."""
        return False

    def recount(self) -> None:
        """The jobs themselves are counted."""

    def pending_count(self) -> int:
        return sum(len(self._by_state[state]) for state in PENDING)

    def counts(self) -> Counts:
        counted: dict[tuple[str, State], int] = {}
        for stored in self._jobs.values():
            key = (stored.job.destination, stored.job.state)
            counted[key] = counted.get(key, 0) + 1
        bands = (arrivals for by_score in self._queued.values() for arrivals in by_score.values())
        oldest = min((arrivals[0][0] for arrivals in bands if arrivals), default=None)
        return counts_of([(*key, jobs) for key, jobs in counted.items()], oldest)

    def append_events(self, events: Sequence[Event]) -> None:
        for event in events:
            self._last_event_seq += 1
            numbered = evolve(event, seq=self._last_event_seq)
            self._events.append(numbered)
            self._events_of.setdefault(event.id, []).append(numbered)

    def events_after(self, seq: int, limit: int) -> list[Event]:
        first = bisect_right(self._events, seq, key=_seq)
        return self._events[first : first + limit]

    def events_of(self, job_ids: Collection[str], *, after: int, until: int, limit: int) -> list[Event]:
        merged = heapq.merge(*(self._events_between(job_id, after, until) for job_id in job_ids), key=_seq)
        return list(islice(merged, limit))

    def _events_between(self, job_id: str, after: int, until: int) -> list[Event]:
        events = self._events_of.get(job_id, [])
        return events[bisect_right(events, after, key=_seq) : bisect_right(events, until, key=_seq)]

    def last_event_seq(self) -> int:
        return self._last_event_seq

    def _in_state(self, state: State) -> Iterable[StoredJob]:
        return (self._jobs[job_id] for job_id in self._by_state[state])

    def _waiting(self) -> Iterable[tuple[float, StoredJob]]:
        for stored in self._in_state(State.WAITING):
            if stored.job.retry_at is not None:
                yield stored.job.retry_at, stored

    def _put(self, stored: StoredJob) -> None:
        job = stored.job
        self._jobs[job.id] = stored
        self._by_state[job.state][job.id] = None
        if job.state in LIVE:
            self._live[job.media_key] = job.id
        if stored.to_check:
            insort(self._to_check.setdefault(job.r2_key, []), (stored.queued_at, job.seq, job.id))
        elif job.state is State.QUEUED:
            insort(self._arrivals(job), (stored.queued_at, job.seq, job.id))

    def _drop(self, job_id: str) -> None:
        stored = self._jobs.pop(job_id)
        job = stored.job
        del self._by_state[job.state][job_id]
        if stored.to_check:
            self._to_check[job.r2_key].remove((stored.queued_at, job.seq, job.id))
            if not self._to_check[job.r2_key]:
                del self._to_check[job.r2_key]
        elif job.state is State.QUEUED:
            arrivals = self._arrivals(job)
            del arrivals[bisect_left(arrivals, (stored.queued_at, job.seq, job.id))]
        if self._live.get(job.media_key) == job_id:
            del self._live[job.media_key]

    def _arrivals(self, job: Job) -> list[_Arrival]:
        return self._queued[job.destination][base_score(job.kind, job.bytes)]


def _queued_at(arrival: _Arrival) -> float:
    return arrival[0]


def _seq(event: Event) -> int:
    return event.seq
