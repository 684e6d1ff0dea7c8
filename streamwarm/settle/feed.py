"""How clients follow jobs: a cursor into the store's events, and a board of progress.

Nothing is queued for anybody. A follower keeps the `seq` it has seen and asks for what came after, at its own pace;
a slow one lags and reads from the store, and costs nobody memory (fault 30). Progress is never stored: followers
sample the board.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from streamwarm.model import Event, Progress


class Feed(Protocol):
    """Implementation: `publisher.py`."""

    @property
    def last_seq(self) -> int:
        """The newest published event's `seq`; 0 before the first."""
        ...

    async def cursor(self, since: int | None) -> int:
        """Where to follow from for who has seen `since` (None: from now on): right there, even where another process
        has told it of what is not published here yet; at the newest event where it knew a store that was made anew."""
        ...

    async def after(self, seq: int, *, limit: int = 1000) -> list[Event]:
        """Up to `limit` events with a higher `seq`, in order, without gaps; empty if there is none yet."""
        ...

    async def wait(self, seq: int) -> None:
        """Return once an event with a higher `seq` is published."""
        ...

    @property
    def progress(self) -> Mapping[str, Progress]:
        """The jobs that are being streamed now, by id."""
        ...
