"""How often one client may ask: a token bucket. Pure: the time is passed in (seconds of a clock that never jumps)."""

from __future__ import annotations

from attrs import define, field


@define
class Allowance:
    """`burst` requests at once, and `per_s` a second in the long run."""

    per_s: float
    burst: float
    _left: float = field(init=False)
    _at: float | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._left = self.burst

    def take(self, now: float) -> float | None:
        """None, and one request is used up; or how many seconds until there is one."""
        if self._at is not None:
            self._left = min(self.burst, self._left + (now - self._at) * self.per_s)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / self.per_s
        self._left -= 1
        return None
