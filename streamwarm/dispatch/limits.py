"""When a destination may be sent to. Pure: time is passed in (Unix seconds)."""

from __future__ import annotations

import math

from attrs import define, field, frozen


@frozen
class Pause:
    """`until` is None where only a person ends it."""

    until: float | None
    reason: str


@define
class Limits:
    """Pauses by destination; a destination without one may be sent to now."""

    _pauses: dict[str, Pause] = field(factory=dict)

    def pause(self, destination: str, pause: Pause) -> None:
        """Pause until `pause.until`; of two deadlines the later one wins."""
        current = self._pauses.get(destination)
        if current is None or _later(pause.until, current.until):
            self._pauses[destination] = pause

    def resume(self, destination: str) -> None:
        self._pauses.pop(destination, None)

    def may_send(self, destination: str, now: float) -> bool:
        return self.free_at(destination) <= now

    def free_at(self, destination: str) -> float:
        """When the destination may be sent to next: long ago where it may already, `inf` where only a person ends its
        pause."""
        pause = self._pauses.get(destination)
        if pause is None:
            return -math.inf
        return math.inf if pause.until is None else pause.until

    def next_change_at(self, now: float) -> float | None:
        """When the next pause ends, None if none will by itself."""
        return min((p.until for p in self._pauses.values() if p.until is not None and p.until > now), default=None)

    def active(self, now: float) -> dict[str, Pause]:
        """The pauses in force."""
        return {name: pause for name, pause in self._pauses.items() if not self.may_send(name, now)}


def _later(new: float | None, old: float | None) -> bool:
    return old is not None and (new is None or new > old)
