"""Counts what destinations' lanes took just before the service started, from the attempts that are kept."""

from __future__ import annotations

from streamwarm.attempts import Outcome
from streamwarm.backlog.store import Store
from streamwarm.dispatch.limits import Limits

RECALLED_S = 60.0
"""The longest window of any quota, in seconds: what was sent before it does not count any more."""

RECALLED = 100
"""How many attempts at a lane are read. A group takes 20 messages in that time, a chat one a second."""

_COUNT = frozenset({Outcome.DONE, Outcome.UNKNOWN})


async def recall_lanes(store: Store, limits: Limits) -> None:
    """Count what each lane took in the last minute, so that a restart does not send into chats whose minute is full.

    Lanes' moved addresses must be known already. Raises `StoreUnavailable`.
    """
    now = store.now()
    for destination in limits.rates:
        for lane in limits.state(destination).lanes.values():
            sent = await store.attempts_at_lane(lane.address, since=now - RECALLED_S, limit=RECALLED)
            for one in reversed(sent):
                if one.destination == destination and one.outcome in _COUNT:
                    # Never later than now: a clock that was set back since has ended it.
                    limits.recall(destination, lane.address, min(one.ended_at, now))
