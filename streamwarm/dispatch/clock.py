"""The clock of rates and pauses, which never goes back."""

from __future__ import annotations

import math
from collections.abc import Callable

from attrs import define


@define
class SteadyClock:
    """Follows the wall clock forward; if that is set back, it keeps counting from the last value. Unix seconds.

    Rates and pauses use it. If they used the wall clock itself and that were set back by an hour, a chat whose minute
    was full would get nothing for that hour. Since it follows the wall clock forward, a suspended machine wakes up on
    time.
    """

    wall: Callable[[], float]
    monotonic: Callable[[], float]
    _offset_s: float = -math.inf

    def __call__(self) -> float:
        monotonic = self.monotonic()
        self._offset_s = max(self._offset_s, self.wall() - monotonic)
        return monotonic + self._offset_s
