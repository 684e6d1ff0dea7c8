"""What a store does to itself from time to time: queue what is due, rescue lost jobs, delete old ones, and set aside
rows that it cannot read."""

from __future__ import annotations

import math
from typing import Protocol

from attrs import frozen

from streamwarm.model import Job, OddRow


@frozen
class Due:
    """What `wake_due` did: how many jobs became `queued`, and when it has to be called next (None: nothing waits)."""

    woken: int
    next_at: float | None


@frozen
class Rescued:
    """What became of lost workers' jobs: how many are `queued` again; `abandoned` ones are `failed` or `unknown`."""

    queued: int
    abandoned: tuple[Job, ...] = ()


class UpkeepStore(Protocol):
    """The part of a `Store` that only the service's own upkeep calls. Every method but the last two raises
    `StoreUnavailable`."""

    async def wake_due(self) -> Due:
        """Queue every `waiting` job whose `retry_at` has passed."""
        ...

    async def rescue(self, *, everything: bool = False) -> Rescued:
        """Queue jobs whose lease ran out.

        If a job's departure was noted, it becomes `unknown` with `delivery_unknown` instead. Otherwise, if it is at
        `max_attempts`, it becomes `failed` with `worker_lost`. `everything` takes all running jobs: the caller owns the
        store alone and no attempt can be alive (the start after a crash).
        """
        ...

    async def prune(self, *, believed: float = math.inf) -> int:
        """Delete jobs whose time to be kept is over, with all but their warm records. Returns how many jobs.

        `believed`: the latest time (Unix seconds) that it may be now; the store's clock may just have been set wrong.
        """
        ...

    async def reset_deadlines(self) -> None:
        """Reset the deadlines that were set before the clock was set back. Without such a step, nothing changes."""
        ...

    async def survey(self) -> None:
        """Read every row once, a page at a time, to find those that cannot be read."""
        ...

    def odd_rows(self) -> int:
        """How many unreadable rows this process knows of. They are set aside, and everything else goes on."""
        ...

    def new_odd_rows(self) -> list[OddRow]:
        """The odd rows that were found since the last call."""
        ...
