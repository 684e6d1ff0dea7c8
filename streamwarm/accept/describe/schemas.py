"""The contract's objects as JSON Schema (2020-12), for both documents. Pure.

Objects that streamwarm reads come from `wire/table.py`, which also checks them. Objects that it writes (`views.py`) are
described here.
"""

from __future__ import annotations

from typing import Any

from streamwarm.accept.wire.fields import Field, or_null, ref
from streamwarm.accept.wire.table import COMPONENTS, COUNT, DIGEST, KIND, STATE
from streamwarm.attempts import Outcome
from streamwarm.errors import ErrorCode
from streamwarm.model import MediaWarning, SourceState


def _object(properties: dict[str, Any], *, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """An object that streamwarm writes. It is not closed: later versions may add members."""
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    return schema | ({"required": list(required)} if required else {})


def _each_step(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": or_null(schema), "description": "Oldest first; null if there is none."}


_TEXT = {"type": "string"}
_COUNT = COUNT.schema()
_AT = {"type": "string", "format": "date-time"}
_KIND = KIND.schema()
_STATE = STATE.schema()
_SHA256 = DIGEST.schema()
_MEDIA = _object(
    {"width": _COUNT, "height": _COUNT, "duration": _COUNT, "file_name": _TEXT, "has_thumbnail": {"type": "boolean"}},
    required=("has_thumbnail",),
)
_RESULT = _object(
    {
        "media": _MEDIA | {"description": "For Telegram: what it knows of the file, as it answered."},
        "warnings": {
            "type": "array",
            "items": {"enum": [warning.value for warning in MediaWarning]},
            "description": "For Telegram: what went less than well. Empty if nothing did.",
        },
    }
) | {"description": "For Telegram: file_id, file_unique_id, kind, chat_id, message_id, …"}

_PAUSES_BY_KIND = {
    "type": "object",
    "additionalProperties": ref("PauseView"),
    "description": "Kinds that are not taken, each with its pause; absent if all are.",
}

_JOB_VIEW = {
    "id": _TEXT,
    "state": _STATE,
    "destination": _TEXT,
    "kind": _KIND,
    "r2_key": _TEXT,
    "sha256": or_null(_SHA256),
    "bytes": or_null(_COUNT),
    "options": {"type": "object"},
    "attempt": _COUNT,
    "possible_duplicate": {"type": "boolean"},
    "created_at": _AT,
    "updated_at": _AT,
}

_RECORD_VIEW = {
    "destination": _TEXT,
    "kind": _KIND,
    "r2_key": _TEXT,
    "sha256": or_null(_SHA256),
    "bytes": or_null(_COUNT),
    "source_etag": or_null(_TEXT),
    "account": _TEXT,
    "options": {"type": "object"},
    "result": _RESULT,
    "job_id": or_null(_TEXT) | {"description": "Null for an imported record."},
    "warmed_at": _AT,
    "checked_at": or_null(_AT) | {"description": "When it was last compared with its object."},
    "source_state": {"enum": [state.value for state in SourceState]},
}

_DOUBTED = {
    "type": "array",
    "items": _object({"record": ref("WarmRecord"), "why": _TEXT}, required=("record", "why")),
}

_OUTCOME = {"result": _RESULT, "error": ref("JobError"), "retry_at": _AT}

_ATTEMPT = {
    "number": _COUNT | {"description": "Attempts that did not count against queue.max_attempts have one too."},
    "started_at": _AT,
    "ended_at": or_null(_AT) | {"description": "Null while it runs."},
    "host": or_null(_TEXT),
    "process": or_null(_COUNT),
    "worker": or_null(_COUNT),
    "chat": or_null(_TEXT),
    "bytes": or_null(_COUNT) | {"description": "Sent to the destination."},
    "outcome": or_null({"enum": [outcome.value for outcome in Outcome]}),
    "error": or_null(ref("JobError")),
}

EVENT = _object(
    {
        "seq": _COUNT,
        "id": _TEXT,
        "state": _STATE,
        "at": _AT,
        "attempt": _COUNT,
        "destination": _TEXT,
        "kind": _KIND,
        "r2_key": _TEXT,
        **_OUTCOME,
    },
    required=("seq", "id", "state", "at", "attempt", "destination", "kind", "r2_key"),
)
"""The params of the notification `event`."""

PROGRESS = _object(
    {"id": _TEXT, "bytes_in": _COUNT, "bytes_out": _COUNT, "total": or_null(_COUNT)},
    required=("id", "bytes_in", "bytes_out", "total"),
)

SCHEMAS: dict[str, Any] = {
    **{name: one.rule() if isinstance(one, Field) else one.definition() for name, one in COMPONENTS.items()},
    "PushAnswer": _object(
        {
            "accepted": {
                "type": "array",
                "items": _object(
                    {
                        "index": _COUNT,
                        "id": _TEXT,
                        "state": _STATE,
                        "duplicate": {"type": "boolean"},
                        "result": _RESULT,
                    },
                    required=("index", "id", "state", "duplicate"),
                ),
            },
            "rejected": {
                "type": "array",
                "items": _object(
                    {
                        "index": _COUNT,
                        "code": _TEXT,
                        "message": _TEXT,
                        "retry_after_s": {"type": "number", "description": "With `queue_full`."},
                    },
                    required=("index", "code", "message"),
                ),
            },
        },
        required=("accepted", "rejected"),
    ),
    "Job": _object({**_JOB_VIEW, **_OUTCOME}, required=tuple(_JOB_VIEW)),
    "JobError": _object(
        {"code": {"enum": [code.value for code in ErrorCode]}, "message": _TEXT, "permanent": {"type": "boolean"}},
        required=("code", "message", "permanent"),
    ),
    "Attempts": _object(
        {"attempts": {"type": "array", "items": _object(_ATTEMPT, required=tuple(_ATTEMPT))}}, required=("attempts",)
    ),
    "Page": _object(
        {"jobs": {"type": "array", "items": ref("Job")}, "next": or_null(_COUNT)}, required=("jobs", "next")
    ),
    "Changed": _object(
        {"matched": _COUNT, "changed": _COUNT, "next": or_null(_COUNT)}, required=("matched", "changed", "next")
    ),
    "WarmRecord": _object(
        {
            **_RECORD_VIEW,
            "file_id": {
                **_TEXT,
                "description": "Telegram: what a bot sends. `result` is repeated here.",
            },
        },
        required=tuple(_RECORD_VIEW),
    ),
    "RecordPage": _object(
        {
            "records": {"type": "array", "items": ref("WarmRecord")},
            "next": or_null(_TEXT) | {"description": "`after` of the next page; null on the last one."},
        },
        required=("records", "next"),
    ),
    "Reported": _object(
        {
            "requeued": {"type": "boolean", "description": "The object is warmed anew, by `job`."},
            "job": ref("Job"),
            "record": ref("WarmRecord"),
        },
        required=("requeued",),
    ),
    "Imported": _object(
        {
            "imported": _COUNT,
            "refused": {
                "type": "array",
                "items": _object({"index": _COUNT, "message": _TEXT}, required=("index", "message")),
            },
        },
        required=("imported", "refused"),
    ),
    "Verified": _object(
        {
            "good": _COUNT,
            "bad": _DOUBTED,
            "unproven": _DOUBTED,
            "next": or_null(_TEXT) | {"description": "`after` of the next page; null on the last one."},
            "stopped": _object(
                {"message": _TEXT, "retry_after_s": {"type": "number"}},
                required=("message",),
            ),
        },
        required=("good", "bad", "unproven", "next"),
    ),
    "Forgotten": _object({"forgotten": {"type": "boolean"}}, required=("forgotten",)),
    "PauseView": or_null(
        _object(
            {
                "until": or_null(_AT),
                "reason": _TEXT,
                "by": {"enum": ["user", "destination", "source"]},
                "mendable": {"type": "boolean", "description": "`resume` ends it early, once its cause is fixed."},
            },
            required=("until", "reason", "by"),
        )
    ),
    "ChatView": _object(
        {
            "chat": _TEXT,
            "moved_to": _TEXT,
            "in_flight": _COUNT,
            "last_minute": _COUNT,
            "paused": ref("PauseView"),
            "refused": _PAUSES_BY_KIND,
        },
        required=("chat", "in_flight", "last_minute", "paused"),
    ),
    "Stats": _object(
        {
            "at": _AT,
            "paused": ref("PauseView"),
            "source": _object({"bucket": _TEXT, "paused": ref("PauseView")}, required=("bucket", "paused")),
            "queue": {"type": "object", "additionalProperties": {"type": "number"}},
            "workers": _object(
                {
                    "size": _COUNT,
                    "busy": _COUNT,
                    "busy_peak": _COUNT,
                    "streams": {"type": "array", "items": {"type": "object"}},
                },
                required=("size", "busy", "busy_peak", "streams"),
            ),
            "pool": {"type": "object"},
            "cache": {"type": "object"},
            "destinations": {
                "type": "object",
                "additionalProperties": _object(
                    {
                        "type": _TEXT,
                        "account": _TEXT,
                        "queue": {"type": "object"},
                        "paused": ref("PauseView"),
                        "paused_kinds": _PAUSES_BY_KIND,
                        "limits": {"type": "object", "additionalProperties": {"type": "number"}},
                        "chats": {"type": "array", "items": ref("ChatView")},
                        "next_at": or_null(_AT),
                        "eta_s": or_null(_COUNT),
                        "hint": or_null(_TEXT),
                    },
                    required=("type", "account", "queue", "paused"),
                ),
            },
            "odd_rows": _COUNT,
            "history": ref("History"),
        },
        required=("at", "paused", "source", "queue", "odd_rows", "workers", "pool", "cache", "destinations", "history"),
    ),
    "History": _object(
        {
            "starts_at": _AT,
            "step_s": _COUNT,
            **{name: _each_step(_COUNT) for name in ("bytes", "done", "failed")},
            **{name: _each_step({"type": "number"}) for name in ("warm_p50_s", "warm_p95_s")},
        },
        required=("starts_at", "step_s", "bytes", "done", "failed", "warm_p50_s", "warm_p95_s"),
    ),
    "Problem": _object(
        {
            "type": _TEXT,
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": _TEXT,
            "retry_after_s": {"type": "number"},
        },
        required=("type", "title", "status", "detail"),
    )
    | {"description": "RFC 9457"},
}
