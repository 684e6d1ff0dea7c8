"""What a store's transactions read and write of what its processes share."""

from __future__ import annotations

from typing import Protocol

from streamwarm.backlog.core.deadlines import Reset
from streamwarm.backlog.shared_limits import Cooldown, MovedLane, NamedLease, SetAside, SharedLimits, UserPause
from streamwarm.model import Kind


class SharedTable(Protocol):
    """What the processes of a store share about destinations, and the row that a write probe rewrites."""

    def put_pause(self, pause: UserPause) -> None:
        """Store the pause. It replaces an earlier one of the same destination."""
        ...

    def delete_pause(self, destination: str | None) -> None: ...

    def count_resume(self, destination: str | None) -> None:
        """Add one to how often users have resumed this destination, or the whole service (None)."""
        ...

    def put_moved_lane(self, moved: MovedLane) -> None:
        """Store the lane's address. It replaces an earlier one."""
        ...

    def put_cooldown(self, cooldown: Cooldown) -> None:
        """Store the cooldown, unless one of the same lane or destination ends later."""
        ...

    def put_set_aside(self, set_aside: SetAside) -> None:
        """Store it. It replaces an earlier one of the same lane and kind."""
        ...

    def delete_set_aside(self, destination: str, lane: str, kind: Kind) -> None: ...

    def delete_set_asides(self, destination: str) -> None:
        """Delete those of all its lanes."""
        ...

    def reset_deadlines(self, to: Reset) -> None:
        """Reset the ends of cooldowns that were set before the clock was set back."""
        ...

    def put_lease(self, lease: NamedLease) -> None:
        """Store the lease, unless one of that name exists."""
        ...

    def clear_lease(self, name: str) -> None:
        """Delete the lease, whichever token holds it."""
        ...

    def take_lease(self, name: str, token: str, *, now: float, expires_at: float, too_far: float) -> bool:
        """Give the lease to `token` until `expires_at`, if it exists and no other token holds it at `now`. A lease that
        ends after `too_far` is free: the clock was set back since it was taken."""
        ...

    def delete_lease(self, name: str, token: str) -> bool:
        """Delete the lease. Returns False if `token` does not hold it."""
        ...

    def mark_alive(self, process: str, now: float) -> None:
        """Record that this process is alive now, and forget those not heard of for too long."""
        ...

    def read_limits(self) -> SharedLimits:
        """All that is stored, including what has expired."""
        ...

    def probe(self, now: float) -> None:
        """Write one small row, and name every table, to find out whether the store can do its work."""
        ...
