"""Turns values into rows; `decode` reads them. JSON is stored as text, and a job's error in three columns."""

from __future__ import annotations

import json
import math

from attrs import asdict

from streamwarm.attempts import AttemptRecord
from streamwarm.backlog.core.push_plan import options_text
from streamwarm.backlog.core.stored_record import StoredRecord
from streamwarm.backlog.core.tables import MediaStatus
from streamwarm.backlog.core.transitions import StoredJob
from streamwarm.backlog.shared_limits import Cooldown, SetAside, UserPause
from streamwarm.errors import JobError
from streamwarm.model import Barred, DigestName, Event, Job, JsonObject, MediaKey, RecordName, WarmRecord
from streamwarm.priority import base_score


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
        "barred": barred_text(job.barred),
        "to_check": stored.to_check,
        "joined_at": stored.joined_at,
        "joined_etag": stored.joined_etag,
        **error_columns(job.error),
    }


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


def attempt_row(attempt: AttemptRecord) -> dict[str, object]:
    columns = {**asdict(attempt, recurse=False), **error_columns(attempt.error)}
    del columns["error"]
    return columns


def compared_row(stored: StoredRecord) -> dict[str, object]:
    record = stored.record
    columns = {"checked_at": record.checked_at, "source_etag": record.source_etag, "opened_at": record.opened_at}
    return {**version_row(record), **columns}


def record_row(stored: StoredRecord) -> dict[str, object]:
    """All columns of a record. A suspect one is not `ready`: no look-up finds it."""
    record = stored.record
    warnings = " ".join(map(str, record.result.get("warnings") or ()))
    return {
        **version_row(record),
        "status": (MediaStatus.READY if stored.suspect_at is None else MediaStatus.ERROR).value,
        "superseded": stored.superseded,
        "source_state": record.source_state.value,
        "sha256": record.sha256,
        "source_etag": record.source_etag,
        "bytes": record.bytes,
        "result": json_text(record.result),
        "options": options_text(record.options),
        "warnings": warnings or None,
        "job_id": record.job_id,
        "opened_at": record.opened_at,
        "checked_at": record.checked_at,
        "suspect_at": stored.suspect_at,
        "reported_at": stored.reported_at,
        "updated_at": record.warmed_at,
    }


def version_row(record: WarmRecord) -> dict[str, object]:
    """What names the row of a record."""
    return {**name_row(record.name), "version": record.version}


def name_row(name: RecordName | DigestName) -> dict[str, object]:
    return {**name._asdict(), "kind": name.kind.value}


def mark_row(job: Job, status: MediaStatus) -> dict[str, object]:
    """A `media_cache` row that has a status and no record."""
    return {**mark_name(job), "status": status.value, "job_id": job.id, "updated_at": job.updated_at}


def mark_name(job: Job) -> dict[str, object]:
    """What names the row that has the status of a job's media key."""
    return {
        "destination": job.destination,
        "kind": job.kind.value,
        "r2_key": job.r2_key,
        "version": f"job:{job.media_key.reference}",
    }


def cooldown_row(cooldown: Cooldown) -> dict[str, object]:
    return {**asdict(cooldown), "lane": cooldown.lane or ""}


def barred_text(barred: Barred) -> str | None:
    """JSON: the lanes, and until when; null is for ever."""
    if not barred.lanes:
        return None
    return json_text({"lanes": sorted(barred.lanes), "until": None if barred.until == math.inf else barred.until})


def set_aside_row(set_aside: SetAside) -> dict[str, object]:
    return {**asdict(set_aside), "kind": set_aside.kind.value if set_aside.kind else ""}


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


def error_columns(error: JobError | None) -> dict[str, object]:
    return {
        "error_code": error and error.code.value,
        "error_message": error and error.message,
        "error_permanent": error and error.permanent,
    }
