"""When nothing could be sent: that does not count towards `queue.max_wait_s`. Pure: Unix seconds are passed in."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Mapping

from attrs import define, field

from streamwarm.priority import PausedTime, PausedTimes

KEPT_SPANS = 64
"""How many pauses of one destination, and of all of them, are remembered. Older ones count as waiting again."""


@define
class PauseLog:
    """The pauses of one process's time, by destination; None stands for all destinations.

    `times` is all of them, as a value. It changes only if a pause begins or ends.
    """

    times: PausedTimes = field(factory=PausedTimes)
    _open: dict[Hashable, tuple[str | None, float, float]] = field(factory=dict)
    _ended: dict[str | None, deque[tuple[float, float]]] = field(factory=dict)

    def note(self, paused: Mapping[Hashable, tuple[str | None, float | None, float]], now: float) -> None:
        """Note all that is paused now.

        `paused` has, by any name of the pause, the destination that it stops (None: all), when it began (None: when it
        was first noted) and when it will end by itself (`inf` if it does not).
        """
        if not paused and not self._open:
            return
        before = dict(self._open)
        for name, (destination, since, until) in before.items():
            if name not in paused or until < now:  # it is over; if it is paused, that is another pause
                del self._open[name]
                ended = self._ended.setdefault(destination, deque(maxlen=KEPT_SPANS))
                ended.append((since, min(now, until)))
        for name, (destination, began_at, until) in paused.items():
            since = self._open[name][1] if name in self._open else min(now, now if began_at is None else began_at)
            self._open[name] = destination, since, until
        if self._open != before:
            self.times = self._as_value()

    def _as_value(self) -> PausedTimes:
        spans: dict[str | None, list[tuple[float, float]]] = {name: list(ended) for name, ended in self._ended.items()}
        for destination, since, until in self._open.values():
            spans.setdefault(destination, []).append((since, until))
        of_all = spans.pop(None, [])
        return PausedTimes(
            PausedTime(_joined(of_all)),
            {name: PausedTime(_joined([*of_all, *own])) for name, own in spans.items() if name is not None},
        )


def _joined(spans: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """The spans in order; those that overlap are one."""
    joined: list[tuple[float, float]] = []
    last = -math.inf
    for begin, end in sorted(spans):
        if joined and begin <= last:
            joined[-1] = joined[-1][0], max(last, end)
        else:
            joined.append((begin, end))
        last = max(last, end)
    return tuple(joined)
