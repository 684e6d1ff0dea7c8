"""Jobs and their events in SQLite. Every method runs one or a few named queries, each driven by an index."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Sequence
from itertools import islice

from attrs import asdict, define, field

from streamwarm.backlog.core import rows
from streamwarm.backlog.core.deadlines import Reset
from streamwarm.backlog.core.decode import DUE_TIMES, EVENTS, JOBS, KEYS_TO_CHECK, QUEUED_JOBS
from streamwarm.backlog.core.odd import OddRows, Row, read_pages
from streamwarm.backlog.core.ordering import Band
from streamwarm.backlog.core.small_tables import COUNTED, COUNTS, Count, counts_of
from streamwarm.backlog.core.transitions import StoredJob
from streamwarm.backlog.sqlite.statements import MAX_INTEGER, Statements
from streamwarm.backlog.store import PENDING, Counts, Filter
from streamwarm.model import Event, Job, MediaKey, QueuedJob, State


@define(eq=False)
class SqliteJobs:
    """A `JobTable`.

    `appended` has the events that were appended, in order and without numbers. `deleted` is True if events were
    deleted. The store clears both before each group.
    """

    _sql: Statements
    odd: OddRows
    appended: list[Event] = field(factory=list)
    deleted: bool = False

    def lock_media_keys(self) -> None:
        """Nothing to lock: there is one writer."""

    def by_id(self, ids: Collection[str]) -> dict[str, StoredJob]:
        found: dict[str, StoredJob] = {}
        for job_id in ids:
            row = self._sql.one("job_by_id", id=job_id)
            if row is None:
                self.odd.miss(JOBS, {"id": job_id})
            elif (stored := self.odd.read(JOBS, row)) is not None:
                found[job_id] = stored
        return found

    lock = by_id
    lock_to_claim = by_id

    def live(self, keys: Collection[MediaKey]) -> dict[MediaKey, StoredJob]:
        found = ((key, self._sql.one("live_job", **rows.key_row(key))) for key in keys)
        live = ((key, self.odd.read(JOBS, row)) for key, row in found if row is not None)
        return {key: stored for key, stored in live if stored is not None}

    def live_ids(self, keys: Collection[MediaKey]) -> dict[MediaKey, object]:
        found = ((key, self._sql.one("live_job", **rows.key_row(key))) for key in keys)
        return {key: row["id"] for key, row in found if row is not None}

    def last_job_seq(self) -> int:
        return self._last_seq("jobs")

    def insert(self, jobs: Sequence[StoredJob]) -> None:
        self._sql.run_many("insert_job", (rows.job_row(stored) for stored in jobs))

    def update(self, jobs: Sequence[StoredJob]) -> None:
        self._sql.run_many("update_job", (rows.changing_columns(stored) for stored in jobs))

    def unbar(self, destination: str) -> None:
        self._sql.run("unbar_jobs", destination=destination)

    def extend_leases(self, job_ids: Sequence[str], expires_at: float) -> None:
        self._sql.run_many("extend_lease", ({"id": job_id, "lease_expires_at": expires_at} for job_id in job_ids))

    def delete(self, jobs: Sequence[Job]) -> None:
        self.deleted |= bool(jobs)
        self._sql.run_many("delete_events_of_job", ({"id": job.id} for job in jobs))
        self._sql.run_many("delete_job", ({"seq": job.seq} for job in jobs))

    def page(self, which: Filter, *, limit: int, before_seq: int | None) -> list[Job]:
        before = MAX_INTEGER if before_seq is None else before_seq
        found = read_pages(self.odd, JOBS, self._newest(which, limit), before, limit)
        return [stored.job for stored in found]

    def _newest(self, which: Filter, limit: int) -> Callable[[int], list[Row]]:
        """Reads the rows of a page, given the `seq` that it begins before."""
        if which == Filter():
            return lambda before: self._sql.all("newest_jobs", before_seq=before, limit=limit)
        return lambda before: self._newest_in_places(which, limit, before)

    def _newest_in_places(self, which: Filter, limit: int, before: int) -> list[Row]:
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
        return [self._sql.one("job_by_seq", seq=seq) for seq in heapq.nlargest(limit, seqs)]

    def lock_to_check(self, r2_keys: Collection[str]) -> list[StoredJob]:
        found = (row for r2_key in r2_keys for row in self._sql.all("jobs_to_check", r2_key=r2_key))
        return self.odd.read_all(JOBS, found)

    def keys_to_check(self, limit: int, queued_by: float) -> list[str]:
        found = self._sql.all("keys_to_check", queued_by=queued_by, limit=self.odd.room("jobs", limit))
        return list(dict.fromkeys(self.odd.read_partly(KEYS_TO_CHECK, found)))[:limit]

    def queued_counts(self) -> dict[str, int]:
        return {destination: jobs for destination, state, jobs in self._counts() if state is State.QUEUED}

    def queued_at(self, destination: str) -> list[QueuedJob]:
        found = self._sql.all("queued_at_destination", destination=destination)
        return self.odd.read_partly(QUEUED_JOBS, found)

    def base_scores(self, destination: str) -> list[int]:
        """One index seek per score."""
        scores: list[int] = []
        below = MAX_INTEGER
        while (row := self._sql.one("next_base_score", destination=destination, below=below))["base_score"] is not None:
            below = row["base_score"]
            if isinstance(below, int):  # text or binary in its place sorts above every number
                scores.append(below)
        return scores

    def queued_in(self, bands: Sequence[Band], limit: int) -> list[QueuedJob]:
        """Walks every band's range of the index side by side. No cursor is read further than needed."""
        room = self.odd.room("jobs", limit)
        walks = [self._sql.cursor("queued_in_band", **asdict(band), limit=room) for band in bands]
        merged = heapq.merge(*walks, key=lambda row: (row["queued_at"], row["seq"]))
        return self.odd.read_partly(QUEUED_JOBS, islice(merged, room))[:limit]

    def lock_due(self, now: float, limit: int) -> list[StoredJob]:
        return self._first(limit, "due_jobs", now=now)

    def next_due_at(self) -> float | None:
        """The first that can be read: an odd row would be due for ever."""
        found = self._sql.all("next_due", limit=self.odd.room("jobs", 1))
        return next(iter(self.odd.read_partly(DUE_TIMES, found)), None)

    def lock_expired(self, expired_by: float, limit: int) -> list[StoredJob]:
        return self._first(limit, "running_jobs", expired_by=expired_by)

    def lock_ended(self, state: State, ended_before: float, limit: int) -> list[Job]:
        found = self._first(limit, "ended_jobs", state=state.value, ended_before=ended_before)
        return [stored.job for stored in found]

    def reset_deadlines(self, to: Reset) -> None:
        for query in ("reset_retries", "reset_leases"):
            self._sql.run(query, **asdict(to))

    def is_miscounted(self) -> bool:
        return self._counts() != self._counted()

    def recount(self) -> None:
        if self._counts() != (counted := self._counted()):
            self._sql.run("delete_counts")
            names = ("destination", "state", "jobs")
            self._sql.run_many("insert_count", [dict(zip(names, one, strict=True)) for one in counted])

    def pending_count(self) -> int:
        return sum(jobs for _, state, jobs in self._counts() if state in PENDING)

    def counts(self) -> Counts:
        return counts_of(self._counts(), self._sql.one("oldest_queued_at")["queued_at"])

    def append_events(self, events: Sequence[Event]) -> None:
        self.appended += events
        self._sql.run_many("insert_event", (rows.event_row(event) for event in events))

    def events_after(self, seq: int, limit: int) -> list[Event]:
        return read_pages(
            self.odd, EVENTS, lambda after: self._sql.all("events_after", seq=after, limit=limit), seq, limit
        )

    def events_of(self, job_ids: Collection[str], *, after: int, until: int, limit: int) -> list[Event]:
        """Finds the numbers first, one index seek per job, and reads only the rows that are returned."""

        def page(after: int) -> list[Row]:
            seqs = (
                row["seq"]
                for job_id in job_ids
                for row in self._sql.all("event_seqs_of_job", job_id=job_id, after=after, until=until, limit=limit)
            )
            return [self._sql.one("event_by_seq", seq=seq) for seq in heapq.nsmallest(limit, seqs)]

        return read_pages(self.odd, EVENTS, page, after, limit)

    def last_event_seq(self) -> int:
        return self._last_seq("events")

    def _first(self, limit: int, query: str, **parameters: object) -> list[StoredJob]:
        """The first `limit` jobs that can be read."""
        found = self._sql.all(query, **parameters, limit=self.odd.room("jobs", limit))
        return self.odd.read_all(JOBS, found)[:limit]

    def _counts(self) -> list[Count]:
        return self.odd.read_all(COUNTS, self._sql.all("job_counts"))

    def _counted(self) -> list[Count]:
        """The counts, taken from the jobs. A count whose destination or state is not text is left out."""
        return self.odd.read_all(COUNTED, self._sql.all("counted_jobs"))

    def _last_seq(self, table: str) -> int:
        row = self._sql.one("last_seq_of_table", name=table)
        if row is None or not isinstance(row["seq"], int):
            row = self._sql.one(f"max_seq_of_{table}")  # `max_seq_of_jobs` or `max_seq_of_events`
        return int(row["seq"] or 0)
