"""`Tables` over a PostgreSQL connection, for one transaction, which locks what it reads in order to change it.

The numbers of events and the counts of jobs are rows that every transaction wants, so both are kept in memory until
`finish` and are written last: the lock on them is held for one message to the server, commit included.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from attrs import asdict, define, field
from psycopg import Cursor

from streamwarm.backlog.core import rows
from streamwarm.backlog.core.ordering import Band
from streamwarm.backlog.core.tables import PENDING
from streamwarm.backlog.core.transitions import StoredJob
from streamwarm.backlog.postgres.media import PostgresMedia
from streamwarm.backlog.postgres.statements import columns
from streamwarm.backlog.shared_limits import MovedLane, SharedLimits, Silence, UserPause
from streamwarm.backlog.store import Counts, Filter
from streamwarm.model import Event, Job, MediaKey, QueuedJob, State

_MAX_BIGINT = 2**63 - 1
"""An upper bound for any `seq`."""

ALIVE_S = 15.0
"""A process that was not heard of for so long is dead. Each is heard of every 2 s; a pause of garbage collection or a
slow commit must not free its share."""


@define(eq=False)
class PostgresTables(PostgresMedia):
    """The rows as one transaction sees and changes them."""

    _events: list[Event] = field(factory=list)
    _moved: Counter[tuple[str, State]] = field(factory=Counter)  # what is to be added to job_counts
    _states: dict[int, State] = field(factory=dict)  # of the jobs that were read, by seq

    def finish(self) -> Cursor[dict[str, Any]] | None:
        """Number and write the events, and add up the counts. Hands back where the newest event's `seq` (`value`)
        will be read, None if there was no event."""
        self._write_media()
        if self._events:
            events = columns(rows.event_row(event) for event in self._events)
            self._run("insert_events", count=len(self._events), **events)
        elif any(self._moved.values()):
            self._run("lock_numbering")
        moved = sorted((place, jobs) for place, jobs in self._moved.items() if jobs)
        if moved:
            self._run(
                "add_to_counts",
                destination=[destination for (destination, _), _ in moved],
                state=[state.value for (_, state), _ in moved],
                jobs=[jobs for _, jobs in moved],
            )
        if not self._events:
            return None
        return self._run("notify")

    def hold_keys(self) -> None:
        self._one("lock_intake")

    def jobs_by_id(self, ids: Collection[str]) -> dict[str, StoredJob]:
        return self._stored("jobs_by_id", ids=sorted(ids))

    def jobs_to_change(self, ids: Collection[str]) -> dict[str, StoredJob]:
        return self._stored("lock_jobs_by_id", ids=sorted(ids))

    def jobs_to_claim(self, ids: Collection[str]) -> dict[str, StoredJob]:
        return self._stored("lock_jobs_to_claim", ids=sorted(ids))

    def live_jobs(self, keys: Collection[MediaKey]) -> dict[MediaKey, StoredJob]:
        if not keys:
            return {}
        found = self._stored("live_jobs", **columns(map(rows.key_row, keys)))
        return {stored.job.media_key: stored for stored in found.values()}

    def last_job_seq(self) -> int:
        return self._counter("jobs")

    def insert_jobs(self, jobs: Sequence[StoredJob]) -> None:
        if not jobs:
            return
        self._write("insert_jobs", **columns(map(rows.job_row, jobs)))
        self._write("raise_last_job_seq", seq=max(stored.job.seq for stored in jobs))
        for stored in jobs:
            self._moved[stored.job.destination, stored.job.state] += 1
            self._states[stored.job.seq] = stored.job.state

    def update_jobs(self, jobs: Sequence[StoredJob]) -> None:
        if not jobs:
            return
        last = {stored.job.seq: stored for stored in jobs}  # a job may be among them twice
        self._write("update_jobs", **columns(map(rows.changing_columns, last.values())))
        for seq, stored in last.items():
            job = stored.job
            self._moved[job.destination, self._states[seq]] -= 1
            self._moved[job.destination, job.state] += 1
            self._states[seq] = job.state

    def extend_leases(self, job_ids: Sequence[str], expires_at: float) -> None:
        if job_ids:
            self._write("extend_leases", ids=list(job_ids), lease_expires_at=expires_at)

    def delete_jobs(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        self._write_media()
        media = ({**rows.key_row(job.media_key), "job_id": job.id} for job in jobs)
        self._write("delete_unready_media_of_jobs", **columns(media))
        self._write("delete_events_of_jobs", ids=[job.id for job in jobs])
        self._write("delete_jobs", seqs=[job.seq for job in jobs])
        self._moved.subtract((job.destination, job.state) for job in jobs)

    def page_of_jobs(self, which: Filter, *, limit: int, before_seq: int | None) -> list[Job]:
        before = _MAX_BIGINT if before_seq is None else before_seq
        if which == Filter():
            return [rows.job_from(row) for row in self._all("newest_jobs", before_seq=before, limit=limit)]
        places = [
            (destination, state.value)
            for destination, state, _ in self._places()
            if which.destination in {None, destination} and which.state in {None, state}
        ]
        found = self._all(
            "newest_jobs_in_places",
            destination=[destination for destination, _ in places],
            state=[state for _, state in places],
            before_seq=before,
            limit=limit,
        )
        return [rows.job_from(row) for row in found]

    def queued_jobs(self) -> dict[str, int]:
        return {destination: jobs for destination, state, jobs in self._places() if state is State.QUEUED}

    def queued_at(self, destination: str) -> list[QueuedJob]:
        return [rows.queued_job_from(row) for row in self._all("queued_at_destination", destination=destination)]

    def base_scores(self, destination: str) -> list[int]:
        return [row["base_score"] for row in self._all("base_scores", destination=destination)]

    def queued_in(self, bands: Sequence[Band], limit: int) -> list[QueuedJob]:
        found = self._all("queued_in_bands", **columns(map(asdict, bands)), limit=limit)
        return [rows.queued_job_from(row) for row in found]

    def due_jobs(self, now: float, limit: int) -> list[StoredJob]:
        return list(self._stored("lock_due_jobs", now=now, limit=limit).values())

    def next_due_at(self) -> float | None:
        row = self._one("next_due_at")
        return None if row is None else row["retry_at"]

    def running_jobs(self, expired_by: float, limit: int) -> list[StoredJob]:
        return list(self._stored("lock_expired_jobs", expired_by=expired_by, limit=limit).values())

    def ended_jobs(self, state: State, ended_before: float, limit: int) -> list[Job]:
        found = self._stored("lock_ended_jobs", state=state.value, ended_before=ended_before, limit=limit)
        return [stored.job for stored in found.values()]

    def pending_jobs(self) -> int:
        """Those of this transaction included."""
        stored = sum(jobs for _, state, jobs in self._places() if state in PENDING)
        return stored + sum(jobs for (_, state), jobs in self._moved.items() if state in PENDING)

    def counts(self) -> Counts:
        oldest = self._one("oldest_queued_at")
        return rows.counts_of(self._places(), None if oldest is None else oldest["queued_at"])

    def append_events(self, events: Sequence[Event]) -> None:
        self._events += events

    def events_after(self, seq: int, limit: int, job_ids: Collection[str] | None) -> list[Event]:
        if job_ids is None:
            found = self._all("events_after", seq=seq, limit=limit)
        else:
            found = self._all("events_of_jobs_after", job_ids=sorted(job_ids), seq=seq, limit=limit)
        return [rows.event_from(row) for row in found]

    def last_event_seq(self) -> int:
        return self._counter("events")

    def put_pause(self, pause: UserPause) -> None:
        self._write("put_pause", **rows.pause_row(pause))

    def delete_pause(self, destination: str | None) -> None:
        self._write("delete_pause", destination=destination or "")

    def count_mend(self, destination: str) -> None:
        self._write("count_mend", destination=destination)

    def put_moved_lane(self, moved: MovedLane) -> None:
        self._write("put_moved_lane", **asdict(moved))

    def put_silence(self, silence: Silence) -> None:
        self._write("put_silence", **rows.silence_row(silence))

    def see_process(self, process: str, now: float) -> None:
        self._write("put_process", id=process, seen_at=now)
        self._write("delete_processes", seen_before=now - ALIVE_S)

    def shared_limits(self) -> SharedLimits:
        """In one reading: every process asks every 2 s, and its other writes wait meanwhile."""
        asked = [self._run(name) for name in (*rows.SHARED_LIMITS, "count_processes")]
        self._pipeline.sync()
        *found, [counted] = (cursor.fetchall() for cursor in asked)
        return rows.shared_limits_from(found, processes=counted["processes"])

    def probe(self, now: float) -> None:
        self._write("probe", written_at=now)

    def _stored(self, query: str, **parameters: object) -> dict[str, StoredJob]:
        """Jobs by id, in the query's order; what state they are in is remembered for `update_jobs`."""
        found = {row["id"]: rows.stored_job_from(row) for row in self._all(query, **parameters)}
        self._states.update((stored.job.seq, stored.job.state) for stored in found.values())
        return found

    def _places(self) -> list[tuple[str, State, int]]:
        return [(row["destination"], State(row["state"]), row["jobs"]) for row in self._all("job_counts")]

    def _counter(self, name: str) -> int:
        row = self._one("counter", name=name)
        return 0 if row is None else int(row["value"])
