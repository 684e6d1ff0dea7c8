"""The contract's objects as JSON Schema (2020-12), for both documents. Pure.

Objects that streamwarm reads come from `wire/table.py`, which also checks them. Objects that it writes (`views.py`) are
described here.
"""

from __future__ import annotations

from typing import Any

from streamwarm.accept.describe.stats_schemas import STATS_SCHEMAS, TEXT, TIME, object_of
from streamwarm.accept.wire.fields import Field, or_null, ref
from streamwarm.accept.wire.table import COMPONENTS, COUNT, DIGEST, KIND, STATE
from streamwarm.attempts import Outcome
from streamwarm.errors import ErrorCode
from streamwarm.warm_record import MediaWarning, SourceState

_COUNT = COUNT.schema()
_KIND = KIND.schema()
_STATE = STATE.schema()
_SHA256 = DIGEST.schema()
_MEDIA = object_of(
    {"width": _COUNT, "height": _COUNT, "duration": _COUNT, "file_name": TEXT, "has_thumbnail": {"type": "boolean"}},
    required=("has_thumbnail",),
)
_RESULT = object_of(
    {
        "media": _MEDIA | {"description": "For Telegram: what it knows of the file, as it answered."},
        "warnings": {
            "type": "array",
            "items": {"enum": [warning.value for warning in MediaWarning]},
            "description": "For Telegram: what went less than well. Empty if nothing did.",
        },
    }
) | {"description": "For Telegram: file_id, file_unique_id, kind, chat_id, message_id, …"}

_JOB_VIEW = {
    "id": TEXT,
    "state": _STATE,
    "destination": TEXT,
    "kind": _KIND,
    "r2_key": TEXT,
    "sha256": or_null(_SHA256),
    "bytes": or_null(_COUNT),
    "options": {"type": "object"},
    "attempt": _COUNT,
    "possible_duplicate": {"type": "boolean"},
    "created_at": TIME,
    "updated_at": TIME,
}

_RECORD_VIEW = {
    "destination": TEXT,
    "kind": _KIND,
    "r2_key": TEXT,
    "sha256": or_null(_SHA256),
    "bytes": or_null(_COUNT),
    "source_etag": or_null(TEXT),
    "account": TEXT,
    "options": {"type": "object"},
    "result": _RESULT,
    "job_id": or_null(TEXT) | {"description": "Null for an imported record."},
    "warmed_at": TIME,
    "checked_at": or_null(TIME) | {"description": "When it was last compared with its object."},
    "source_state": {"enum": [state.value for state in SourceState]},
}

_DOUBTED = {
    "type": "array",
    "items": object_of({"record": ref("WarmRecord"), "why": TEXT}, required=("record", "why")),
}

_OUTCOME = {"result": _RESULT, "error": ref("JobError"), "retry_at": TIME}

_ATTEMPT = {
    "number": _COUNT | {"description": "Attempts that did not count against queue.max_attempts have one too."},
    "started_at": TIME,
    "ended_at": or_null(TIME) | {"description": "Null while it runs."},
    "host": or_null(TEXT),
    "process": or_null(_COUNT),
    "worker": or_null(_COUNT),
    "chat": or_null(TEXT),
    "bytes": or_null(_COUNT) | {"description": "Sent to the destination."},
    "outcome": or_null({"enum": [outcome.value for outcome in Outcome]}),
    "error": or_null(ref("JobError")),
}

EVENT = object_of(
    {
        "seq": _COUNT,
        "id": TEXT,
        "state": _STATE,
        "at": TIME,
        "attempt": _COUNT,
        "destination": TEXT,
        "kind": _KIND,
        "r2_key": TEXT,
        **_OUTCOME,
    },
    required=("seq", "id", "state", "at", "attempt", "destination", "kind", "r2_key"),
)
"""The params of the notification `event`."""

PROGRESS = object_of(
    {"id": TEXT, "bytes_in": _COUNT, "bytes_out": _COUNT, "total": or_null(_COUNT)},
    required=("id", "bytes_in", "bytes_out", "total"),
)

SCHEMAS: dict[str, Any] = {
    **{name: one.rule() if isinstance(one, Field) else one.definition() for name, one in COMPONENTS.items()},
    "PushAnswer": object_of(
        {
            "accepted": {
                "type": "array",
                "items": object_of(
                    {
                        "index": _COUNT,
                        "id": TEXT,
                        "state": _STATE,
                        "duplicate": {"type": "boolean"},
                        "result": _RESULT,
                    },
                    required=("index", "id", "state", "duplicate"),
                ),
            },
            "rejected": {
                "type": "array",
                "items": object_of(
                    {
                        "index": _COUNT,
                        "code": TEXT,
                        "message": TEXT,
                        "retry_after_s": {"type": "number", "description": "With `queue_full`."},
                    },
                    required=("index", "code", "message"),
                ),
            },
        },
        required=("accepted", "rejected"),
    ),
    "Job": object_of({**_JOB_VIEW, **_OUTCOME}, required=tuple(_JOB_VIEW)),
    "JobError": object_of(
        {"code": {"enum": [code.value for code in ErrorCode]}, "message": TEXT, "permanent": {"type": "boolean"}},
        required=("code", "message", "permanent"),
    ),
    "Attempts": object_of(
        {"attempts": {"type": "array", "items": object_of(_ATTEMPT, required=tuple(_ATTEMPT))}}, required=("attempts",)
    ),
    "Page": object_of(
        {"jobs": {"type": "array", "items": ref("Job")}, "next": or_null(_COUNT)}, required=("jobs", "next")
    ),
    "Changed": object_of(
        {"matched": _COUNT, "changed": _COUNT, "next": or_null(_COUNT)}, required=("matched", "changed", "next")
    ),
    "WarmRecord": object_of(
        {
            **_RECORD_VIEW,
            "file_id": {
                **TEXT,
                "description": "Telegram: what a bot sends. `result` is repeated here.",
            },
        },
        required=tuple(_RECORD_VIEW),
    ),
    "RecordPage": object_of(
        {
            "records": {"type": "array", "items": ref("WarmRecord")},
            "next": or_null(TEXT) | {"description": "`after` of the next page; null on the last one."},
        },
        required=("records", "next"),
    ),
    "Reported": object_of(
        {
            "requeued": {"type": "boolean", "description": "The object is warmed anew, by `job`."},
            "job": ref("Job"),
            "record": ref("WarmRecord"),
        },
        required=("requeued",),
    ),
    "Imported": object_of(
        {
            "imported": _COUNT,
            "refused": {
                "type": "array",
                "items": object_of({"index": _COUNT, "message": TEXT}, required=("index", "message")),
            },
        },
        required=("imported", "refused"),
    ),
    "Verified": object_of(
        {
            "good": _COUNT,
            "bad": _DOUBTED,
            "unproven": _DOUBTED,
            "next": or_null(TEXT) | {"description": "`after` of the next page; null on the last one."},
            "stopped": object_of(
                {"message": TEXT, "retry_after_s": {"type": "number"}},
                required=("message",),
            ),
        },
        required=("good", "bad", "unproven", "next"),
    ),
    "Refreshed": object_of(
        {
            "new": _COUNT | {"description": "Listed objects without a record."},
            "changed": _COUNT | {"description": "Records whose object has another version."},
            "gone": _COUNT | {"description": "Records whose object is not listed."},
            "queued": _COUNT | {"description": "Jobs that warm anew."},
        },
        required=("new", "changed", "gone", "queued"),
    ),
    "Forgotten": object_of({"forgotten": {"type": "boolean"}}, required=("forgotten",)),
    **STATS_SCHEMAS,
    "Problem": object_of(
        {
            "type": TEXT,
            "title": TEXT,
            "status": {"type": "integer"},
            "detail": TEXT,
            "retry_after_s": {"type": "number"},
        },
        required=("type", "title", "status", "detail"),
    )
    | {"description": "RFC 9457"},
}
