"""The table at the end of a run, as rows of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NOT_MEASURED = "–"

_ROWS: tuple[tuple[str, str, str], ...] = (
    ("success rate", "success_rate", "{:.2%}"),
    ("media per minute", "media_per_minute", "{:,.1f}"),
    ("throughput", "megabytes_per_second", "{:,.1f} MB/s"),
    ("peak concurrency", "peak_concurrency", "{}"),
    ("push → done", "push_to_done_ms", "spread"),
    ("push → acknowledged", "acknowledged_ms", "spread"),
    ("queue wait", "queue_wait_ms", "spread"),
    ("first byte", "first_byte_ms", "spread"),
    ("cache hit rate", "cache_hit_rate", "{:.1%}"),
    ("R2 bytes saved", "r2_bytes_saved", "{:,}"),
    ("bytes delivered", "bytes_delivered", "{:,}"),
    ("answered without an upload", "duplicates", "{:,}"),
    ("CPU", "cpu_s", "{:,.2f} s"),
    ("CPU of one core", "cpu_percent", "{:.0f} %"),
    ("CPU per job", "cpu_ms_per_job", "{:.2f} ms"),
    ("peak resident memory", "peak_resident_mb", "{:,.1f} MB"),
    ("429s", "rate_limited", "{:,}"),
    ("retries", "retries", "{:,}"),
    ("downloads continued", "source_reopens", "{:,}"),
    ("deliveries beyond one a job", "repeated_deliveries", "{:,}"),
    ("digests checked", "digests_checked", "{:,}"),
)


def rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """`(name, value)`, in the order in which they matter."""
    first = ("jobs that ended as expected", f"{summary['as_expected']:,} of {summary['jobs']:,}")
    return [
        first,
        *((name, _cell(summary.get(key), form)) for name, key, form in _ROWS),
        *_trouble(summary.get("trouble")),
        *_refusing(summary.get("refusing")),
        *_repush(summary.get("repush")),
    ]


def _trouble(cost: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """What a rotated key or an outage cost; nothing if the run had none."""
    if cost is None:
        return []
    after = cost["seconds_until_all_ended"]
    return [
        ("bucket's trouble", f"{cost['kind']}, {cost['seconds']:g} s" + ("" if cost["began"] else " (never began)")),
        ("requests refused meanwhile", f"{cost['refused_requests']:,}"),
        ("jobs failed", f"{cost['jobs_failed']:,}"),
        ("attempts beyond the first", f"{cost['attempts_repeated']:,}"),
        ("until all jobs had ended, after it", NOT_MEASURED if after is None else f"{after:,.1f} s"),
    ]


def _refusing(cost: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """What chats that refuse cost; nothing if the run had none."""
    if cost is None:
        return []
    return [
        ("chats that refuse something", f"{cost['chats']:,} of {cost['of']:,}"),
        ("uploads refused", f"{cost['uploads_refused']:,}"),
        *(
            (f"  by {one['chat_id']}, {one['kind'] or 'text'}", f"{one['uploads']:,}  ({one['description']})")
            for one in cost["by_chat_and_kind"]
        ),
        ("jobs done, failed", f"{cost['jobs_done']:,}, {cost['jobs_failed']:,}"),
        ("jobs sent more than once", f"{cost['refused_jobs']:,}"),
        ("  their push → done", _spread(cost["refused_push_to_done_ms"])),
        ("  push → done of all others", _spread(cost["other_push_to_done_ms"])),
    ]


def _repush(again: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """What the second push of the same keys did; nothing if there was none."""
    if again is None:
        return []
    return [
        ("pushed again", f"{again['jobs']:,} jobs, refresh={again['refresh']}"),
        ("  objects replaced before", f"{again['replaced_objects']:,} (of {again['jobs_of_replaced']:,} jobs)"),
        ("  unchanged", f"{again['unchanged']:,}"),
        ("  not verified (the bucket did not answer)", f"{again['unverified']:,}"),
        ("  warmed anew", f"{again['warmed_anew']:,}"),
        ("  look-ups right: the newest version", f"{again['verified_right']:,}"),
        ("  look-ups that answered an older version", f"{again['answered_older']:,}"),
        ("  push → done", _spread(again["push_to_done_ms"])),
        ("  in all", f"{again['seconds']:,.2f} s"),
        ("  CPU per job", _cell(again["cpu_ms_per_job"], "{:.2f} ms")),
    ]


def spreads(summary: Mapping[str, Any]) -> list[tuple[str, Mapping[str, float | None]]]:
    """`(name, percentiles in milliseconds)` of what is told as such."""
    return [(name, summary[key]) for name, key, form in _ROWS if form == "spread"]


def _cell(value: Any, form: str) -> str:
    if form == "spread":
        return _spread(value or {})
    return NOT_MEASURED if value is None else form.format(value)


def _spread(values: Mapping[str, float | None]) -> str:
    if not values or values.get("p50") is None:
        return NOT_MEASURED
    return "   ".join(f"{name} {value:,.1f}" for name, value in values.items()) + " ms"
