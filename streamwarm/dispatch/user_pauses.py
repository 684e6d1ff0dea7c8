"""People's pauses on their way from the store, where they survive a restart, to what the dispatcher obeys."""

from __future__ import annotations

from collections.abc import Callable

import trio
from attrs import field, frozen

from streamwarm.backlog.store import Store
from streamwarm.dispatch.limits import Limits, Pause
from streamwarm.errors import StoreUnavailable
from streamwarm.watch.events import Observer, StoreTrouble

POLL_S = 2.0
"""How soon a pause that was ordered at another process of the same store is obeyed here."""


@frozen
class UserPauses:
    """`wake` tells the dispatcher that a pause has changed."""

    store: Store
    limits: Limits
    wake: Callable[[], None]
    observe: Observer
    _turn: trio.Lock = field(factory=trio.Lock)

    async def refresh(self) -> None:
        """Obey what the store says now. Raises `StoreUnavailable`.

        One reading after another: an answer that was long under way must not undo what was read after it.
        """
        async with self._turn:
            pauses = await self.store.pauses()
            if self.limits.hold({p.destination: Pause(p.until, "paused by a user", by_user=True) for p in pauses}):
                self.wake()

    def mended(self, destination: str) -> None:
        """A person says that a destination may be tried again."""
        self.limits.resume(destination)
        self.wake()

    async def follow(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep up with the store until cancelled; returns from `start` once the first reading is obeyed.

        Raises `StoreUnavailable` if that fails; later failures leave the pauses as they were.
        """
        await self.refresh()
        task_status.started()
        while True:
            await trio.sleep(POLL_S)
            try:
                await self.refresh()
            except StoreUnavailable as exc:
                self.observe(StoreTrouble("reading pauses", str(exc)))
