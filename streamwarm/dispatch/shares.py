"""Each of several processes takes its equal share of every budget, so that together they stay inside it.

All of them draw from one queue, so equal shares are near to what each can use, and none has to ask another before each
message. Who joins counts itself before it sends anything; the others count it within `POLL_S`, and until then the
budget may be passed by one share. The share of one that died is free again once the store calls it dead.
"""

from __future__ import annotations

from collections.abc import Callable

import trio
from attrs import frozen

from streamwarm.backlog.store import Store
from streamwarm.dispatch.limits import Limits
from streamwarm.errors import StoreUnavailable
from streamwarm.watch.events import Observer, StoreTrouble

POLL_S = 2.0


@frozen
class Shares:
    """`least`: so many processes there are for certain. `wake` tells the dispatcher that its budgets have changed."""

    store: Store
    limits: Limits
    least: int
    wake: Callable[[], None]
    observe: Observer

    async def refresh(self) -> None:
        """Take the share that is this process's now. Raises `StoreUnavailable`."""
        if self.limits.share(max(self.least, await self.store.sharers())):
            self.wake()

    async def follow(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep up with the store until cancelled; returns from `start` once the first reading is obeyed.

        Raises `StoreUnavailable` if that fails; later failures leave the share as it was.
        """
        await self.refresh()
        task_status.started()
        while True:
            await trio.sleep(POLL_S)
            try:
                await self.refresh()
            except StoreUnavailable as exc:
                self.observe(StoreTrouble("counting the processes that share the budgets", str(exc)))
