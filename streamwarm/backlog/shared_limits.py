"""What the processes of one store share about its destinations, so that together they behave as one process would."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Protocol

from attrs import frozen

from streamwarm.model import Barred, Kind


@frozen
class UserPause:
    """A user's order to send nothing to `destination` (None: to any) until `until` (Unix seconds; None: until they
    resume it)."""

    destination: str | None
    until: float | None
    paused_at: float


@frozen
class MovedLane:
    """A lane whose address differs from the settings: a group that was upgraded to a supergroup has a new id, for
    good."""

    destination: str
    lane: str
    address: str


@frozen
class Cooldown:
    """A 429: nothing is sent to the destination, or only to that `lane` of it, until `until` (Unix seconds).

    `set_at` is the same clock's time at which it began; None if an older version has stored it.
    """

    destination: str
    lane: str | None
    until: float
    reason: str
    set_at: float | None = None


EVERY_LANE = ""
"""The `lane` of a `SetAside` that is the whole destination's. No lane has an empty name."""


@frozen
class SetAside:
    """A lane takes no job of `kind` (None: no job at all) until `until`, for a reason of its own that a user can fix.

    `EVERY_LANE` stands for the destination itself. A user's resume ends it, unlike a `Cooldown`.
    `room`: how many jobs of the kind may be under way to it at once from then on, because nobody knows the words that
    it refused with. None: it named the reason. Times are Unix seconds; `set_at` is when this was recorded.
    """

    destination: str
    lane: str
    kind: Kind | None
    until: float
    set_at: float
    room: int | None
    reason: str


@frozen
class SourcePause:
    """Nothing is read from the bucket since then (Unix seconds), until a probe of it succeeds."""

    reason: str
    since: float

    def as_place(self) -> str:
        """The text that the pause is stored as: the `place` of the lease under which the bucket is probed."""
        return json.dumps({"reason": self.reason, "since": self.since})


@frozen
class NamedLease:
    """The right of one process to do what only one may do at a time, such as probing the bucket.

    `token` is empty and `expires_at` (Unix seconds) is past if no process holds it. `place` says how far the work is.
    """

    name: str
    token: str
    expires_at: float
    place: str


SOURCE_LEASE = "source"
"""The name of the lease to probe the bucket. It exists only while the source is paused."""


@frozen
class SharedLimits:
    """All that is in force at one moment.

    `resumes` counts how often users have resumed each destination: if a count grows, the destination's faults are
    cleared. `service_resumes` counts how often they have resumed the whole service: then a paused bucket is probed at
    once. `processes` share the budgets; the one that reads this is among them.
    """

    pauses: Sequence[UserPause]
    resumes: Mapping[str, int]
    service_resumes: int
    moved_lanes: Sequence[MovedLane]
    cooldowns: Sequence[Cooldown]
    set_asides: Sequence[SetAside]
    source: SourcePause | None
    processes: int


@frozen
class PauseEffect:
    """What follows for an attempt that a destination answered with a pause.

    `job_waits`: the job itself waits for the end of the pause. If False, it stays in the queue: another lane takes it,
    or it waits there until the fault of its lane or destination is cleared. `barred`: the lanes that it does not go to
    until then; None leaves them as they were. `cooldown` and `set_aside` are what the other processes have to respect.
    """

    job_waits: bool
    cooldown: Cooldown | None = None
    set_aside: SetAside | None = None
    barred: Barred | None = None


@frozen
class RefusalEffect:
    """What follows for an attempt that was refused in unknown words.

    `fails`: every lane has refused the job. Otherwise it is tried again at `retry_at` (Unix seconds), where `barred`
    allows, and `counts` says whether this attempt counts. `set_aside` is what the other processes have to respect.
    """

    fails: bool
    counts: bool
    retry_at: float
    barred: Barred
    set_aside: SetAside | None


class SharedLimitsStore(Protocol):
    """The part of a `Store` through which its processes share limits. Every method raises `StoreUnavailable`."""

    async def pause(self, destination: str | None, until: float | None) -> None:
        """Record a user's pause of one destination, or of the whole service (None). It replaces an earlier one of the
        same destination. `until`: see `UserPause`."""
        ...

    async def pause_source(self, reason: str) -> None:
        """Pause the bucket for every process, unless it is paused already. `SharedLimits.source` has the pause."""
        ...

    async def take_lease(self, name: str, token: str, *, lease_s: float, force: bool = False) -> bool:
        """Take or keep the right to do what only one process may do at a time. Returns False if another holds it, or
        if there is nothing to do: no lease has that name. `force` takes it from whichever process holds it."""
        ...

    async def end_lease(self, name: str, token: str) -> bool:
        """End what the lease is about, and with it the lease: for `SOURCE_LEASE`, the pause of the bucket.

        Returns False if `token` does not hold it.
        """
        ...

    async def resume(self, destination: str | None) -> None:
        """Drop exactly that pause. Resuming the whole service leaves a destination's own pause, and vice versa.

        A destination's resume is counted even if it was not paused: it clears the destination's faults.
        """
        ...

    async def move_lane(self, moved: MovedLane) -> None:
        """Record the lane's new address. It replaces an earlier one."""
        ...

    async def shared_limits(self) -> SharedLimits:
        """Record that this process is alive, and read what all processes have recorded.

        Each list is in the order of its names; the whole service's pause comes first.
        """
        ...
