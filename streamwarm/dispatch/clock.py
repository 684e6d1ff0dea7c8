"""Clocks that are passed in where a part needs the time."""

from __future__ import annotations

import math
from collections.abc import Callable

from attrs import define


@define
class SteadyClock:
    """Unix seconds that never go back: the wall clock, but where that is set back, what came before goes on.

    Rates and pauses follow it. By the bare wall clock, a clock that is set back by an hour would keep every chat whose
    minute was full silent for that hour. It follows the wall clock forward, so a suspended machine wakes up on time.
    """

    wall: Callable[[], float]
    monotonic: Callable[[], float]
    _offset_s: float = -math.inf

    def __call__(self) -> float:
        monotonic = self.monotonic()
        self._offset_s = max(self._offset_s, self.wall() - monotonic)
        return monotonic + self._offset_s
