"""Wakes the tasks that wait for events, and keeps the newest events in memory."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from itertools import islice

import trio
from attrs import define, field

from streamwarm.model import Event

KEPT_EVENTS = 512
"""How many of the events that this process committed last are kept in memory: the publisher asks for them at once."""


@define(eq=False)
class CommitSignal:
    """Wakes the tasks that wait for events once one is committed.

    It keeps the newest events that this process committed. So the publisher seldom has to read them from the store, in
    a thread and row by row.
    """

    last_seq: int = 0
    changed: trio.Event = field(factory=trio.Event)
    _recent: deque[Event] = field(factory=lambda: deque(maxlen=KEPT_EVENTS))  # their numbers have no gap

    def announce(self, seq: int, events: Sequence[Event] = ()) -> None:
        """The newest committed event is `seq`. If `events` are given, they are the last ones up to it."""
        if events:
            if self._recent and self._recent[-1].seq + 1 != events[0].seq:
                self._recent.clear()  # another process committed those in between
            self._recent.extend(events)
        if seq > self.last_seq:
            self.last_seq = seq
            self.changed.set()
            self.changed = trio.Event()

    async def wait(self, seq: int) -> None:
        """Return once an event after `seq` has been announced. If one already was, does not yield to the event loop."""
        while self.last_seq <= seq:
            await self.changed.wait()

    def forget(self) -> None:
        """Drop the events: some were deleted, and only the store knows which are left."""
        self._recent.clear()

    def after(self, seq: int, limit: int) -> list[Event]:
        """Up to `limit` events that follow `seq` without a gap. Empty if only the store knows them."""
        first = self._recent[0].seq if self._recent else math.inf
        if seq + 1 < first:
            return []
        start = seq + 1 - int(first)
        return list(islice(self._recent, start, start + limit))
