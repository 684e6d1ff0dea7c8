"""Turns rows into values and values into rows. JSON is stored as text, and a job's error in three columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import asdict

from streamwarm.backlog.core.push_plan import options_text
from streamwarm.backlog.core.tables import MediaQuery, MediaStatus
from streamwarm.backlog.core.transitions import StoredJob
from streamwarm.backlog.shared_limits import Cooldown, MovedLane, SharedLimits, SourcePause, UserPause
from streamwarm.backlog.store import Counts
from streamwarm.errors import ErrorCode, JobError
from streamwarm.model import (
    AttemptRecord,
    Event,
    Holder,
    Job,
    JsonObject,
    Kind,
    MediaKey,
    Outcome,
    QueuedJob,
    State,
    WarmRecord,
)
from streamwarm.priority import base_score

Row = Any
"""A `sqlite3.Row`, or any other mapping from column to value."""


def job_from(row: Row) -> Job:
    return Job(
        seq=row["seq"],
        id=row["id"],
        destination=row["destination"],
        kind=Kind(row["kind"]),
        r2_key=row["r2_key"],
        sha256=row["sha256"],
        bytes=row["bytes"],
        options=json.loads(row["options"]),
        state=State(row["state"]),
        attempt=row["attempt"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        retry_at=row["retry_at"],
        result=_json_from(row["result"]),
        error=error_from(row),
        possible_duplicate=bool(row["possible_duplicate"]),
        first_failed_at=row["first_failed_at"],
    )


def stored_job_from(row: Row) -> StoredJob:
    return StoredJob(
        job_from(row),
        row["queued_at"],
        row["lease_token"],
        row["lease_expires_at"],
        departed=bool(row["departed"]),
        tries=row["tries"],
        holder=None if row["host"] is None else Holder(row["host"], row["process"]),
    )


def queued_job_from(row: Row) -> QueuedJob:
    return QueuedJob(
        row["seq"], row["id"], row["destination"], Kind(row["kind"]), row["bytes"], row["queued_at"], row["r2_key"]
    )


def job_row(stored: StoredJob) -> dict[str, object]:
    """All columns of a job."""
    job = stored.job
    return {
        "seq": job.seq,
        "id": job.id,
        "destination": job.destination,
        "kind": job.kind.value,
        "r2_key": job.r2_key,
        "sha256": job.sha256,
        "bytes": job.bytes,
        "options": options_text(job.options),
        "media_reference": job.media_key.reference,
        "base_score": base_score(job.kind, job.bytes),
        "created_at": job.created_at,
        **changing_columns(stored),
    }


def changing_columns(stored: StoredJob) -> dict[str, object]:
    """The columns that a change of state may write, and the `seq` by which the row is found."""
    job = stored.job
    return {
        "seq": job.seq,
        "state": job.state.value,
        "attempt": job.attempt,
        "updated_at": job.updated_at,
        "queued_at": stored.queued_at,
        "retry_at": job.retry_at,
        "lease_token": stored.lease_token,
        "lease_expires_at": stored.lease_expires_at,
        "result": json_text(job.result),
        "possible_duplicate": job.possible_duplicate,
        "departed": stored.departed,
        "first_failed_at": job.first_failed_at,
        "tries": stored.tries,
        "host": stored.holder and stored.holder.host,
        "process": stored.holder and stored.holder.process,
        **error_columns(job.error),
    }


def event_from(row: Row) -> Event:
    return Event(
        seq=row["seq"],
        id=row["job_id"],
        state=State(row["state"]),
        at=row["at"],
        attempt=row["attempt"],
        destination=row["destination"],
        kind=Kind(row["kind"]),
        r2_key=row["r2_key"],
        result=_json_from(row["result"]),
        error=error_from(row),
        retry_at=row["retry_at"],
    )


def event_row(event: Event) -> dict[str, object]:
    return {
        "job_id": event.id,
        "state": event.state.value,
        "at": event.at,
        "attempt": event.attempt,
        "destination": event.destination,
        "kind": event.kind.value,
        "r2_key": event.r2_key,
        "result": json_text(event.result),
        "retry_at": event.retry_at,
        **error_columns(event.error),
    }


def attempt_from(row: Row) -> AttemptRecord:
    return AttemptRecord(
        job_id=row["job_id"],
        number=row["number"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        host=row["host"],
        process=row["process"],
        worker=row["worker"],
        lane=row["lane"],
        bytes=row["bytes"],
        outcome=Outcome(row["outcome"]),
        error=error_from(row),
    )


def attempt_row(attempt: AttemptRecord) -> dict[str, object]:
    columns = {**asdict(attempt, recurse=False), **error_columns(attempt.error)}
    del columns["error"]
    return columns


def record_from(row: Row) -> WarmRecord:
    return WarmRecord(
        destination=row["destination"],
        kind=Kind(row["kind"]),
        r2_key=row["r2_key"],
        sha256=row["sha256"],
        bytes=row["bytes"],
        result=json.loads(row["result"]),
        job_id=row["job_id"],
        warmed_at=row["updated_at"],
    )


def newest_record(*found: Row | None) -> WarmRecord | None:
    """The record that was warmed last, or None if there is none."""
    row = min((row for row in found if row is not None), key=lambda row: (-row["updated_at"], row["id"]), default=None)
    return None if row is None else record_from(row)


def record_row(key: MediaKey, record: WarmRecord) -> dict[str, object]:
    return {
        **key_row(key),
        "r2_key": record.r2_key,
        "sha256": record.sha256,
        "bytes": record.bytes,
        "result": json_text(record.result),
        "job_id": record.job_id,
        "updated_at": record.warmed_at,
    }


def mark_row(job: Job, status: MediaStatus) -> dict[str, object]:
    """A `media_cache` row that has a status and no record."""
    return {
        **key_row(job.media_key),
        "status": status.value,
        "r2_key": job.r2_key,
        "job_id": job.id,
        "updated_at": job.updated_at,
    }


def scope_row(query: MediaQuery) -> dict[str, object]:
    """The destination and kind within which `query` finds records by digest or object name."""
    return {"destination": query.key.destination, "kind": query.key.kind.value}


SHARED_LIMITS = ("pauses", "mends", "moved_lanes", "silences", "lease_of_source")
"""The queries whose rows `shared_limits_from` takes, in that order."""


def shared_limits_from(found: Sequence[Sequence[Row]], processes: int) -> SharedLimits:
    """An empty name stands for the whole service or destination: a primary key cannot be null."""
    pauses, resumes, moved_lanes, cooldowns, source = found
    resumed = {row["destination"]: row["number"] for row in resumes}
    return SharedLimits(
        pauses=[UserPause(row["destination"] or None, row["until"], row["paused_at"]) for row in pauses],
        resumes={name: number for name, number in resumed.items() if name},
        service_resumes=resumed.get("", 0),
        moved_lanes=[MovedLane(row["destination"], row["lane"], row["address"]) for row in moved_lanes],
        cooldowns=[Cooldown(row["destination"], row["lane"] or None, row["until"], row["reason"]) for row in cooldowns],
        source=SourcePause.from_place(source[0]["place"]) if source else None,
        processes=processes,
    )


def cooldown_row(cooldown: Cooldown) -> dict[str, object]:
    return {**asdict(cooldown), "lane": cooldown.lane or ""}


def pause_row(pause: UserPause) -> dict[str, object]:
    return {"destination": pause.destination or "", "until": pause.until, "paused_at": pause.paused_at}


def key_row(key: MediaKey) -> dict[str, object]:
    return {
        "destination": key.destination,
        "kind": key.kind.value,
        "media_reference": key.reference,
    }


def json_text(value: JsonObject | None) -> str | None:
    return None if value is None else _ENCODER.encode(dict(value))


_ENCODER = json.JSONEncoder(separators=(",", ":"))


def counts_of(rows: Iterable[tuple[str, State, int]], oldest_queued_at: float | None) -> Counts:
    """Counts from `(destination, state, jobs)`. A state without jobs is counted as 0, so that a gauge falls to 0."""
    by_state = dict.fromkeys(State, 0)
    by_destination: dict[str, dict[State, int]] = {}
    for destination, state, jobs in rows:
        by_state[state] += jobs
        by_destination.setdefault(destination, dict.fromkeys(State, 0))[state] += jobs
    return Counts(by_state, by_destination, oldest_queued_at)


def _json_from(text: str | None) -> JsonObject | None:
    if text is None:
        return None
    value: Mapping[str, Any] = json.loads(text)
    return value


def error_from(row: Row) -> JobError | None:
    if row["error_code"] is None:
        return None
    return JobError(ErrorCode(row["error_code"]), row["error_message"], bool(row["error_permanent"]))


def error_columns(error: JobError | None) -> dict[str, object]:
    return {
        "error_code": error and error.code.value,
        "error_message": error and error.message,
        "error_permanent": error and error.permanent,
    }
