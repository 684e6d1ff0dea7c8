"""Reads the small tables: counts of jobs, and what processes share. Pure; `decode` judges each column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from streamwarm.backlog.core.columns import (
    integer,
    integer_or_none,
    parse_object,
    text,
    text_or_none,
    time,
    time_or_none,
)
from streamwarm.backlog.core.odd import Odd, OddRows, Reading, Row
from streamwarm.backlog.shared_limits import Cooldown, MovedLane, SetAside, SharedLimits, SourcePause, UserPause
from streamwarm.backlog.store import Counts
from streamwarm.errors import code_of
from streamwarm.model import Kind, State

Count = tuple[str, State, int]
"""Destination, state, and how many jobs."""

SHARED_LIMITS = ("pauses", "mends", "moved_lanes", "silences", "set_asides", "lease_of_source")
"""The queries whose rows `shared_limits_from` takes, in that order."""


def count_from(row: Row) -> Count:
    return text(row, "destination"), code_of(State, text(row, "state")), integer(row, "jobs")


def pause_from(row: Row) -> UserPause:
    """An empty name stands for the whole service: a primary key cannot be null."""
    return UserPause(text(row, "destination") or None, time_or_none(row, "until"), time(row, "paused_at"))


def resumes_from(row: Row) -> tuple[str, int]:
    return text(row, "destination"), integer(row, "number")


def moved_lane_from(row: Row) -> MovedLane:
    return MovedLane(text(row, "destination"), text(row, "lane"), text(row, "address"))


def cooldown_from(row: Row) -> Cooldown:
    """An empty lane stands for the whole destination. A row without `set_at` is an older version's."""
    lane = text(row, "lane") or None
    return Cooldown(
        text(row, "destination"), lane, time(row, "until"), text(row, "reason"), time_or_none(row, "set_at")
    )


def set_aside_from(row: Row) -> SetAside:
    """An empty kind stands for all kinds."""
    kind = text(row, "kind")
    return SetAside(
        text(row, "destination"),
        text(row, "lane"),
        code_of(Kind, kind) if kind else None,
        time(row, "until"),
        time(row, "set_at"),
        integer_or_none(row, "room"),
        text(row, "reason"),
    )


def source_pause_from(row: Row) -> SourcePause:
    text_or_none(row, "token")
    time(row, "expires_at")
    place = parse_object(text(row, "place"), "place")
    reason, since = place.get("reason"), place.get("since")
    if not isinstance(reason, str) or isinstance(since, bool) or not isinstance(since, int | float):
        raise Odd("place names no reason and time")
    return SourcePause(reason, since)


def stored_source_pause(row: Row | None) -> SourcePause | None:
    """The pause in the row of the bucket's lease, None if there is none or if it cannot be read."""
    try:
        return None if row is None else source_pause_from(row)
    except Odd:
        return None


COUNTS = Reading("job_counts", ("destination", "state"), count_from)
COUNTED = Reading("jobs", ("destination", "state"), count_from, purpose="to be counted")
_PAUSES = Reading("pauses", ("destination",), pause_from)
_RESUMES = Reading("mends", ("destination",), resumes_from)
_MOVED_LANES = Reading("moved_lanes", ("destination", "lane"), moved_lane_from)
_COOLDOWNS = Reading("silences", ("destination", "lane"), cooldown_from)
_SET_ASIDES = Reading("set_asides", ("destination", "lane", "kind"), set_aside_from)
_SOURCE = Reading("leases", ("name",), source_pause_from)


def shared_limits_from(found: Sequence[Sequence[Row]], processes: int, odd: OddRows) -> SharedLimits:
    pauses, resumes, moved_lanes, cooldowns, set_asides, source = found
    resumed = dict(odd.read_all(_RESUMES, resumes))
    sources = odd.read_all(_SOURCE, source)
    return SharedLimits(
        pauses=odd.read_all(_PAUSES, pauses),
        resumes={name: number for name, number in resumed.items() if name},
        service_resumes=resumed.get("", 0),
        moved_lanes=odd.read_all(_MOVED_LANES, moved_lanes),
        cooldowns=odd.read_all(_COOLDOWNS, cooldowns),
        set_asides=odd.read_all(_SET_ASIDES, set_asides),
        source=sources[0] if sources else None,
        processes=processes,
    )


def counts_of(rows: Iterable[Count], oldest_queued_at: Any) -> Counts:
    """Counts from `(destination, state, jobs)`. A state without jobs is counted as 0, so that a gauge falls to 0."""
    by_state = dict.fromkeys(State, 0)
    by_destination: dict[str, dict[State, int]] = {}
    for destination, state, jobs in rows:
        by_state[state] = by_state.get(state, 0) + jobs
        of_one = by_destination.setdefault(destination, dict.fromkeys(State, 0))
        of_one[state] = of_one.get(state, 0) + jobs
    oldest = oldest_queued_at if isinstance(oldest_queued_at, int | float) and oldest_queued_at >= 0 else None
    return Counts(by_state, by_destination, oldest)
