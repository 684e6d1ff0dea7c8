"""How a service is stopped."""

from __future__ import annotations

import trio
from attrs import define, field


@define
class Shutdown:
    """How the service is stopped: `requested` stops claiming and drains, `forced` cancels what still runs."""

    requested: trio.Event = field(factory=trio.Event)
    forced: trio.Event = field(factory=trio.Event)

    def signal(self) -> None:
        """The first call drains the service, the second one ends it at once."""
        (self.forced if self.requested.is_set() else self.requested).set()

    async def cancel_if_forced(self, scope: trio.CancelScope) -> None:
        await self.forced.wait()
        scope.cancel()
