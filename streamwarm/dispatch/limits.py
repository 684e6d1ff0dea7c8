"""When a destination may be sent to. Pure: time is passed in (Unix seconds)."""

from __future__ import annotations

import math
from collections.abc import Mapping

from attrs import define, field, frozen


@frozen
class Pause:
    """`until` is None where only a person ends it; `by_user` where a person ordered it."""

    until: float | None
    reason: str
    by_user: bool = False


@define
class Limits:
    """Pauses by destination; a destination without one may be sent to now.

    A destination's own pause (429, a revoked token) and a person's are kept apart: each ends by its own rule, and
    nothing is sent while either stands. A person's pause of the whole service is kept under None.
    """

    _pauses: dict[str, Pause] = field(factory=dict)
    _held: Mapping[str | None, Pause] = field(factory=dict)

    def pause(self, destination: str, pause: Pause) -> None:
        """Pause until `pause.until`; of two deadlines the later one wins."""
        current = self._pauses.get(destination)
        if current is None or _later(pause.until, current.until):
            self._pauses[destination] = pause

    def resume(self, destination: str) -> None:
        """A person has mended what the destination was out for; a deadline that it named stays."""
        pause = self._pauses.get(destination)
        if pause is not None and pause.until is None:
            del self._pauses[destination]

    def hold(self, held: Mapping[str | None, Pause]) -> bool:
        """These are all the pauses that people have ordered; whether that is news."""
        changed = dict(held) != self._held
        self._held = dict(held)
        return changed

    def held(self, now: float) -> Pause | None:
        """The pause of the whole service, if it is in force."""
        pause = self._held.get(None)
        return pause if pause is not None and _in_force(pause, now) else None

    def may_send(self, destination: str, now: float) -> bool:
        return self.free_at(destination) <= now

    def free_at(self, destination: str) -> float:
        """When the destination may be sent to next: long ago where it may already, `inf` where only a person ends its
        pause, or that of the whole service."""
        pauses = self._of(destination, self._held.get(None))
        return max((math.inf if p.until is None else p.until for p in pauses), default=-math.inf)

    def next_change_at(self, now: float) -> float | None:
        """When the next pause ends, None if none will by itself."""
        pauses = (*self._pauses.values(), *self._held.values())
        return min((p.until for p in pauses if p.until is not None and p.until > now), default=None)

    def active(self, now: float) -> dict[str, Pause]:
        """The pauses of destinations that are in force; of two, a person's, which is theirs to end."""
        names = {*self._pauses, *(name for name in self._held if name is not None)}
        in_force = ((name, [p for p in self._of(name) if _in_force(p, now)]) for name in sorted(names))
        return {name: pauses[0] for name, pauses in in_force if pauses}

    def _of(self, destination: str, service: Pause | None = None) -> list[Pause]:
        pauses = (service, self._held.get(destination), self._pauses.get(destination))
        return [pause for pause in pauses if pause is not None]


def _in_force(pause: Pause, now: float) -> bool:
    return pause.until is None or pause.until > now


def _later(new: float | None, old: float | None) -> bool:
    return old is not None and (new is None or new > old)
