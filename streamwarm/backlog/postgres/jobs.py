"""Jobs and their events in PostgreSQL, for one transaction.

Every transaction wants the rows that number the events and count the jobs. So both are collected in memory until
`write_collected` and written last: their lock is held for one message to the server, which includes the commit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence

from attrs import asdict, define, field

from streamwarm.backlog.core import rows
from streamwarm.backlog.core.deadlines import Reset
from streamwarm.backlog.core.decode import DUE_TIMES, EVENTS, JOBS, KEYS_TO_CHECK, QUEUED_JOBS
from streamwarm.backlog.core.odd import OddRows, Row, read_pages
from streamwarm.backlog.core.ordering import Band
from streamwarm.backlog.core.small_tables import COUNTED, COUNTS, Count, counts_of
from streamwarm.backlog.core.transitions import StoredJob
from streamwarm.backlog.postgres.media import PostgresMedia
from streamwarm.backlog.postgres.statements import PgCursor, Statements, columns
from streamwarm.backlog.store import PENDING, Counts, Filter
from streamwarm.model import Event, Job, MediaKey, QueuedJob, State

_MAX_BIGINT = 2**63 - 1
"""An upper bound for any `seq`."""


@define(eq=False)
class PostgresJobs:
    """A `JobTable`. `_count_changes` is what to add to `job_counts`; `_states` has the state of each job that was read,
    by `seq`."""

    _sql: Statements
    odd: OddRows
    _events: list[Event] = field(factory=list)
    _count_changes: Counter[tuple[str, State]] = field(factory=Counter)
    _states: dict[int, State] = field(factory=dict)

    def write_collected(self, media: PostgresMedia) -> PgCursor | None:
        """Number and write the events, and add to the counts, also those of `media`. Called once, at the end of the
        transaction.

        Returns the cursor that will have the newest event's `seq` (`value`), or None if there was no event.
        """
        if self._events:
            events = columns(rows.event_row(event) for event in self._events)
            self._sql.send("insert_events", count=len(self._events), **events)
        elif any(self._count_changes.values()) or media.has_counted:
            self._sql.send("lock_numbering")
        changed = sorted((key, jobs) for key, jobs in self._count_changes.items() if jobs)
        if changed:
            self._sql.send(
                "add_to_counts",
                destination=[destination for (destination, _), _ in changed],
                state=[state.value for (_, state), _ in changed],
                jobs=[jobs for _, jobs in changed],
            )
        media.write_counts()
        if not self._events:
            return None
        return self._sql.send("notify")

    def lock_media_keys(self) -> None:
        self._sql.one("lock_intake")

    def by_id(self, ids: Collection[str]) -> dict[str, StoredJob]:
        return self._by_id("jobs_by_id", ids)

    def lock(self, ids: Collection[str]) -> dict[str, StoredJob]:
        return self._by_id("lock_jobs_by_id", ids)

    def lock_to_claim(self, ids: Collection[str]) -> dict[str, StoredJob]:
        return self._stored("lock_jobs_to_claim", ids=sorted(ids))

    def live(self, keys: Collection[MediaKey]) -> dict[MediaKey, StoredJob]:
        found = ((key, self.odd.read(JOBS, row)) for key, row in self._live(keys))
        live = {key: stored for key, stored in found if stored is not None}
        self._remembered(list(live.values()))
        return live

    def live_ids(self, keys: Collection[MediaKey]) -> dict[MediaKey, object]:
        return {key: row["id"] for key, row in self._live(keys)}

    def _live(self, keys: Collection[MediaKey]) -> list[tuple[MediaKey, Row]]:
        """Each key that has a live job, with its row. The row is found by its own media reference, whatever else it
        holds."""
        if not keys:
            return []
        by_columns = {tuple(rows.key_row(key).values()): key for key in keys}
        found = self._sql.all("live_jobs", **columns(map(rows.key_row, keys)))
        return [(by_columns[row["destination"], row["kind"], row["media_reference"]], row) for row in found]

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

    def unbar(self, destination: str) -> None:
        self._sql.write("unbar_jobs", destination=destination)

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
        found = read_pages(self.odd, JOBS, self._newest(which, limit), before, limit)
        return [stored.job for stored in found]

    def _newest(self, which: Filter, limit: int) -> Callable[[int], list[Row]]:
        """Reads the rows of a page, given the `seq` that it begins before."""
        if which == Filter():
            return lambda before: self._sql.all("newest_jobs", before_seq=before, limit=limit)
        matching = [
            (destination, state.value)
            for destination, state, _ in self._counts()
            if which.destination in {None, destination} and which.state in {None, state}
        ]
        places = {"destination": [name for name, _ in matching], "state": [state for _, state in matching]}
        return lambda before: self._sql.all("newest_jobs_in_places", **places, before_seq=before, limit=limit)

    def lock_to_check(self, r2_keys: Collection[str]) -> list[StoredJob]:
        return list(self._stored("lock_jobs_to_check", r2_keys=sorted(r2_keys)).values())

    def keys_to_check(self, limit: int, queued_by: float) -> list[str]:
        found = self._sql.all("keys_to_check", queued_by=queued_by, limit=self.odd.room("jobs", limit))
        return list(dict.fromkeys(self.odd.read_partly(KEYS_TO_CHECK, found)))[:limit]

    def queued_counts(self) -> dict[str, int]:
        return {destination: jobs for destination, state, jobs in self._counts() if state is State.QUEUED}

    def queued_at(self, destination: str) -> list[QueuedJob]:
        found = self._sql.all("queued_at_destination", destination=destination)
        return self.odd.read_partly(QUEUED_JOBS, found)

    def base_scores(self, destination: str) -> list[int]:
        return [row["base_score"] for row in self._sql.all("base_scores", destination=destination)]

    def queued_in(self, bands: Sequence[Band], limit: int) -> list[QueuedJob]:
        room = self.odd.room("jobs", limit)
        found = self._sql.all("queued_in_bands", **columns(map(asdict, bands)), limit=room)
        return self.odd.read_partly(QUEUED_JOBS, found)[:limit]

    def lock_due(self, now: float, limit: int) -> list[StoredJob]:
        return self._first(limit, "lock_due_jobs", now=now)

    def next_due_at(self) -> float | None:
        """The first that can be read: an odd row would be due for ever."""
        found = self._sql.all("next_due", limit=self.odd.room("jobs", 1))
        return next(iter(self.odd.read_partly(DUE_TIMES, found)), None)

    def lock_expired(self, expired_by: float, limit: int) -> list[StoredJob]:
        return self._first(limit, "lock_expired_jobs", expired_by=expired_by)

    def lock_ended(self, state: State, ended_before: float, limit: int) -> list[Job]:
        found = self._first(limit, "lock_ended_jobs", state=state.value, ended_before=ended_before)
        return [stored.job for stored in found]

    def reset_deadlines(self, to: Reset) -> None:
        for query in ("reset_retries", "reset_leases"):
            self._sql.write(query, **asdict(to))

    def is_miscounted(self) -> bool:
        return self._counts() != self._counted() or bool(self._sql.all("wrong_counters"))

    def recount(self) -> None:
        """The counts are written under the lock of the numbers, so both are of one moment."""
        self._sql.all("lock_numbering")
        self._sql.write("correct_counters")
        if self._counts() != (counted := self._counted()):
            self._sql.write("delete_counts")
            names = ("destination", "state", "jobs")
            self._sql.write("insert_counts", **columns(dict(zip(names, one, strict=True)) for one in counted))

    def pending_count(self) -> int:
        """Includes what this transaction has changed."""
        stored = sum(jobs for _, state, jobs in self._counts() if state in PENDING)
        return stored + sum(jobs for (_, state), jobs in self._count_changes.items() if state in PENDING)

    def counts(self) -> Counts:
        oldest = self._sql.one("oldest_queued_at")
        return counts_of(self._counts(), None if oldest is None else oldest["queued_at"])

    def append_events(self, events: Sequence[Event]) -> None:
        self._events += events

    def events_after(self, seq: int, limit: int) -> list[Event]:
        return read_pages(
            self.odd, EVENTS, lambda after: self._sql.all("events_after", seq=after, limit=limit), seq, limit
        )

    def events_of(self, job_ids: Collection[str], *, after: int, until: int, limit: int) -> list[Event]:
        ids = sorted(job_ids)

        def page(after: int) -> list[Row]:
            found = self._sql.all("event_seqs_of_jobs", job_ids=ids, after=after, until=until, limit=limit)
            events = self._sql.all("events_by_seq", seqs=[row["seq"] for row in found])
            return sorted(events, key=lambda row: row["seq"])

        return read_pages(self.odd, EVENTS, page, after, limit)

    def last_event_seq(self) -> int:
        return self._counter("events")

    def _stored(self, query: str, **parameters: object) -> dict[str, StoredJob]:
        """Jobs by id, in the query's order. Their states are remembered for `update`."""
        return self._remembered(self.odd.read_all(JOBS, self._sql.all(query, **parameters)))

    def _by_id(self, query: str, ids: Collection[str]) -> dict[str, StoredJob]:
        found = self._sql.all(query, ids=sorted(ids))
        if len(found) < len(ids) and len(self.odd):
            for job_id in set(ids) - {row["id"] for row in found}:
                self.odd.miss(JOBS, {"id": job_id})
        return self._remembered(self.odd.read_all(JOBS, found))

    def _first(self, limit: int, query: str, **parameters: object) -> list[StoredJob]:
        """The first `limit` jobs that can be read."""
        found = self._sql.all(query, **parameters, limit=self.odd.room("jobs", limit))
        return list(self._remembered(self.odd.read_all(JOBS, found)[:limit]).values())

    def _remembered(self, found: Sequence[StoredJob]) -> dict[str, StoredJob]:
        self._states.update((stored.job.seq, stored.job.state) for stored in found)
        return {stored.job.id: stored for stored in found}

    def _counts(self) -> list[Count]:
        return self.odd.read_all(COUNTS, self._sql.all("job_counts"))

    def _counted(self) -> list[Count]:
        """The counts, taken from the jobs."""
        return self.odd.read_all(COUNTED, self._sql.all("counted_jobs"))

    def _counter(self, name: str) -> int:
        row = self._sql.one("counter", name=name)
        return 0 if row is None else int(row["value"] or 0)
