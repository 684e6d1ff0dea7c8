"""How both interfaces follow the feed, for the websocket's notifications and for server-sent events: what is read at a
time, how often, and what is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import trio
from attrs import define, field

from streamwarm.errors import StoreUnavailable
from streamwarm.model import Event, Progress
from streamwarm.settle.feed import Feed

MAX_EVENTS = 100
"""Events read in one go: what a lagging client holds of our memory, some fifty kilobytes."""

PROGRESS_EVERY_S = 1.0
"""Contract, section 5: at most one a second per job."""

_STORE_RETRY_S = 1.0
"""Between readings of a store that does not answer."""


async def read_events(feed: Feed, cursor: int) -> list[Event]:
    """The next events after `cursor`: none if there is none yet, or, after a while, if the store does not answer."""
    try:
        return await feed.after(cursor, limit=MAX_EVENTS)
    except StoreUnavailable:
        await trio.sleep(_STORE_RETRY_S)
        return []


@define
class ProgressChanges:
    """What one follower has not been told of the board of progress; bounded by the jobs that are on it."""

    _feed: Feed
    _told: dict[str, Progress] = field(factory=dict, init=False)

    def unsent(self, is_wanted: Callable[[str], bool]) -> Iterator[Progress]:
        """What has moved since it was yielded last, of the jobs that `is_wanted`. The caller may wait between two:
        progress must not follow the event that ended its job."""
        for progress in list(self._feed.progress.values()):
            if self._told.get(progress.id) == progress or not is_wanted(progress.id):
                continue
            if progress.id in self._feed.progress:
                self._told[progress.id] = progress
                yield progress
        running = self._feed.progress
        self._told = {job_id: told for job_id, told in self._told.items() if job_id in running}
