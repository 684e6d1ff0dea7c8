"""Jobs, events and warm records as the JSON objects that clients get. Times are RFC 3339, UTC, milliseconds. Pure.

Members that the contract calls optional are left out while they are unknown; they are never null.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from streamwarm.attempts import AttemptRecord
from streamwarm.errors import JobError
from streamwarm.model import Event, Job, JsonObject, Progress
from streamwarm.warm_record import WarmRecord


def rfc3339(at: float) -> str:
    """Unix seconds as `2026-01-02T03:04:05.678Z`."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def job_view(job: Job) -> JsonObject:
    """What `get`, `list`, `cancel` and `retry` answer."""
    view: dict[str, Any] = {
        "id": job.id,
        "state": job.state,
        "destination": job.destination,
        "kind": job.kind,
        "r2_key": job.r2_key,
        "sha256": job.sha256,
        "bytes": job.bytes,
        "options": job.options,
        "attempt": job.attempt,
        "possible_duplicate": job.possible_duplicate,
        "created_at": rfc3339(job.created_at),
        "updated_at": rfc3339(job.updated_at),
    }
    return view | _outcome(job.result, job.error, job.retry_at)


def attempts_view(attempts: Sequence[AttemptRecord]) -> JsonObject:
    """What `attempts` answers, by number. Every member is there; it is null while it is not known."""
    return {"attempts": [_attempt_view(attempt) for attempt in attempts]}


def _attempt_view(attempt: AttemptRecord) -> JsonObject:
    return {
        "number": attempt.number,
        "started_at": rfc3339(attempt.started_at),
        "ended_at": None if attempt.ended_at is None else rfc3339(attempt.ended_at),
        "host": attempt.host,
        "process": attempt.process,
        "worker": attempt.worker,
        "chat": attempt.lane,
        "bytes": attempt.bytes,
        "outcome": attempt.outcome,
        "error": None if attempt.error is None else _error_view(attempt.error),
    }


def event_view(event: Event) -> JsonObject:
    """The params of the notification `event`."""
    view: dict[str, Any] = {
        "seq": event.seq,
        "id": event.id,
        "state": event.state,
        "at": rfc3339(event.at),
        "attempt": event.attempt,
        "destination": event.destination,
        "kind": event.kind,
        "r2_key": event.r2_key,
    }
    return view | _outcome(event.result, event.error, event.retry_at)


def progress_view(progress: Progress) -> JsonObject:
    """The params of the notification `progress`; `total` is null until the object's size is known."""
    return {
        "id": progress.id,
        "bytes_in": progress.bytes_in,
        "bytes_out": progress.bytes_out,
        "total": progress.total,
    }


def record_view(record: WarmRecord) -> JsonObject:
    """What `find`, `records` and `GET /v1/media/…` answer. The reference is also at the top level, where a bot reads
    `file_id`.

    There `kind` is the kind that was asked for; in `result` it is the kind that the destination returned. What an
    import did not know is null.
    """
    return {
        **record.result,
        "destination": record.destination,
        "kind": record.kind,
        "r2_key": record.r2_key,
        "sha256": record.sha256,
        "bytes": record.bytes or None,
        "source_etag": record.source_etag,
        "account": record.account,
        "options": record.options,
        "result": record.result,
        "job_id": record.job_id or None,
        "warmed_at": rfc3339(record.warmed_at),
        "checked_at": None if record.checked_at is None else rfc3339(record.checked_at),
        "source_state": record.source_state,
    }


def _outcome(result: JsonObject | None, error: JobError | None, retry_at: float | None) -> dict[str, Any]:
    outcome: dict[str, Any] = {}
    if result is not None:
        outcome["result"] = result
    if error is not None:
        outcome["error"] = _error_view(error)
    if retry_at is not None:
        outcome["retry_at"] = rfc3339(retry_at)
    return outcome


def _error_view(error: JobError) -> JsonObject:
    return {"code": error.code, "message": error.message, "permanent": error.permanent}
