"""Jobs and their events in SQLite. Every method runs one or a few named queries, each driven by an index."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from itertools import islice

from attrs import asdict, define, field

from streamwarm.backlog.core import rows
from streamwarm.backlog.core.ordering import Band
from streamwarm.backlog.core.tables import PENDING
from streamwarm.backlog.core.transitions import StoredJob
from streamwarm.backlog.sqlite.statements import MAX_INTEGER, Statements
from streamwarm.backlog.store import Counts, Filter
from streamwarm.model import Event, Job, MediaKey, QueuedJob, State


@define(eq=False)
class SqliteJobs:
    """A `JobTable`.

    `appended` has the events that were appended, in order and without numbers. `deleted` is True if events were
    deleted. The store clears both before each group.
    """

    _sql: Statements
    appended: list[Event] = field(factory=list)
    deleted: bool = False

    def lock_media_keys(self) -> None:
        """Nothing to lock: there is one writer."""

    def by_id(self, ids: Collection[str]) -> dict[str, StoredJob]:
        found = (self._sql.one("job_by_id", id=job_id) for job_id in ids)
        return {row["id"]: rows.stored_job_from(row) for row in found if row is not None}

    lock = by_id
    lock_to_claim = by_id

    def live(self, keys: Collection[MediaKey]) -> dict[MediaKey, StoredJob]:
        found = ((key, self._sql.one("live_job", **rows.key_row(key))) for key in keys)
        return {key: rows.stored_job_from(row) for key, row in found if row is not None}

    def last_job_seq(self) -> int:
        return self._last_seq("jobs")

    def insert(self, jobs: Sequence[StoredJob]) -> None:
        self._sql.run_many("insert_job", (rows.job_row(stored) for stored in jobs))

    def update(self, jobs: Sequence[StoredJob]) -> None:
        self._sql.run_many("update_job", (rows.changing_columns(stored) for stored in jobs))

    def extend_leases(self, job_ids: Sequence[str], expires_at: float) -> None:
        self._sql.run_many("extend_lease", ({"id": job_id, "lease_expires_at": expires_at} for job_id in job_ids))

    def delete(self, jobs: Sequence[Job]) -> None:
        self.deleted |= bool(jobs)
        self._sql.run_many("delete_events_of_job", ({"id": job.id} for job in jobs))
        self._sql.run_many("delete_job", ({"seq": job.seq} for job in jobs))

    def page(self, which: Filter, *, limit: int, before_seq: int | None) -> list[Job]:
        before = MAX_INTEGER if before_seq is None else before_seq
        if which == Filter():
            return [rows.job_from(row) for row in self._sql.all("newest_jobs", before_seq=before, limit=limit)]
        seqs = (
            row["seq"]
            for destination, state, _ in self._counts()
            if which.destination in {None, destination} and which.state in {None, state}
            for row in self._sql.all(
                "newest_seqs_in_place",
                destination=destination,
                state=state.value,
                before_seq=before,
                limit=limit,
            )
        )
        found = (self._sql.one("job_by_seq", seq=seq) for seq in heapq.nlargest(limit, seqs))
        return [rows.job_from(row) for row in found]

    def queued_counts(self) -> dict[str, int]:
        return {destination: jobs for destination, state, jobs in self._counts() if state is State.QUEUED}

    def queued_at(self, destination: str) -> list[QueuedJob]:
        return [rows.queued_job_from(row) for row in self._sql.all("queued_at_destination", destination=destination)]

    def base_scores(self, destination: str) -> list[int]:
        """One index seek per score."""
        scores: list[int] = []
        below = MAX_INTEGER
        while (row := self._sql.one("next_base_score", destination=destination, below=below))["base_score"] is not None:
            below = row["base_score"]
            scores.append(below)
        return scores

    def queued_in(self, bands: Sequence[Band], limit: int) -> list[QueuedJob]:
        """Walks every band's range of the index side by side. No cursor is read further than needed."""
        walks = [self._sql.cursor("queued_in_band", **asdict(band), limit=limit) for band in bands]
        merged = heapq.merge(*walks, key=lambda row: (row["queued_at"], row["seq"]))
        return [rows.queued_job_from(row) for row in islice(merged, limit)]

    def lock_due(self, now: float, limit: int) -> list[StoredJob]:
        return [rows.stored_job_from(row) for row in self._sql.all("due_jobs", now=now, limit=limit)]

    def next_due_at(self) -> float | None:
        at: float | None = self._sql.one("next_due_at")["retry_at"]
        return at

    def lock_expired(self, expired_by: float, limit: int) -> list[StoredJob]:
        found = self._sql.all("running_jobs", expired_by=expired_by, limit=limit)
        return [rows.stored_job_from(row) for row in found]

    def lock_ended(self, state: State, ended_before: float, limit: int) -> list[Job]:
        found = self._sql.all("ended_jobs", state=state.value, ended_before=ended_before, limit=limit)
        return [rows.job_from(row) for row in found]

    def pending_count(self) -> int:
        return sum(jobs for _, state, jobs in self._counts() if state in PENDING)

    def counts(self) -> Counts:
        return rows.counts_of(self._counts(), self._sql.one("oldest_queued_at")["queued_at"])

    def append_events(self, events: Sequence[Event]) -> None:
        self.appended += events
        self._sql.run_many("insert_event", (rows.event_row(event) for event in events))

    def events_after(self, seq: int, limit: int) -> list[Event]:
        return [rows.event_from(row) for row in self._sql.all("events_after", seq=seq, limit=limit)]

    def events_of(self, job_ids: Collection[str], *, after: int, until: int, limit: int) -> list[Event]:
        """Finds the numbers first, one index seek per job, and reads only the rows that are returned."""
        seqs = (
            row["seq"]
            for job_id in job_ids
            for row in self._sql.all("event_seqs_of_job", job_id=job_id, after=after, until=until, limit=limit)
        )
        found = (self._sql.one("event_by_seq", seq=seq) for seq in heapq.nsmallest(limit, seqs))
        return [rows.event_from(row) for row in found]

    def last_event_seq(self) -> int:
        return self._last_seq("events")

    def _counts(self) -> list[tuple[str, State, int]]:
        return [(row["destination"], State(row["state"]), row["jobs"]) for row in self._sql.all("job_counts")]

    def _last_seq(self, table: str) -> int:
        row = self._sql.one("last_seq_of_table", name=table)
        return 0 if row is None else int(row["seq"])
