"""What is paused, why, and what ends it, out of a reply of `stats`. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from attrs import define, field, frozen

from streamwarm.cli.times import format_time

SURE_AFTER = 2
"""In how many replies in a row a pause must be missing before it is said to be over. One that ends by itself is over
for a moment each time the destination is tried."""

Wanted = Collection[tuple[str, str]]
"""Destination and kind of each job that somebody waits for."""


@frozen
class Paused:
    """One pause. `destination` and `kind` are None if it stops all of them; `bucket` is the source's name if it is the
    source's pause."""

    destination: str | None
    kind: str | None
    bucket: str | None
    until: str | None
    reason: str
    by: str
    is_fixable: bool

    @property
    def what(self) -> str:
        if self.bucket is not None:
            return f"the bucket {self.bucket}"
        if self.destination is None:
            return "the whole service"
        return self.destination if self.kind is None else f"{self.kind} at {self.destination}"

    @property
    def text(self) -> str:
        """What is paused, why, and what ends it."""
        return f"{self.what} is paused ({self.reason}): {self._end}"

    @property
    def _end(self) -> str:
        resume = "`streamwarm resume`" if self.destination is None else f"`streamwarm resume {self.destination}`"
        if self.by == "source":
            return f"it goes on once a probe of the bucket succeeds; {resume} has it probed at once"
        if self.by == "user":
            return f"it goes on at {resume}" if self.until is None else f"it goes on {self._at}, or at {resume}"
        if self.until is None:
            return f"fix the cause, then {resume}"
        is_ended_by_resume = self.is_fixable or self.kind is not None
        return f"it is tried again {self._at}" + (f", or at {resume} once the cause is fixed" * is_ended_by_resume)

    @property
    def _at(self) -> str:
        return f"at {format_time(self.until)}"

    def is_like(self, other: Paused | None) -> bool:
        """Whether the same thing is paused for the same sort of cause. Each 429 has other words and another time."""
        return other is not None and (self.what, self.by, self.is_fixable) == (other.what, other.by, other.is_fixable)

    def stops(self, wanted: Wanted) -> bool:
        """Whether one of those jobs waits for the end of this pause."""
        return any(
            self.destination in (None, destination) and self.kind in (None, kind) for destination, kind in wanted
        )


def all_paused(stats: Mapping[str, Any]) -> Iterator[Paused]:
    """Every pause that keeps jobs from being sent: the service's, the bucket's, destinations' and their kinds'.

    A destination of which every chat is paused is paused itself.
    """
    source = stats.get("source") or {}
    if pause := stats.get("paused"):
        yield _paused(pause)
    if pause := source.get("paused"):
        yield _paused(pause, bucket=source["bucket"])
    for name, view in sorted(stats["destinations"].items()):
        if pause := view.get("paused"):
            yield _paused(pause, name)
        for kind, of_kind in (view.get("paused_kinds") or {}).items():
            yield _paused(of_kind, name, kind)


def _paused(
    pause: Mapping[str, Any], destination: str | None = None, kind: str | None = None, bucket: str | None = None
) -> Paused:
    is_fixable = bool(pause.get("mendable"))
    return Paused(destination, kind, bucket, pause["until"], pause["reason"], pause["by"], is_fixable)


@define
class PauseNews:
    """Says once that a pause begins which jobs wait for, and once that it is over.

    If something stays paused for another cause (a user's pause after a 429, say), that is said too.
    """

    _said: dict[str, Paused] = field(factory=dict)
    _missing: Counter[str] = field(factory=Counter)  # in how many replies in a row

    @property
    def is_any_said(self) -> bool:
        return bool(self._said)

    def lines(self, stats: Mapping[str, Any], wanted: Wanted, *, sure_after: int = SURE_AFTER) -> list[str]:
        """What is new in this reply. A pause that was said is followed to its end, whatever is wanted by then."""
        paused = {one.what: one for one in all_paused(stats)}
        lines = []
        for what in list(self._said):
            self._missing[what] = 0 if what in paused else self._missing[what] + 1
            if self._missing[what] >= sure_after:
                del self._said[what]
                lines.append(f"{what} is not paused any more")
        for what, one in paused.items():
            if one.stops(wanted) and not one.is_like(self._said.get(what)):
                self._said[what] = one
                lines.append(f"waiting: {one.text}")
        return lines
