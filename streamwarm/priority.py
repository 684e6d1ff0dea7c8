"""The score of a queued job; the highest goes first (contract, section 4). Pure: waiting time is passed in."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from streamwarm.model import Kind

BASE = 100

# (size below this many bytes, points), ascending: the first match wins. A KB is 1000 bytes, as in the contract.
_SIZE_POINTS = ((100_000, 50), (1_000_000, 30), (5_000_000, 10))
_LARGE_BYTES = 20_000_000
_LARGE_POINTS = -20

_KIND_POINTS = {Kind.PHOTO: 20, Kind.VIDEO: -10}

FRESH_S = 60.0
FRESH_POINTS = 15
STALE_S = 600.0
STALE_POINTS = -5


def base_score(kind: Kind, size_bytes: int | None) -> int:
    """The part of the score that never changes. An unknown size adds nothing."""
    return BASE + _KIND_POINTS.get(kind, 0) + _size_points(size_bytes)


def age_points(waited_s: float) -> int:
    """The part that changes while a job waits: at `FRESH_S` and after `STALE_S`."""
    if waited_s < FRESH_S:
        return FRESH_POINTS
    return STALE_POINTS if waited_s > STALE_S else 0


def score(kind: Kind, size_bytes: int | None, waited_s: float) -> int:
    """The whole score. The highest goes first; equal scores go in order of arrival."""
    return base_score(kind, size_bytes) + age_points(waited_s)


def next_change_s(waited_s: float) -> float | None:
    """The waiting time (seconds) at which the score changes next; None once it is final."""
    if waited_s < FRESH_S:
        return FRESH_S
    return STALE_S if waited_s <= STALE_S else None


def _size_points(size_bytes: int | None) -> int:
    if size_bytes is None:
        return 0
    for limit, points in _SIZE_POINTS:
        if size_bytes < limit:
            return points
    return _LARGE_POINTS if size_bytes > _LARGE_BYTES else 0


@frozen
class PausedTime:
    """When nothing could be sent: spans of Unix seconds, ascending and apart. The last one may still go on (`inf`)."""

    spans: tuple[tuple[float, float], ...] = ()

    def waited_s(self, queued_at: float, now: float) -> float:
        """How long a job has waited outside the pauses: what counts towards `max_wait_s` (contract, section 4)."""
        paused_s = sum(max(0.0, min(end, now) - max(begin, queued_at)) for begin, end in self.spans)
        return now - queued_at - paused_s

    def overdue_to(self, now: float, max_wait_s: float) -> float:
        """A job has waited `max_wait_s` outside the pauses if it was queued at this time or before."""
        at, left_s = now, max_wait_s
        for begin, end in reversed(self.spans):
            unpaused_s = at - min(end, at)
            if unpaused_s >= left_s:
                break
            at, left_s = min(begin, at), left_s - unpaused_s
        return at - left_s


@frozen
class PausedTimes:
    """When nothing could be sent, by destination. `of_all` is for those that are not named."""

    of_all: PausedTime = PausedTime()
    by_destination: Mapping[str, PausedTime] = field(factory=dict)

    def of(self, destination: str) -> PausedTime:
        return self.by_destination.get(destination, self.of_all)


NEVER_PAUSED = PausedTimes()
