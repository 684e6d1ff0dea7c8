"""The departure slot: the last piece of an upload leaves only when its lane is due for a message (`usage.py`).

That is the one place where a worker can wait for a limit, and it is short. An attempt was handed out because its lane
was due; it finds the lane taken only where a longer upload, handed out before it, ends at the same moment. Each of
those goes ahead of it by at most the spacing and the grace of its answer (two seconds for a chat), and no attempt is
handed out to a lane in which some wait. The alternative is a 429, and with it the whole upload once more.
"""

from __future__ import annotations

from collections.abc import Callable

import trio
from attrs import define, field

from streamwarm.dispatch.limits import Limits
from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.model import Claim

LONGEST_WAIT_S = 30.0
"""A chat that was silenced while the upload ran may be due much later. Far sides give up on a request that is silent
for a minute (nginx's `client_body_timeout`), and a worker has better things to do: the attempt is given up instead."""


@define
class Departures:
    """Lets the attempts of each lane depart one after another, in the order in which they came to their end. `now` is
    the clock of the limits; `on_change` is told of a destination whose lanes have changed."""

    limits: Limits
    now: Callable[[], float]
    on_change: Callable[[str], None]
    _turns: dict[tuple[str, str | None], trio.StrictFIFOLock] = field(factory=dict)
    _changed: trio.Event = field(factory=trio.Event)

    async def depart(self, claim: Claim, size_bytes: int) -> float:
        """Wait for this attempt's turn; returns when it departed. Raises `DestinationError` rather than wait long."""
        destination, lane = claim.job.destination, claim.lane
        turn = self._turns.setdefault((destination, lane.name if lane else None), trio.StrictFIFOLock())
        self.limits.await_departure(destination, lane, 1)
        try:
            async with turn:
                await self._wait(claim, size_bytes)
                now = self.now()
                self.limits.depart(destination, lane, size_bytes, now)
                return now
        finally:
            self.limits.await_departure(destination, lane, -1)
            self.on_change(destination)

    def changed(self) -> None:
        """An answer came or a pause has changed: whoever waits looks again."""
        self._changed.set()
        self._changed = trio.Event()

    async def _wait(self, claim: Claim, size_bytes: int) -> None:
        while True:
            at = self.limits.departs_at(claim.job.destination, claim.lane, size_bytes)
            wait_s = at - self.now()
            if wait_s <= 0:
                return
            if wait_s > LONGEST_WAIT_S:
                raise DestinationError(
                    ErrorCode.RATE_LIMITED,
                    f"the chat fell silent for {wait_s:.0f} s while the upload ran; it was stopped before its end",
                    counts=False,
                )
            with trio.move_on_after(wait_s):
                await self._changed.wait()
