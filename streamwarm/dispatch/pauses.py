"""Pauses: why nothing is sent to a destination or lane, and until when. Pure: time is passed in (Unix seconds)."""

from __future__ import annotations

import math
from enum import StrEnum

from attrs import frozen


class PausedBy(StrEnum):
    """Who ordered a pause; the values are on the wire."""

    USER = "user"
    DESTINATION = "destination"
    SOURCE = "source"


@frozen
class Pause:
    """`until` is None if only `by` ends it. `since` is when it began, by the store's clock, if that is stored.

    `fixable`: a user can fix its cause. Once they report that they have, there is no reason to wait for `until`.
    """

    until: float | None
    reason: str
    by: PausedBy = PausedBy.DESTINATION
    fixable: bool = False
    since: float | None = None

    @property
    def free_at(self) -> float:
        return math.inf if self.until is None else self.until


def free_at(pause: Pause | None) -> float:
    """When the pause ends: long ago if there is none, `inf` if only a user ends it."""
    return -math.inf if pause is None else pause.free_at


def last_to_end(one: Pause | None, other: Pause | None) -> Pause | None:
    """Whichever pause ends later; `one` if they end together."""
    return other if free_at(other) > free_at(one) else one


def in_force(pause: Pause | None, now: float) -> Pause | None:
    """The pause, or None if it is over."""
    return pause if free_at(pause) > now else None


def after_resume(pause: Pause | None) -> Pause | None:
    """What is left of a pause once a user resumes its destination: a deadline, unless its cause could be fixed."""
    return None if pause is None or pause.fixable or pause.until is None else pause
