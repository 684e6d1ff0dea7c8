"""Records as text for users. Pure: the current time is passed in (Unix seconds)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

HEADINGS = ("destination", "kind", "key", "state", "warmed", "compared", "reference")

_NESTED = (Mapping, list)
_STATES = {
    "current": "current",
    "changed": "CHANGED: the bucket has another version, so this one is old",
    "gone": "GONE: the bucket has no such object any more",
}


def reference_of(result: Mapping[str, Any]) -> str:
    """What a sender uses of a result."""
    return str(result.get("file_id") or result.get("location") or result.get("etag") or dict(result))


def row(record: Mapping[str, Any]) -> tuple[str, ...]:
    names = (record["destination"], record["kind"], record["r2_key"], record["source_state"], record["warmed_at"])
    return (*names, record["checked_at"] or "", reference_of(record["result"]))


def spelled(value: object) -> str:
    """A value of a record or a job as people read it: no brackets, quotes or True; members by their names."""
    if isinstance(value, Mapping):
        shown = [(name, one) for name, one in value.items() if one not in (None, {}, [])]
        return ", ".join(
            f"{name} ({spelled(one)})" if isinstance(one, _NESTED) else f"{name} {spelled(one)}" for name, one in shown
        )
    if isinstance(value, list):
        return ", ".join(spelled(one) for one in value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def age_line(record: Mapping[str, Any], now: float) -> str:
    """How the record stands to its object, and how old that is."""
    state = _STATES.get(record["source_state"], record["source_state"])
    checked_at = record.get("checked_at")
    compared = "never compared with the bucket" if checked_at is None else f"compared {_ago(checked_at, now)}"
    return f"{state}; warmed {_ago(record['warmed_at'], now)}, {compared}"


def _ago(at: str, now: float) -> str:
    age_s = max(0.0, now - datetime.fromisoformat(at).timestamp())
    for unit, size_s in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if age_s >= 2 * size_s:
            return f"{age_s / size_s:.0f} {unit} ago"
    return f"{age_s:.0f} s ago"
