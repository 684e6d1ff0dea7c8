"""`Tables` as dictionaries: what `memory.py` keeps, and what the other stores are held against."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from math import inf

from attrs import define, evolve, field

from streamwarm.backlog.core.lifecycle import LIVE
from streamwarm.backlog.core.ordering import Band
from streamwarm.backlog.core.rows import counts_of
from streamwarm.backlog.core.tables import PENDING, MediaQuery, MediaStatus
from streamwarm.backlog.core.transitions import StoredJob
from streamwarm.backlog.shared_limits import MovedLane, SharedLimits, Silence, UserPause
from streamwarm.backlog.store import Counts, Filter
from streamwarm.model import Event, Job, MediaKey, QueuedJob, SeenObject, State, WarmRecord
from streamwarm.priority import base_score

_Arrival = tuple[float, int, str]
"""A queued job: `(queued_at, seq, id)`."""


@define(eq=False)
class MemoryTables:
    """The rows. `_media` holds, for each key, its status, its record if ready, and its job."""

    _jobs: dict[str, StoredJob] = field(factory=dict)
    _by_state: dict[State, dict[str, None]] = field(factory=lambda: {state: {} for state in State})
    # By destination and base score, each list in the order of arrival: the index that SQLite has.
    _queued: dict[str, dict[int, list[_Arrival]]] = field(factory=lambda: defaultdict(lambda: defaultdict(list)))
    _live: dict[MediaKey, str] = field(factory=dict)
    _last_job_seq: int = 0
    _events: list[Event] = field(factory=list)
    _last_event_seq: int = 0
    _media: dict[MediaKey, tuple[MediaStatus, WarmRecord | None, str]] = field(factory=dict)
    _pauses: dict[str | None, UserPause] = field(factory=dict)
    _mended: Counter[str] = field(factory=Counter)
    _moved_lanes: dict[tuple[str, str], MovedLane] = field(factory=dict)
    _silences: dict[tuple[str, str], Silence] = field(factory=dict)

    def hold_keys(self) -> None:
        """There is one writer."""

    def jobs_by_id(self, ids: Collection[str]) -> dict[str, StoredJob]:
        return {job_id: self._jobs[job_id] for job_id in ids if job_id in self._jobs}

    jobs_to_change = jobs_by_id
    jobs_to_claim = jobs_by_id

    def live_jobs(self, keys: Collection[MediaKey]) -> dict[MediaKey, StoredJob]:
        return {key: self._jobs[self._live[key]] for key in keys if key in self._live}

    def last_job_seq(self) -> int:
        return self._last_job_seq

    def insert_jobs(self, jobs: Sequence[StoredJob]) -> None:
        for stored in jobs:
            self._put(stored)
            self._last_job_seq = max(self._last_job_seq, stored.job.seq)

    def update_jobs(self, jobs: Sequence[StoredJob]) -> None:
        for stored in jobs:
            self._drop(stored.job.id)
            self._put(stored)

    def extend_leases(self, job_ids: Sequence[str], expires_at: float) -> None:
        for job_id in job_ids:
            self._jobs[job_id] = evolve(self._jobs[job_id], lease_expires_at=expires_at)

    def delete_jobs(self, jobs: Sequence[Job]) -> None:
        gone = {job.id for job in jobs}
        for job in jobs:
            self._drop(job.id)
            status, _, owner = self._media.get(job.media_key, (MediaStatus.READY, None, ""))
            if status is not MediaStatus.READY and owner == job.id:
                del self._media[job.media_key]
        self._events = [event for event in self._events if event.id not in gone]

    def page_of_jobs(self, which: Filter, *, limit: int, before_seq: int | None) -> list[Job]:
        before = inf if before_seq is None else before_seq
        matching = (
            stored.job for stored in self._jobs.values() if stored.job.seq < before and which.matches(stored.job)
        )
        return heapq.nlargest(limit, matching, key=lambda job: job.seq)

    def queued_jobs(self) -> dict[str, int]:
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
        return arrivals[first : min(end, first + limit)]

    def due_jobs(self, now: float, limit: int) -> list[StoredJob]:
        due = ((at, stored) for at, stored in self._waiting() if at <= now)
        return [stored for _, stored in heapq.nsmallest(limit, due, key=lambda pair: (pair[0], pair[1].job.seq))]

    def next_due_at(self) -> float | None:
        return min((at for at, _ in self._waiting()), default=None)

    def running_jobs(self, expired_by: float, limit: int) -> list[StoredJob]:
        expired = (
            (stored.lease_expires_at, stored)
            for stored in self._in_state(State.RUNNING)
            if stored.lease_expires_at is not None and stored.lease_expires_at <= expired_by
        )
        ordered = heapq.nsmallest(limit, expired, key=lambda pair: (pair[0], pair[1].job.seq))
        return [stored for _, stored in ordered]

    def ended_jobs(self, state: State, ended_before: float, limit: int) -> list[Job]:
        ended = (stored.job for stored in self._in_state(state) if stored.job.updated_at < ended_before)
        return heapq.nsmallest(limit, ended, key=lambda job: (job.updated_at, job.seq))

    def pending_jobs(self) -> int:
        return sum(len(self._by_state[state]) for state in PENDING)

    def counts(self) -> Counts:
        by_place: dict[tuple[str, State], int] = {}
        for stored in self._jobs.values():
            place = (stored.job.destination, stored.job.state)
            by_place[place] = by_place.get(place, 0) + 1
        lanes = (arrivals for by_score in self._queued.values() for arrivals in by_score.values())
        oldest = min((arrivals[0][0] for arrivals in lanes if arrivals), default=None)
        return counts_of([(*place, jobs) for place, jobs in by_place.items()], oldest)

    def append_events(self, events: Sequence[Event]) -> None:
        for event in events:
            self._last_event_seq += 1
            self._events.append(evolve(event, seq=self._last_event_seq))

    def events_after(self, seq: int, limit: int, job_ids: Collection[str] | None) -> list[Event]:
        first = bisect_right(self._events, seq, key=lambda event: event.seq)
        later = islice(self._events, first, None)
        return list(islice((event for event in later if job_ids is None or event.id in job_ids), limit))

    def last_event_seq(self) -> int:
        return self._last_event_seq

    def ready_records(self, keys: Collection[MediaKey]) -> dict[MediaKey, WarmRecord]:
        found = ((key, self._media[key][1]) for key in keys if key in self._media)
        return {key: record for key, record in found if record is not None}

    def find_record(self, query: MediaQuery) -> WarmRecord | None:
        exact = self.ready_records({query.key}).get(query.key)
        alike = (record for _, record in self._alike(query))
        return exact or max(alike, key=lambda record: record.warmed_at, default=None)

    def put_record(self, key: MediaKey, record: WarmRecord) -> None:
        self._media[key] = (MediaStatus.READY, record, record.job_id)

    def mark_media(self, job: Job, status: MediaStatus | None) -> None:
        key = job.media_key
        if key in self._media and self._media[key][0] is MediaStatus.READY:
            return
        if status is None:
            self._media.pop(key, None)
        else:
            self._media[key] = (status, None, job.id)

    def delete_records(self, query: MediaQuery) -> int:
        gone = {key for key, _ in self._alike(query)} | set(self.ready_records({query.key}))
        for key in gone:
            del self._media[key]
        return len(gone)

    def put_seen(self, seen: SeenObject, seen_at: float) -> None:
        """What was seen is kept for people who query the database; memory has no such readers."""

    def put_pause(self, pause: UserPause) -> None:
        self._pauses[pause.destination] = pause

    def delete_pause(self, destination: str | None) -> None:
        self._pauses.pop(destination, None)

    def count_mend(self, destination: str) -> None:
        self._mended[destination] += 1

    def put_moved_lane(self, moved: MovedLane) -> None:
        self._moved_lanes[moved.destination, moved.lane] = moved

    def put_silence(self, silence: Silence) -> None:
        place = (silence.destination, silence.lane or "")
        if place not in self._silences or silence.until > self._silences[place].until:
            self._silences[place] = silence

    def see_process(self, process: str, now: float) -> None:
        """Memory is shared with nobody."""

    def shared_limits(self) -> SharedLimits:
        return SharedLimits(
            pauses=sorted(self._pauses.values(), key=lambda pause: pause.destination or ""),
            mended=dict(self._mended),
            moved_lanes=[self._moved_lanes[lane] for lane in sorted(self._moved_lanes)],
            silences=[self._silences[place] for place in sorted(self._silences)],
            processes=1,
        )

    def probe(self, now: float) -> None:
        """Memory takes writes always."""

    def _alike(self, query: MediaQuery) -> Iterable[tuple[MediaKey, WarmRecord]]:
        for key, (_, record, _) in self._media.items():
            if (
                record is not None
                and (key.destination, key.kind) == (query.key.destination, query.key.kind)
                and (record.r2_key == query.r2_key or (query.sha256 is not None and record.sha256 == query.sha256))
            ):
                yield key, record

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
        if job.state is State.QUEUED:
            insort(self._lane(job), (stored.queued_at, job.seq, job.id))

    def _drop(self, job_id: str) -> None:
        stored = self._jobs.pop(job_id)
        job = stored.job
        del self._by_state[job.state][job_id]
        if job.state is State.QUEUED:
            lane = self._lane(job)
            del lane[bisect_left(lane, (stored.queued_at, job.seq, job.id))]
        if self._live.get(job.media_key) == job_id:
            del self._live[job.media_key]

    def _lane(self, job: Job) -> list[_Arrival]:
        return self._queued[job.destination][base_score(job.kind, job.bytes)]


def _queued_at(arrival: _Arrival) -> float:
    return arrival[0]
