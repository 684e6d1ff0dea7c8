"""How clients follow jobs: a cursor into the store's events, and the progress of running attempts.

No queue is kept per follower. A follower keeps the `seq` it has seen and asks for what came after, at its own pace. A
slow one lags and reads from the store, and costs no memory here (fault 30). Progress is never stored: followers read
it when they need it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from streamwarm.model import Event, Progress


class Feed(Protocol):
    """Implementation: `publisher.py`."""

    @property
    def last_seq(self) -> int:
        """The `seq` of the newest published event; 0 before the first."""
        ...

    async def cursor(self, since: int | None) -> int:
        """Returns the `seq` to follow from, for a follower that has seen `since` (None: from now on).

        That is `since`, even if another process published it and this one has not yet. If the store has no such event,
        it was made anew since: then it is the newest event's.
        """
        ...

    async def after(self, seq: int, *, limit: int = 1000) -> list[Event]:
        """Returns up to `limit` events with a higher `seq`, in order and without gaps; none if there are none yet."""
        ...

    async def of_jobs(self, job_ids: Collection[str], *, after: int, until: int, limit: int) -> list[Event]:
        """Returns up to `limit` events of these jobs with `after < seq <= until`, in order, by an index."""
        ...

    async def wait(self, seq: int) -> None:
        """Return once an event with a higher `seq` is published."""
        ...

    @property
    def progress(self) -> Mapping[str, Progress]:
        """How far the attempts that run now have come, by job id."""
        ...
