"""Publishes events: reads them from the store as they are committed, into a short memory that all followers share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping

import trio
from attrs import define, field

from streamwarm.backlog.store import Store
from streamwarm.errors import StoreUnavailable
from streamwarm.model import Event, Progress
from streamwarm.watch.observations import Observer, StoreTrouble

KEPT = 4096
"""Events kept in memory: what followers that keep up ask for. Those that lag read from the store."""

READ = 512
"""How many events one read of the store returns at most."""

TROUBLE_S = 1.0
"""The wait after the store failed, in seconds."""


@define
class Publisher:
    """The `Feed`; `run` is its one task.

    `read_progress` returns the progress of running attempts. `on_events` is called with what is published, whichever
    process of the store committed it.
    """

    store: Store
    read_progress: Callable[[], Mapping[str, Progress]]
    observe: Observer
    on_events: Callable[[list[Event]], None] = lambda _: None
    _recent: deque[Event] = field(factory=lambda: deque(maxlen=KEPT))
    _last_seq: int = 0
    _published: trio.Event = field(factory=trio.Event)

    @property
    def last_seq(self) -> int:
        return self._last_seq

    @property
    def progress(self) -> Mapping[str, Progress]:
        return self.read_progress()

    async def cursor(self, since: int | None) -> int:
        if since is None or since <= self._last_seq:
            return self._last_seq if since is None else since
        try:
            return min(since, max(self._last_seq, await self.store.last_seq()))
        except StoreUnavailable:
            return since  # may be right; nothing is published until the store answers

    async def after(self, seq: int, *, limit: int = 1000) -> list[Event]:
        if seq >= self._last_seq:
            return []
        if self._recent and self._recent[0].seq <= seq + 1:
            return _slice(self._recent, seq, limit)
        return await self.store.events_after(seq, limit=limit)

    async def of_jobs(self, job_ids: Collection[str], *, after: int, until: int, limit: int) -> list[Event]:
        return await self.store.events_of(job_ids, after=after, until=until, limit=limit)

    async def wait(self, seq: int) -> None:
        while self._last_seq <= seq:
            await self._published.wait()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Publish what is committed from now on, until cancelled. Raises `StoreUnavailable` if it cannot start."""
        self._last_seq = await self.store.last_seq()
        task_status.started()
        while True:
            try:
                self._publish(await self.store.next_events(self._last_seq, limit=READ))
            except StoreUnavailable as exc:
                self.observe(StoreTrouble("reading events", str(exc)))
                await trio.sleep(TROUBLE_S)

    def _publish(self, events: list[Event]) -> None:
        self._recent.extend(events)
        self._last_seq = events[-1].seq
        self.on_events(events)
        self._published.set()
        self._published = trio.Event()


def _slice(recent: deque[Event], seq: int, limit: int) -> list[Event]:
    """Returns the events after `seq`. The search starts at the newest, because most followers keep up."""
    found: list[Event] = []
    for event in reversed(recent):
        if event.seq <= seq:
            break
        found.append(event)
    found.reverse()
    return found[:limit]
