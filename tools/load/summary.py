"""A run's figures: from records, samples and the service's own counters to one table. Pure."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from load.ledger import Record
from load.metrics import Metrics
from load.processes import Usage
from load.sampler import Sample
from load.spread import spread_ms
from load.verify import Verdict


@frozen
class Outcome:
    """All that a run left behind. Times on the run's clock; `wall_offset_s` is what to add to Unix seconds; `cut` is
    why it ended before its jobs did, `usage_…` None where nobody could look."""

    records: Sequence[Record]
    planned: int
    samples: Sequence[Sample]
    before: Metrics
    after: Metrics
    usage_before: Usage | None
    usage_after: Usage | None
    verdict: Verdict
    first_bytes: Mapping[tuple[str, str], float]
    wall_offset_s: float
    refused_full: int
    cut: str | None = None
    trouble: Mapping[str, Any] | None = None
    refusing: Mapping[str, Any] | None = None


def summarise(outcome: Outcome) -> dict[str, Any]:
    """The table as one JSON object; a figure that nobody could measure is None."""
    records = outcome.records
    ended = [r for r in records if r.ended_at is not None]
    done = [r for r in ended if r.state == "done"]
    warmed = [r for r in done if not r.duplicate]
    expected = [r for r in records if r.as_expected]
    seconds = _seconds(records)
    hits, misses = (outcome.after.since(outcome.before, "streamwarm_cache_requests_total", result=r) for r in _CACHE)
    delivered_bytes = outcome.after.since(outcome.before, "streamwarm_bytes_total", direction="destination")
    summary: dict[str, Any] = {
        "ok": len(expected) == outcome.planned and not outcome.verdict.wrong and outcome.cut is None,
        "jobs": outcome.planned,
        "as_expected": len(expected),
        "success_rate": round(len(expected) / outcome.planned, 4) if outcome.planned else None,
        "states": dict(Counter(r.state or "not ended" for r in records)),
        "duplicates": sum(r.duplicate for r in records),
        "seconds": round(seconds, 3),
        "media_per_minute": round(len(warmed) / seconds * 60, 1) if seconds else None,
        "megabytes_per_second": round(delivered_bytes / 1e6 / seconds, 2) if seconds else None,
        "peak_concurrency": _peak_concurrency(outcome),
        "push_to_done_ms": spread_ms([r.push_to_end_s for r in warmed if r.push_to_end_s is not None]),
        "acknowledged_ms": spread_ms([r.acknowledged_at - r.intended_at for r in records if r.acknowledged_at]),
        "queue_wait_ms": spread_ms([max(0.0, r.running_at - r.intended_at) for r in warmed if r.running_at]),
        "first_byte_ms": spread_ms(list(_first_bytes(outcome))),
        "cache_hit_rate": round(hits / (hits + misses), 4) if hits + misses else None,
        "r2_bytes_saved": int(outcome.after.since(outcome.before, "streamwarm_bytes_total", direction="cache")),
        "bytes_delivered": int(delivered_bytes),
        "rate_limited": int(outcome.after.since(outcome.before, "streamwarm_rate_limited_total")),
        "retries": int(outcome.after.since(outcome.before, "streamwarm_retries_total")),
        "source_reopens": int(outcome.after.since(outcome.before, "streamwarm_source_reopens_total")),
        "queue_full_refusals": outcome.refused_full,
        **_usage(outcome, seconds, len(warmed), delivered_bytes),
        "digests_checked": outcome.verdict.checked,
        "digests_by": outcome.verdict.by,
        "repeated_deliveries": outcome.verdict.repeated,
        "media_lookups": outcome.verdict.media_asked,
        "trouble": outcome.trouble,
        "refusing": outcome.refusing,
        "repush": None,
        "wrong": _wrong(outcome),
    }
    return summary


_CACHE = ("hit", "miss")
_SHOWN = 20


def _seconds(records: Sequence[Record]) -> float:
    """From the first intended arrival to the last end."""
    ends = [r.ended_at for r in records if r.ended_at is not None]
    return max(ends) - min(r.intended_at for r in records) if ends else 0.0


def _peak_concurrency(outcome: Outcome) -> int:
    """The most attempts that ran at once. Two counts, each too high at worst: by the jobs' events, which hold a worker
    busy until its outcome is told, and by the service's gauge, which remembers what was before this run. Of several
    processes the gauge sees the others twice a second only: there the workers are the other bound."""
    spans = {r.id: (r.running_at, r.ended_at) for r in outcome.records if r.running_at and r.ended_at}
    steps = sorted([(begun, 1) for begun, _ in spans.values()] + [(ended, -1) for _, ended in spans.values()])
    running = peak = 0
    for _, step in steps:
        running += step
        peak = max(peak, running)
    several = outcome.usage_after is not None and outcome.usage_after.processes > 1
    bound = "streamwarm_workers" if several else "streamwarm_workers_busy_peak"
    return min(peak, int(outcome.after.total(bound, default=peak)))


def _first_bytes(outcome: Outcome) -> Iterable[float]:
    """From the intended arrival to the first byte that Telegram got of it; a job that others share is counted once."""
    seen: set[str | None] = set()
    for record in outcome.records:
        at = outcome.first_bytes.get((record.job.destination, record.job.r2_key.rpartition("/")[2]))
        if at is not None and record.state == "done" and not record.duplicate and record.id not in seen:
            seen.add(record.id)
            yield max(0.0, at + outcome.wall_offset_s - record.intended_at)


def _usage(outcome: Outcome, seconds: float, done: int, delivered_bytes: float) -> dict[str, Any]:
    before, after = outcome.usage_before, outcome.usage_after
    if before is None or after is None:
        return dict.fromkeys(_USAGE)
    cpu_s = after.cpu_s - before.cpu_s
    return {
        "cpu_s": round(cpu_s, 2),
        "cpu_percent": round(cpu_s / seconds * 100, 1) if seconds else None,
        "cpu_ms_per_job": round(cpu_s * 1000 / done, 2) if done else None,
        "cpu_s_per_gb": round(cpu_s / delivered_bytes * 1e9, 2) if delivered_bytes else None,
        "peak_resident_mb": round(after.peak_bytes / 1e6, 1),
        "resident_mb": round(after.resident_bytes / 1e6, 1),
        "cores": os.cpu_count(),
    }


_USAGE = ("cpu_s", "cpu_percent", "cpu_ms_per_job", "cpu_s_per_gb", "peak_resident_mb", "resident_mb", "cores")


def _wrong(outcome: Outcome) -> list[str]:
    """At most so many lines of each sort."""
    surprises = _surprises(outcome.records)
    unpushed = outcome.planned - len(outcome.records)
    return [
        *([outcome.cut] if outcome.cut else []),
        *([f"{unpushed:,} jobs were not pushed"] if unpushed else []),
        *_failed_for_nothing(outcome.refusing),
        *outcome.verdict.wrong[:_SHOWN],
        *surprises[:_SHOWN],
        *([f"{len(surprises) - _SHOWN:,} more"] if len(surprises) > _SHOWN else []),
    ]


def _failed_for_nothing(refusing: Mapping[str, Any] | None) -> list[str]:
    """Whether jobs failed in a run whose chats refused something. Each bot had a chat that took everything."""
    if refusing is None or not refusing["jobs_failed"]:
        return []
    return [
        f"{refusing['jobs_failed']:,} jobs failed, and {refusing['healthy_of_each_bot']:,} or more of each bot's chats "
        "would have taken them"
    ]


def _surprises(records: Sequence[Record]) -> list[str]:
    """What ended otherwise than it had to."""
    return [
        f"{r.job.r2_key} → {r.job.destination}: expected {r.job.expect}, was {r.state or 'not ended'}"
        + (f" ({r.error_code}: {r.error_message})" if r.error_code else "")
        for r in records
        if not r.as_expected
    ]
