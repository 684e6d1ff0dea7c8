"""The shapes of the contract as JSON Schema (2020-12), for `openapi.py`."""

from __future__ import annotations

from typing import Any

from streamwarm.accept.wire.fields import LATEST, MAX_ID_CHARACTERS
from streamwarm.accept.wire.json_text import MAX_INTEGER
from streamwarm.accept.wire.requests import MAX_JOBS, MAX_LIMIT
from streamwarm.errors import ErrorCode
from streamwarm.model import Kind, State


def ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: dict[str, Any], *, required: tuple[str, ...] = (), closed: bool = False) -> dict[str, Any]:
    """`closed` where streamwarm reads it: an unknown key is refused. What it writes may gain members."""
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = list(required)
    return schema | ({"additionalProperties": False} if closed else {})


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _each_step(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": _or_null(schema), "description": "Oldest first; null where there is none."}


_TEXT = {"type": "string"}
_NAME = {"type": "string", "minLength": 1}
_COUNT = {"type": "integer", "minimum": 0, "maximum": MAX_INTEGER}
_AT = {"type": "string", "format": "date-time"}
_UNTIL = {
    "anyOf": [
        {"type": "number", "minimum": 0, "maximum": LATEST, "description": "Unix seconds."},
        {**_AT, "description": "RFC 3339 with an offset."},
        {"type": "null"},
    ]
}
_KIND = {"enum": [kind.value for kind in Kind]}
_STATE = {"enum": [state.value for state in State]}
_SHA256 = {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}
_RESULT = {"type": "object", "description": "For Telegram: file_id, file_unique_id, kind, chat_id, message_id, …"}
_ID = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_ID_CHARACTERS,
    "pattern": "^[ -~]+$",
    "description": "Printable characters; others than ASCII are taken too.",
}

_JOB_VIEW = {
    "id": _TEXT,
    "state": _STATE,
    "destination": _TEXT,
    "kind": _KIND,
    "r2_key": _TEXT,
    "sha256": _or_null(_SHA256),
    "bytes": _or_null(_COUNT),
    "options": {"type": "object"},
    "attempt": _COUNT,
    "possible_duplicate": {"type": "boolean"},
    "created_at": _AT,
    "updated_at": _AT,
}

_OUTCOME = {"result": _RESULT, "error": ref("JobError"), "retry_at": _AT}

EVENT = _object(
    {
        "seq": _COUNT,
        "id": _TEXT,
        "state": ref("State"),
        "at": _AT,
        "attempt": _COUNT,
        "destination": _TEXT,
        "kind": ref("Kind"),
        "r2_key": _TEXT,
        **_OUTCOME,
    },
    required=("seq", "id", "state", "at", "attempt", "destination", "kind", "r2_key"),
)
"""The params of the notification `event`."""

PROGRESS = _object(
    {"id": _TEXT, "bytes_in": _COUNT, "bytes_out": _COUNT, "total": _or_null(_COUNT)},
    required=("id", "bytes_in", "bytes_out", "total"),
)

SCHEMAS: dict[str, Any] = {
    "Id": _ID,
    "Kind": _KIND,
    "State": _STATE,
    "Sha256": _SHA256,
    "NewJob": _object(
        {
            "destination": _NAME,
            "kind": _KIND,
            "r2_key": {**_NAME, "description": "At most 1024 bytes of UTF-8."},
            "sha256": _or_null(_SHA256),
            "bytes": _or_null(_COUNT),
            "id": _or_null(ref("Id")),
            "options": {"type": ["object", "null"]},
        },
        required=("destination", "kind", "r2_key"),
        closed=True,
    ),
    "Push": _object(
        {
            "jobs": {
                "type": "array",
                "maxItems": MAX_JOBS,
                "items": {},
                "description": "Each a NewJob, judged on its own: a bad one is told in `rejected`.",
                "examples": [[{"destination": "mybot", "kind": "video", "r2_key": "media/intro.mp4"}]],
            },
            "watch": {"type": "boolean", "default": True, "description": "Means nothing over HTTP."},
        },
        required=("jobs",),
        closed=True,
    ),
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
    "Page": _object(
        {"jobs": {"type": "array", "items": ref("Job")}, "next": _or_null(_COUNT)}, required=("jobs", "next")
    ),
    "ChangeJobs": {
        "oneOf": [
            _object(
                {"ids": {"type": "array", "maxItems": MAX_LIMIT, "items": ref("Id")}}, required=("ids",), closed=True
            ),
            {
                **_object(
                    {
                        "ids": {"type": "null"},
                        "state": _or_null(_STATE),
                        "destination": _or_null(_NAME),
                        "limit": _or_null({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}),
                        "after": _or_null(_COUNT),
                    },
                    closed=True,
                ),
                "anyOf": [
                    _object({"state": _STATE}, required=("state",)),
                    _object({"destination": _NAME}, required=("destination",)),
                ],
            },
        ]
    },
    "Changed": _object(
        {"matched": _COUNT, "changed": _COUNT, "next": _or_null(_COUNT)}, required=("matched", "changed", "next")
    ),
    "WarmRecord": _object(
        {
            "destination": _TEXT,
            "kind": _KIND,
            "r2_key": _TEXT,
            "sha256": _or_null(_SHA256),
            "bytes": _or_null(_COUNT),
            "result": _RESULT,
            "job_id": _TEXT,
            "warmed_at": _AT,
            "file_id": {**_TEXT, "description": "Telegram: what to send by. The whole result stands here too."},
        },
        required=("destination", "kind", "r2_key", "sha256", "bytes", "result", "job_id", "warmed_at"),
    ),
    "Forgotten": _object({"forgotten": {"type": "boolean"}}, required=("forgotten",)),
    "Pause": _object({"destination": _or_null(_NAME), "until": {**_UNTIL, "description": "To come."}}, closed=True),
    "Resume": _object(
        {"destination": _or_null(_NAME), "until": {**_UNTIL, "description": "Changes nothing: it ends at once."}},
        closed=True,
    ),
    "PauseView": _or_null(
        _object(
            {
                "until": _or_null(_AT),
                "reason": _TEXT,
                "by": {"enum": ["user", "destination"]},
                "mendable": {"type": "boolean", "description": "`resume` ends it early: once its reason is mended."},
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
        },
        required=("chat", "in_flight", "last_minute", "paused"),
    ),
    "Stats": _object(
        {
            "at": _AT,
            "paused": ref("PauseView"),
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
                        "queue": {"type": "object"},
                        "paused": ref("PauseView"),
                        "limits": {"type": "object", "additionalProperties": {"type": "number"}},
                        "chats": {"type": "array", "items": ref("ChatView")},
                        "next_at": _or_null(_AT),
                        "eta_s": _or_null(_COUNT),
                        "hint": _or_null(_TEXT),
                    },
                    required=("type", "queue", "paused"),
                ),
            },
            "history": ref("History"),
        },
        required=("at", "paused", "queue", "workers", "pool", "cache", "destinations", "history"),
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
