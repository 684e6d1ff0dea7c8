"""Reads the queue for the dispatcher: how often, and which jobs.

While the bucket is paused, only jobs whose object is in the cache can be sent. They are looked up by their objects, so
they are found however many other jobs are before them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence

import trio
from attrs import define, field

from streamwarm.backlog.store import Store
from streamwarm.dispatch.limits import Limits
from streamwarm.fetch.source import CachedObject
from streamwarm.model import Kind, QueuedJob

POLL_S = 2.0
"""How often the store is read even if nothing woke the dispatcher, in seconds. A job that another process pushed wakes
it by its event (`note_queued`); this covers an event that was missed."""

REFRESH_S = 0.1
"""How often the store is read for new pushes while there are loaded jobs: at most ten reads a second."""

REFRESH_SHARE = 10
"""A read is followed by this many times its own duration without one, so reading takes at most a tenth of the time.
It costs 4 ms of CPU with four destinations and 84 ms with a thousand."""

LOOKED_UP = 4000
"""How many media keys are looked up in one read while the bucket is paused. That takes SQLite about 50 ms."""


@define
class Loader:
    """`copies` returns the objects that are in the cache.

    `left_out` are the destinations that were paused at the last read: loaded, their jobs would only take up room.
    `refused_kinds` are those that none of a destination's lanes took. `source_paused`: the bucket was paused.
    """

    store: Store
    limits: Limits
    copies: Callable[[], Collection[CachedObject]]
    steady_now: Callable[[], float]
    left_out: frozenset[str] = frozenset()
    refused_kinds: Mapping[str, frozenset[Kind]] = field(factory=dict)
    source_paused: bool = False
    _read_at: float = -math.inf
    _refresh_s: float = REFRESH_S
    _next_copy: int = 0

    def pauses_changed(self) -> bool:
        """Whether a destination, a kind or the bucket was paused or resumed since the last read."""
        now = self.steady_now()
        return (
            self.limits.active(now).keys() != self.left_out
            or self.limits.paused_kinds(now) != self.refused_kinds
            or (self.limits.source_pause is not None) != self.source_paused
        )

    def leaves_out(self, job: QueuedJob) -> bool:
        """Whether the last read left such jobs out."""
        return job.destination in self.left_out or job.kind in self.refused_kinds.get(job.destination, ())

    def due_at(self, stale: bool) -> float:
        """When the next read is due (trio's time). `stale`: the store may hold better jobs than the loaded ones."""
        return self._read_at + (self._refresh_s if stale else POLL_S)

    async def read(self, limit: int) -> tuple[list[QueuedJob], bool]:
        """Return the best `limit` jobs that can be sent now, and whether there are others that were not looked up.

        Raises `StoreUnavailable`.
        """
        self._read_at = trio.current_time()
        left_out = frozenset(self.limits.active(self.steady_now()))
        refused_kinds = self.limits.paused_kinds(self.steady_now())
        self.source_paused = self.limits.source_pause is not None
        copies, is_partial = self._next_copies() if self.source_paused else (None, False)
        jobs = await self.store.queued(
            limit, without=left_out, paused=self.limits.log.times, copies=copies, refused_kinds=refused_kinds
        )
        took_s = trio.current_time() - self._read_at
        self._refresh_s = min(max(REFRESH_S, REFRESH_SHARE * took_s), POLL_S)
        self.left_out, self.refused_kinds = left_out, refused_kinds
        return jobs, is_partial

    def _next_copies(self) -> tuple[Sequence[CachedObject], bool]:
        """Return the next copies, at most as many as one read may look up, and whether there are more."""
        copies = list(self.copies())
        share = max(1, LOOKED_UP // (2 * len(Kind) * max(1, len(self.limits.rates))))
        if len(copies) <= share:
            return copies, False
        first = self._next_copy % len(copies)
        self._next_copy = first + share
        return [*copies[first:], *copies[:first]][:share], True
