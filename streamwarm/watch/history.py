"""Figures per minute for the last hour, so that a newly opened page can draw the past. Pure: time is passed in (Unix
seconds).

It lives in this process's memory: bounded, not stored, empty after a restart.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from attrs import define, field, frozen

from streamwarm.watch import observations

STEP_S = 60
STEPS = 60

_FINEST_S = 0.001
_BUCKETS_PER_DOUBLING = 4
"""Buckets of the warm times per factor of two. With four, a time is exact to within 9 %, and the times from a
millisecond to a day need 106 buckets."""


@define
class _Minute:
    number: int
    bytes: int = 0
    done: int = 0
    failed: int = 0
    warm: Counter[int] = field(factory=Counter)


@frozen
class Series:
    """`STEPS` values per figure, oldest first; the last is the current minute's.

    A value is None if the service did not run yet. The times from push to done are None too if no job was done in that
    minute. `starts_at`: when the first minute starts, Unix seconds.
    """

    starts_at: float
    bytes: Sequence[int | None]
    done: Sequence[int | None]
    failed: Sequence[int | None]
    warm_p50_s: Sequence[float | None]
    warm_p95_s: Sequence[float | None]


@define
class History:
    """Counts what happens per minute. `started_at`: when counting began, Unix seconds."""

    _started_at: float
    _minutes: deque[_Minute] = field(factory=lambda: deque(maxlen=STEPS))
    _delivered_bytes: int = 0
    _counted_bytes: int = 0

    def observe(self, observation: observations.Observation, now: float) -> None:
        """Count ended jobs. `sample` counts bytes, because an attempt may take longer than an hour."""
        if isinstance(observation, observations.AttemptSucceeded):
            minute = self._minute(now)
            minute.done += 1
            minute.warm[_bucket(observation.warm_s)] += 1
        elif isinstance(observation, observations.AttemptFailed) and observation.final:
            self._minute(now).failed += 1
        elif (
            isinstance(observation, observations.BytesMoved)
            and observation.direction is observations.Direction.DESTINATION
        ):
            self._delivered_bytes += observation.bytes

    def sample(self, running_bytes: int, now: float) -> None:
        """Count the bytes moved since the last call. `running_bytes`: what the running attempts have delivered so far.

        An attempt that has just ended is in both figures for a moment. So the sum may fall, and only a new maximum
        counts.
        """
        total = self._delivered_bytes + running_bytes
        if total > self._counted_bytes:
            self._minute(now).bytes += total - self._counted_bytes
            self._counted_bytes = total

    def series(self, now: float) -> Series:
        """The figures of the hour up to `now`."""
        last = int(now // STEP_S)
        first = last - STEPS + 1
        known = {minute.number: minute for minute in self._minutes}
        began = int(self._started_at // STEP_S)
        minutes = [
            known.get(number) or (_Minute(number) if number >= began else None) for number in range(first, last + 1)
        ]
        return Series(
            starts_at=float(first * STEP_S),
            bytes=_each(minutes, lambda minute: minute.bytes),
            done=_each(minutes, lambda minute: minute.done),
            failed=_each(minutes, lambda minute: minute.failed),
            warm_p50_s=_each(minutes, lambda minute: _quantile(minute.warm, 0.5)),
            warm_p95_s=_each(minutes, lambda minute: _quantile(minute.warm, 0.95)),
        )

    def _minute(self, now: float) -> _Minute:
        """The minute of `now`, or the newest one if the clock was set back."""
        number = int(now // STEP_S)
        if not self._minutes or self._minutes[-1].number < number:
            self._minutes.append(_Minute(number))
        return self._minutes[-1]


_Value = TypeVar("_Value")


def _each(minutes: Sequence[_Minute | None], read: Callable[[_Minute], _Value]) -> list[_Value | None]:
    return [None if minute is None else read(minute) for minute in minutes]


def _bucket(seconds: float) -> int:
    return math.floor(math.log2(max(seconds, _FINEST_S) / _FINEST_S) * _BUCKETS_PER_DOUBLING)


def _quantile(counts: Counter[int], share: float) -> float | None:
    """The middle of the bucket that contains the quantile `share`; None if there are no values."""
    wanted = math.ceil(counts.total() * share)
    for bucket in sorted(counts):
        wanted -= counts[bucket]
        if wanted <= 0:
            return float(f"{_FINEST_S * 2 ** ((bucket + 0.5) / _BUCKETS_PER_DOUBLING):.3g}")
    return None
