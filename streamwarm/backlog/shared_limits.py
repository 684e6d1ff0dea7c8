"""What the processes of one store tell each other of its destinations, so that together they behave as one would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen


@frozen
class UserPause:
    """A person's order to send nothing to `destination` (None: to none) before `until` (Unix seconds; None: before they
    resume it)."""

    destination: str | None
    until: float | None
    paused_at: float


@frozen
class MovedLane:
    """A lane of a destination that is reached at another address than the configuration says: a group that was upgraded
    to a supergroup has a new id, for good."""

    destination: str
    lane: str
    address: str


@frozen
class Silence:
    """A destination, or only that `lane` of it, has asked for silence until then (Unix seconds): a 429."""

    destination: str
    lane: str | None
    until: float
    reason: str


@frozen
class SharedLimits:
    """All that is in force at one moment.

    `mended` counts for each destination how often a person has said that it may be tried again; `processes` are those
    that share the budgets, the one that reads this among them.
    """

    pauses: Sequence[UserPause]
    mended: Mapping[str, int]
    moved_lanes: Sequence[MovedLane]
    silences: Sequence[Silence]
    processes: int


@frozen
class Obeyed:
    """What an attempt that was answered with a pause is to do: wait for it itself, or not (another lane takes the job,
    or it stays in the queue until somebody has mended its lane), and tell the other processes of a silence."""

    job_waits: bool
    silence: Silence | None = None
