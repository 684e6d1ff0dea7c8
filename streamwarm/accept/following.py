"""How clients follow the feed, for the websocket's notifications and for server-sent events.

Both interfaces run one loop: `Feed.wait`, then `read_events`, then send. Each keeps its own cursor, because they move
it differently: a watch may change the websocket's at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import trio
from attrs import define, field

from streamwarm.errors import StoreUnavailable
from streamwarm.model import Event, Progress
from streamwarm.settle.feed import Feed

MAX_EVENTS = 100
"""Events per read. It bounds the memory of a client that lags: about 50 kB."""

MAX_REPLAYED = 1000
"""Events per read of a replay that names many jobs: about half a megabyte."""

_EVENT_BYTES = 512
"""An event with its key and its result, as text."""

EVENTS_BYTES = 64 * 1024
"""Room that a follower takes for its next events before it knows how many there are. It counts as a long answer, so
that followers which do not read delay no look-up."""

PROGRESS_EVERY_S = 1.0
"""Seconds between two progress notifications of a job (contract, section 5)."""

_STORE_RETRY_S = 1.0
"""Seconds between two reads of a store that is unavailable."""


def events_bytes(count: int) -> int:
    """The room that so many events take while they wait for a follower."""
    return _EVENT_BYTES * count


async def read_events(feed: Feed, cursor: int) -> list[Event]:
    """The next events after `cursor`, at most `MAX_EVENTS`. Empty if there is none yet.

    If the store is unavailable, sleeps for a moment and returns an empty list; the caller reads again.
    """
    try:
        return await feed.after(cursor, limit=MAX_EVENTS)
    except StoreUnavailable:
        await trio.sleep(_STORE_RETRY_S)
        return []


async def read_replay(feed: Feed, job_ids: Collection[str], cursor: int, until: int) -> tuple[list[Event], bool]:
    """The next events of these jobs after `cursor` and up to `until`, and whether they are the last ones.

    The more jobs there are, the more a read costs, and the more events it returns.
    """
    limit = min(max(MAX_EVENTS, len(job_ids)), MAX_REPLAYED)
    try:
        events = await feed.of_jobs(job_ids, after=cursor, until=until, limit=limit)
    except StoreUnavailable:
        await trio.sleep(_STORE_RETRY_S)
        return [], False
    return events, len(events) < limit


@define
class ProgressChanges:
    """Remembers the progress that one follower was sent, to send only what changed. Bounded by the running jobs."""

    _feed: Feed
    _sent: dict[str, Progress] = field(factory=dict, init=False)

    def unsent(self, is_wanted: Callable[[str], bool]) -> Iterator[Progress]:
        """Yield the progress of every wanted job that has changed since it was last yielded."""
        for progress in list(self._feed.progress.values()):
            if self._sent.get(progress.id) == progress or not is_wanted(progress.id):
                continue
            # The caller may wait between two items. Progress must not follow the event that ended its job.
            if progress.id in self._feed.progress:
                self._sent[progress.id] = progress
                yield progress
        running = self._feed.progress
        self._sent = {job_id: sent for job_id, sent in self._sent.items() if job_id in running}
