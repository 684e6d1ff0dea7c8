"""Decides, from the rates, when an attempt may send its last bytes.

One budget's attempts depart one after another (`usage.py`). `stream/departure.py` keeps whether the last bytes may have
left, attempt by attempt; it asks here for the turn.

This is the only place where a worker waits for a rate limit, and only briefly. An attempt was handed out because its
lane was due. The lane is busy only if an earlier, longer upload finishes at the same moment; each such upload delays
this one by at most the spacing plus `ANSWER_GRACE_S`. No attempt is handed out to a lane in which some wait. The
alternative is a 429, and with it the whole upload once more.
"""

from __future__ import annotations

from collections.abc import Callable

import trio
from attrs import define, field

from streamwarm.dispatch.limits import Limits
from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.model import Claim

MAX_TURN_WAIT_S = 30.0
"""The longest wait for a turn, in seconds; if it would be longer, the attempt fails instead.

It is that long only if the chat was paused while the upload ran. Destinations give up on a request that is silent for a
minute (nginx's `client_body_timeout`), and the worker is needed elsewhere.
"""


@define
class DepartureTurns:
    """Lets the attempts of each budget (a chat's) depart one after another, in the order in which they reached their
    last bytes.

    `now` is the clock of the limits. `on_change` is called with a destination whose lanes have changed.
    """

    limits: Limits
    now: Callable[[], float]
    on_change: Callable[[str], None]
    _turns: dict[tuple[str, str | None], trio.StrictFIFOLock] = field(factory=dict)
    _changed: trio.Event = field(factory=trio.Event)

    async def depart(self, claim: Claim, size_bytes: int) -> float:
        """Wait for this attempt's turn. Returns when it departed. Raises `DestinationError` if the turn is far off."""
        destination, lane = claim.job.destination, claim.lane
        budget = self.limits.budget_name(destination, lane)
        turn = self._turns.setdefault((destination, budget), trio.StrictFIFOLock())
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
        """An answer came or a pause has changed: attempts that wait check again."""
        self._changed.set()
        self._changed = trio.Event()

    async def _wait(self, claim: Claim, size_bytes: int) -> None:
        while True:
            at = self.limits.departs_at(claim.job.destination, claim.lane, size_bytes)
            wait_s = at - self.now()
            if wait_s <= 0:
                return
            if wait_s > MAX_TURN_WAIT_S:
                raise DestinationError(
                    ErrorCode.RATE_LIMITED,
                    f"the chat was paused for {wait_s:.0f} s while the upload ran, so the upload was stopped before "
                    "its end; it is sent again once a chat is free",
                    counts=False,
                )
            with trio.move_on_after(wait_s):  # then the limits may say otherwise, so they are asked again
                await self._changed.wait()
