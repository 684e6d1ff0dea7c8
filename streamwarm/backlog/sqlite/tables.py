"""`Tables` over a SQLite connection: every method is one or a few named queries, each driven by an index.

Rows are looked up one statement a key rather than through lists in one statement: a prepared point look-up
costs a few microseconds, and no text of a client's ever has to be packed into JSON or SQL to get there.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice

from attrs import asdict, define, field

from streamwarm.backlog.core import rows
from streamwarm.backlog.core.ordering import Band
from streamwarm.backlog.core.tables import PENDING, MediaQuery, MediaStatus
from streamwarm.backlog.core.transitions import StoredJob
from streamwarm.backlog.shared_limits import MovedLane, SharedLimits, Silence, UserPause
from streamwarm.backlog.store import Counts, Filter
from streamwarm.model import Event, Job, MediaKey, QueuedJob, SeenObject, State, WarmRecord

_MAX_INTEGER = 2**63 - 1
"""SQLite's largest integer: an upper bound for any `seq` or score."""


@define(eq=False)
class SqliteTables:
    """The rows seen through one connection, whose row factory is `sqlite3.Row`. `appended`: the events that were, in
    order and not numbered, and `deleted` whether others were, until somebody clears both."""

    connection: sqlite3.Connection
    _queries: Mapping[str, str]
    appended: list[Event] = field(factory=list)
    deleted: bool = False

    def hold_keys(self) -> None:
        """There is one writer."""

    def jobs_by_id(self, ids: Collection[str]) -> dict[str, StoredJob]:
        found = (self._one("job_by_id", id=job_id) for job_id in ids)
        return {row["id"]: rows.stored_job_from(row) for row in found if row is not None}

    jobs_to_change = jobs_by_id
    jobs_to_claim = jobs_by_id

    def live_jobs(self, keys: Collection[MediaKey]) -> dict[MediaKey, StoredJob]:
        found = ((key, self._one("live_job", **rows.key_row(key))) for key in keys)
        return {key: rows.stored_job_from(row) for key, row in found if row is not None}

    def last_job_seq(self) -> int:
        return self._last_seq("jobs")

    def insert_jobs(self, jobs: Sequence[StoredJob]) -> None:
        self._many("insert_job", (rows.job_row(stored) for stored in jobs))

    def update_jobs(self, jobs: Sequence[StoredJob]) -> None:
        self._many("update_job", (rows.changing_columns(stored) for stored in jobs))

    def extend_leases(self, job_ids: Sequence[str], expires_at: float) -> None:
        self._many("extend_lease", ({"id": job_id, "lease_expires_at": expires_at} for job_id in job_ids))

    def delete_jobs(self, jobs: Sequence[Job]) -> None:
        self.deleted |= bool(jobs)
        self._many("delete_unready_media_of_job", ({**rows.key_row(job.media_key), "job_id": job.id} for job in jobs))
        self._many("delete_events_of_job", ({"id": job.id} for job in jobs))
        self._many("delete_job", ({"seq": job.seq} for job in jobs))

    def page_of_jobs(self, which: Filter, *, limit: int, before_seq: int | None) -> list[Job]:
        before = _MAX_INTEGER if before_seq is None else before_seq
        if which == Filter():
            return [rows.job_from(row) for row in self._all("newest_jobs", before_seq=before, limit=limit)]
        seqs = (
            row["seq"]
            for destination, state, _ in self._places()
            if which.destination in {None, destination} and which.state in {None, state}
            for row in self._all(
                "newest_seqs_in_place",
                destination=destination,
                state=state.value,
                before_seq=before,
                limit=limit,
            )
        )
        found = (self._one("job_by_seq", seq=seq) for seq in heapq.nlargest(limit, seqs))
        return [rows.job_from(row) for row in found]

    def queued_jobs(self) -> dict[str, int]:
        return {destination: jobs for destination, state, jobs in self._places() if state is State.QUEUED}

    def queued_at(self, destination: str) -> list[QueuedJob]:
        return [rows.queued_job_from(row) for row in self._all("queued_at_destination", destination=destination)]

    def base_scores(self, destination: str) -> list[int]:
        """One index seek a score."""
        scores: list[int] = []
        below = _MAX_INTEGER
        while (row := self._one("next_base_score", destination=destination, below=below))["base_score"] is not None:
            below = row["base_score"]
            scores.append(below)
        return scores

    def queued_in(self, bands: Sequence[Band], limit: int) -> list[QueuedJob]:
        """A walk along each band's stretch of the index at once: each cursor is read no further than it is needed."""
        query = self._queries["queued_in_band"]
        walks = [self.connection.execute(query, {**asdict(band), "limit": limit}) for band in bands]
        merged = heapq.merge(*walks, key=lambda row: (row["queued_at"], row["seq"]))
        return [rows.queued_job_from(row) for row in islice(merged, limit)]

    def due_jobs(self, now: float, limit: int) -> list[StoredJob]:
        return [rows.stored_job_from(row) for row in self._all("due_jobs", now=now, limit=limit)]

    def next_due_at(self) -> float | None:
        at: float | None = self._one("next_due_at")["retry_at"]
        return at

    def running_jobs(self, expired_by: float, limit: int) -> list[StoredJob]:
        found = self._all("running_jobs", expired_by=expired_by, limit=limit)
        return [rows.stored_job_from(row) for row in found]

    def ended_jobs(self, state: State, ended_before: float, limit: int) -> list[Job]:
        found = self._all("ended_jobs", state=state.value, ended_before=ended_before, limit=limit)
        return [rows.job_from(row) for row in found]

    def pending_jobs(self) -> int:
        return sum(jobs for _, state, jobs in self._places() if state in PENDING)

    def counts(self) -> Counts:
        return rows.counts_of(self._places(), self._one("oldest_queued_at")["queued_at"])

    def append_events(self, events: Sequence[Event]) -> None:
        self.appended += events
        self._many("insert_event", (rows.event_row(event) for event in events))

    def events_after(self, seq: int, limit: int, job_ids: Collection[str] | None) -> list[Event]:
        if job_ids is None:
            return [rows.event_from(row) for row in self._all("events_after", seq=seq, limit=limit)]
        found = (
            row for job_id in job_ids for row in self._all("events_of_job_after", job_id=job_id, seq=seq, limit=limit)
        )
        return [rows.event_from(row) for row in heapq.nsmallest(limit, found, key=lambda row: row["seq"])]

    def last_event_seq(self) -> int:
        return self._last_seq("events")

    def ready_records(self, keys: Collection[MediaKey]) -> dict[MediaKey, WarmRecord]:
        found = ((key, self._one("ready_record", **rows.key_row(key))) for key in keys)
        return {key: rows.record_from(row) for key, row in found if row is not None}

    def find_record(self, query: MediaQuery) -> WarmRecord | None:
        exact = self.ready_records({query.key}).get(query.key)
        if exact is not None:
            return exact
        place = rows.place_row(query)
        return rows.newest_record(
            self._one("newest_record_by_sha256", **place, sha256=query.sha256),
            self._one("newest_record_by_r2_key", **place, r2_key=query.r2_key),
        )

    def put_record(self, key: MediaKey, record: WarmRecord) -> None:
        self._run("put_record", **rows.record_row(key, record))

    def mark_media(self, job: Job, status: MediaStatus | None) -> None:
        if status is None:
            self._run("delete_unready_media", **rows.key_row(job.media_key))
        else:
            self._run("mark_media", **rows.mark_row(job, status))

    def delete_records(self, query: MediaQuery) -> int:
        place = rows.place_row(query)
        return (
            self._run("delete_ready_record", **rows.key_row(query.key))
            + self._run("delete_records_by_sha256", **place, sha256=query.sha256)
            + self._run("delete_records_by_r2_key", **place, r2_key=query.r2_key)
        )

    def put_seen(self, seen: SeenObject, seen_at: float) -> None:
        self._run("put_seen", **asdict(seen), seen_at=seen_at)

    def put_pause(self, pause: UserPause) -> None:
        self._run("put_pause", **rows.pause_row(pause))

    def delete_pause(self, destination: str | None) -> None:
        self._run("delete_pause", destination=destination or "")

    def count_mend(self, destination: str) -> None:
        self._run("count_mend", destination=destination)

    def put_moved_lane(self, moved: MovedLane) -> None:
        self._run("put_moved_lane", **asdict(moved))

    def put_silence(self, silence: Silence) -> None:
        self._run("put_silence", **rows.silence_row(silence))

    def see_process(self, process: str, now: float) -> None:
        """Nobody is counted: who shares this store was started by one supervisor, which knows how many."""

    def shared_limits(self) -> SharedLimits:
        return rows.shared_limits_from([self._all(name) for name in rows.SHARED_LIMITS], processes=1)

    def probe(self, now: float) -> None:
        self._run("probe", written_at=now)

    def _places(self) -> list[tuple[str, State, int]]:
        return [(row["destination"], State(row["state"]), row["jobs"]) for row in self._all("job_counts")]

    def _last_seq(self, table: str) -> int:
        row = self._one("last_seq_of_table", name=table)
        return 0 if row is None else int(row["seq"])

    def _one(self, query: str, **parameters: object) -> rows.Row:
        return self.connection.execute(self._queries[query], parameters).fetchone()

    def _all(self, query: str, **parameters: object) -> list[rows.Row]:
        return self.connection.execute(self._queries[query], parameters).fetchall()

    def _run(self, query: str, **parameters: object) -> int:
        """How many rows it changed."""
        return self.connection.execute(self._queries[query], parameters).rowcount

    def _many(self, query: str, parameters: Iterable[Mapping[str, object]]) -> None:
        self.connection.executemany(self._queries[query], list(parameters))
