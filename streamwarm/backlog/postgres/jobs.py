"""Jobs and their events in PostgreSQL, for one transaction.

Every transaction wants the rows that number the events and count the jobs. So both are collected in memory until
`write_collected` and written last: their lock is held for one message to the server, which includes the commit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from attrs import asdict, define, field

from streamwarm.backlog.core import rows
from streamwarm.backlog.core.ordering import Band
from streamwarm.backlog.core.tables import PENDING
from streamwarm.backlog.core.transitions import StoredJob
from streamwarm.backlog.postgres.statements import PgCursor, Statements, columns
from streamwarm.backlog.store import Counts, Filter
from streamwarm.model import Event, Job, MediaKey, QueuedJob, State

_MAX_BIGINT = 2**63 - 1
"""An upper bound for any `seq`."""


@define(eq=False)
class PostgresJobs:
    """A `JobTable`. `_count_changes` is what to add to `job_counts`; `_states` has the state of each job that was read,
    by `seq`."""

    _sql: Statements
    _events: list[Event] = field(factory=list)
    _count_changes: Counter[tuple[str, State]] = field(factory=Counter)
    _states: dict[int, State] = field(factory=dict)

    def write_collected(self) -> PgCursor | None:
        """Number and write the events, and add to the counts. Called once, at the end of the transaction.

        Returns the cursor that will have the newest event's `seq` (`value`), or None if there was no event.
        """
        if self._events:
            events = columns(rows.event_row(event) for event in self._events)
            self._sql.send("insert_events", count=len(self._events), **events)
        elif any(self._count_changes.values()):
            self._sql.send("lock_numbering")
        changed = sorted((key, jobs) for key, jobs in self._count_changes.items() if jobs)
        if changed:
            self._sql.send(
                "add_to_counts",
                destination=[destination for (destination, _), _ in changed],
                state=[state.value for (_, state), _ in changed],
                jobs=[jobs for _, jobs in changed],
            )
        if not self._events:
            return None
        return self._sql.send("notify")

    def lock_media_keys(self) -> None:
        self._sql.one("lock_intake")

    def by_id(self, ids: Collection[str]) -> dict[str, StoredJob]:
        return self._stored("jobs_by_id", ids=sorted(ids))

    def lock(self, ids: Collection[str]) -> dict[str, StoredJob]:
        return self._stored("lock_jobs_by_id", ids=sorted(ids))

    def lock_to_claim(self, ids: Collection[str]) -> dict[str, StoredJob]:
        return self._stored("lock_jobs_to_claim", ids=sorted(ids))

    def live(self, keys: Collection[MediaKey]) -> dict[MediaKey, StoredJob]:
        if not keys:
            return {}
        found = self._stored("live_jobs", **columns(map(rows.key_row, keys)))
        return {stored.job.media_key: stored for stored in found.values()}

    def last_job_seq(self) -> int:
        return self._counter("jobs")

    def insert(self, jobs: Sequence[StoredJob]) -> None:
        if not jobs:
            return
        self._sql.write("insert_jobs", **columns(map(rows.job_row, jobs)))
        self._sql.write("raise_last_job_seq", seq=max(stored.job.seq for stored in jobs))
        for stored in jobs:
            self._count_changes[stored.job.destination, stored.job.state] += 1
            self._states[stored.job.seq] = stored.job.state

    def update(self, jobs: Sequence[StoredJob]) -> None:
        if not jobs:
            return
        last = {stored.job.seq: stored for stored in jobs}  # a job may be among them twice
        self._sql.write("update_jobs", **columns(map(rows.changing_columns, last.values())))
        for seq, stored in last.items():
            job = stored.job
            self._count_changes[job.destination, self._states[seq]] -= 1
            self._count_changes[job.destination, job.state] += 1
            self._states[seq] = job.state

    def extend_leases(self, job_ids: Sequence[str], expires_at: float) -> None:
        if job_ids:
            self._sql.write("extend_leases", ids=list(job_ids), lease_expires_at=expires_at)

    def delete(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        self._sql.write("delete_events_of_jobs", ids=[job.id for job in jobs])
        self._sql.write("delete_jobs", seqs=[job.seq for job in jobs])
        self._count_changes.subtract((job.destination, job.state) for job in jobs)

    def page(self, which: Filter, *, limit: int, before_seq: int | None) -> list[Job]:
        before = _MAX_BIGINT if before_seq is None else before_seq
        if which == Filter():
            return [rows.job_from(row) for row in self._sql.all("newest_jobs", before_seq=before, limit=limit)]
        matching = [
            (destination, state.value)
            for destination, state, _ in self._counts()
            if which.destination in {None, destination} and which.state in {None, state}
        ]
        found = self._sql.all(
            "newest_jobs_in_places",
            destination=[destination for destination, _ in matching],
            state=[state for _, state in matching],
            before_seq=before,
            limit=limit,
        )
        return [rows.job_from(row) for row in found]

    def queued_counts(self) -> dict[str, int]:
        return {destination: jobs for destination, state, jobs in self._counts() if state is State.QUEUED}

    def queued_at(self, destination: str) -> list[QueuedJob]:
        return [rows.queued_job_from(row) for row in self._sql.all("queued_at_destination", destination=destination)]

    def base_scores(self, destination: str) -> list[int]:
        return [row["base_score"] for row in self._sql.all("base_scores", destination=destination)]

    def queued_in(self, bands: Sequence[Band], limit: int) -> list[QueuedJob]:
        found = self._sql.all("queued_in_bands", **columns(map(asdict, bands)), limit=limit)
        return [rows.queued_job_from(row) for row in found]

    def lock_due(self, now: float, limit: int) -> list[StoredJob]:
        return list(self._stored("lock_due_jobs", now=now, limit=limit).values())

    def next_due_at(self) -> float | None:
        row = self._sql.one("next_due_at")
        return None if row is None else row["retry_at"]

    def lock_expired(self, expired_by: float, limit: int) -> list[StoredJob]:
        return list(self._stored("lock_expired_jobs", expired_by=expired_by, limit=limit).values())

    def lock_ended(self, state: State, ended_before: float, limit: int) -> list[Job]:
        found = self._stored("lock_ended_jobs", state=state.value, ended_before=ended_before, limit=limit)
        return [stored.job for stored in found.values()]

    def pending_count(self) -> int:
        """Includes what this transaction has changed."""
        stored = sum(jobs for _, state, jobs in self._counts() if state in PENDING)
        return stored + sum(jobs for (_, state), jobs in self._count_changes.items() if state in PENDING)

    def counts(self) -> Counts:
        oldest = self._sql.one("oldest_queued_at")
        return rows.counts_of(self._counts(), None if oldest is None else oldest["queued_at"])

    def append_events(self, events: Sequence[Event]) -> None:
        self._events += events

    def events_after(self, seq: int, limit: int) -> list[Event]:
        return [rows.event_from(row) for row in self._sql.all("events_after", seq=seq, limit=limit)]

    def events_of(self, job_ids: Collection[str], *, after: int, until: int, limit: int) -> list[Event]:
        bounds = {"after": after, "until": until, "limit": limit}
        found = self._sql.all("event_seqs_of_jobs", job_ids=sorted(job_ids), **bounds)
        events = self._sql.all("events_by_seq", seqs=[row["seq"] for row in found])
        return sorted(map(rows.event_from, events), key=lambda event: event.seq)

    def last_event_seq(self) -> int:
        return self._counter("events")

    def _stored(self, query: str, **parameters: object) -> dict[str, StoredJob]:
        """Jobs by id, in the query's order. Their states are remembered for `update`."""
        found = {row["id"]: rows.stored_job_from(row) for row in self._sql.all(query, **parameters)}
        self._states.update((stored.job.seq, stored.job.state) for stored in found.values())
        return found

    def _counts(self) -> list[tuple[str, State, int]]:
        return [(row["destination"], State(row["state"]), row["jobs"]) for row in self._sql.all("job_counts")]

    def _counter(self, name: str) -> int:
        row = self._sql.one("counter", name=name)
        return 0 if row is None else int(row["value"])
