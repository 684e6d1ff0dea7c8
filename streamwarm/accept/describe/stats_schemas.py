"""The answer of `stats` as JSON Schema, and what every description of an answer is made of. Pure."""

from __future__ import annotations

from typing import Any

from streamwarm.accept.wire.fields import or_null, ref
from streamwarm.accept.wire.table import COUNT
from streamwarm.warm_record import SourceState

TEXT = {"type": "string"}
TIME = {"type": "string", "format": "date-time"}
_COUNT = COUNT.schema()


def object_of(properties: dict[str, Any], *, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """An object that streamwarm writes. It is not closed: later versions may add members."""
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    return schema | ({"required": list(required)} if required else {})


def _each_step(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": or_null(schema), "description": "Oldest first; null if there is none."}


_RECORD_COUNTS = object_of({state.value: _COUNT for state in SourceState})

_PAUSES_BY_KIND = {
    "type": "object",
    "additionalProperties": ref("PauseView"),
    "description": "Kinds that are not taken, each with its pause; absent if all are.",
}

STATS_SCHEMAS: dict[str, Any] = {
    "PauseView": or_null(
        object_of(
            {
                "until": or_null(TIME),
                "reason": TEXT,
                "by": {"enum": ["user", "destination", "source"]},
                "mendable": {"type": "boolean", "description": "`resume` ends it early, once its cause is fixed."},
            },
            required=("until", "reason", "by"),
        )
    ),
    "ChatView": object_of(
        {
            "chat": TEXT,
            "moved_to": TEXT,
            "in_flight": _COUNT,
            "last_minute": _COUNT,
            "paused": ref("PauseView"),
            "refused": _PAUSES_BY_KIND,
        },
        required=("chat", "in_flight", "last_minute", "paused"),
    ),
    "Stats": object_of(
        {
            "at": TIME,
            "paused": ref("PauseView"),
            "source": object_of({"bucket": TEXT, "paused": ref("PauseView")}, required=("bucket", "paused")),
            "queue": {"type": "object", "additionalProperties": {"type": "number"}},
            "records": _RECORD_COUNTS,
            "workers": object_of(
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
                "additionalProperties": object_of(
                    {
                        "type": TEXT,
                        "account": TEXT,
                        "queue": {"type": "object"},
                        "records": _RECORD_COUNTS,
                        "paused": ref("PauseView"),
                        "paused_kinds": _PAUSES_BY_KIND,
                        "limits": {"type": "object", "additionalProperties": {"type": "number"}},
                        "chats": {"type": "array", "items": ref("ChatView")},
                        "next_at": or_null(TIME),
                        "eta_s": or_null(_COUNT),
                        "hint": or_null(TEXT),
                    },
                    required=("type", "account", "queue", "records", "paused"),
                ),
            },
            "odd_rows": _COUNT,
            "history": ref("History"),
        },
        required=(
            *("at", "paused", "source", "queue", "records", "odd_rows", "workers", "pool", "cache", "destinations"),
            "history",
        ),
    ),
    "History": object_of(
        {
            "starts_at": TIME,
            "step_s": _COUNT,
            **{name: _each_step(_COUNT) for name in ("bytes", "done", "failed")},
            **{name: _each_step({"type": "number"}) for name in ("warm_p50_s", "warm_p95_s")},
        },
        required=("starts_at", "step_s", "bytes", "done", "failed", "warm_p50_s", "warm_p95_s"),
    ),
}
"""Components by name."""
