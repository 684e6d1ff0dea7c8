"""Brings the jobs of this process's own pushes to its dispatcher, over a bounded memory channel.

The store is the channel's overflow. A job that finds the channel full is queued in the store all the same, so nothing
waits and nothing is lost: the dispatcher reads the store for it.

Each pushed job is announced twice: by its push, and by its event, which comes back through the store's event tail. The
ids here pair the two, so that one push costs no read of the queue. Both id lists are bounded. An id that falls out
costs at most one read of the queue, or leaves its job's next event to the dispatcher's next poll.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import trio
from attrs import define, field

from streamwarm.model import QueuedJob

IDS_KEPT = 4_096
"""Ids kept of each kind, as many as the publisher keeps events. An event follows its push within milliseconds."""


@define
class _RecentIds:
    """The newest `IDS_KEPT` ids."""

    _ids: dict[str, None] = field(factory=dict)

    def add(self, job_id: str) -> None:
        self._ids[job_id] = None
        if len(self._ids) > IDS_KEPT:
            del self._ids[next(iter(self._ids))]

    def discard(self, job_id: str) -> bool:
        """Returns True if the id was there."""
        return job_id in self._ids and self._ids.pop(job_id) is None


class Arrivals:
    """The dispatcher's inbox for jobs that were just committed; it holds at most `capacity` of them."""

    def __init__(self, capacity: int) -> None:
        self._sender, self._receiver = trio.open_memory_channel[QueuedJob](capacity)
        self._offered = _RecentIds()  # their events are still to come
        self._announced = _RecentIds()  # their events came first, or another process pushed them

    def offer(self, jobs: Sequence[QueuedJob]) -> bool:
        """Put committed jobs into the channel. Returns False if it was full: the store must then be read.

        A job whose event came first is left out, because that event has ordered a read of the store already.
        """
        room = True
        for job in jobs:
            if self._announced.discard(job.id):
                continue
            self._offered.add(job.id)
            try:
                self._sender.send_nowait(job)
            except trio.WouldBlock:
                room = False
        return room

    def expect(self, job_ids: Iterable[str]) -> None:
        """Note committed jobs that wait for a comparison: their events order no read of the store."""
        for job_id in job_ids:
            if not self._announced.discard(job_id):
                self._offered.add(job_id)

    def release(self, jobs: Sequence[QueuedJob]) -> bool:
        """Put jobs into the channel whose events have passed: they waited for a comparison. Returns False if it was
        full."""
        room = True
        for job in jobs:
            try:
                self._sender.send_nowait(job)
            except trio.WouldBlock:
                room = False
        return room

    def is_news(self, job_id: str) -> bool:
        """Note the event of a queued job. Returns True if the store must be read, False if the job was offered here."""
        if self._offered.discard(job_id):
            return False
        self._announced.add(job_id)
        return True

    def drain(self) -> list[QueuedJob]:
        """Take everything that is in the channel, oldest first."""
        return [self._receiver.receive_nowait() for _ in range(self._receiver.statistics().current_buffer_used)]
