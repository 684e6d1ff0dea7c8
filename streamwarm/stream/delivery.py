"""Runs one attempt from the worker's call to its end, over `handoff.py` or `transfer.py`.

`run_attempt` is the outermost of the three. It hands the object over if the destination can fetch it, else it lets
`transfer` stream the object, which calls the destination's own `deliver`.

Two failures cost no attempt, because the destination took nothing: a kept-alive connection that its peer had closed
(fault 14), and a lane that has moved to another address. After each of them the object is sent once more, at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from streamwarm.backlog.settlement import Done
from streamwarm.errors import LaneMoved, StaleConnection
from streamwarm.fetch.source import Source
from streamwarm.model import Claim
from streamwarm.send.destination import FetchingDestination
from streamwarm.stream.attempt import Attempt
from streamwarm.stream.handoff import hand_off
from streamwarm.stream.transfer import transfer

MoveLane = Callable[[Claim, str], Awaitable[None]]
"""The dispatcher's `move_lane`: remembers the address at which the claim's lane is reached from now on."""


async def run_attempt(
    attempt: Attempt,
    source: Source,
    fetching: FetchingDestination | None,
    *,
    move_lane: MoveLane,
    body_timeout_s: float,
) -> Done:
    """Deliver the attempt's object, with at most one fresh try for each of the two. Raises `AttemptError`.

    `fetching` is its destination if that can fetch by itself. A lane that has moved (a group that was upgraded) is
    reported to `move_lane`, and the attempt goes to the new address.
    """
    try:
        return await _with_one_fresh_try(attempt, source, fetching, body_timeout_s=body_timeout_s)
    except LaneMoved as moved:
        await attempt.departure.take_back()
        await move_lane(attempt.claim, moved.address)
        attempt.lane_address = moved.address
        return await _with_one_fresh_try(attempt, source, fetching, body_timeout_s=body_timeout_s)


async def _with_one_fresh_try(
    attempt: Attempt, source: Source, fetching: FetchingDestination | None, *, body_timeout_s: float
) -> Done:
    try:
        return await hand_off_or_transfer(attempt, source, fetching, body_timeout_s=body_timeout_s)
    except StaleConnection:
        await attempt.departure.take_back()
        return await hand_off_or_transfer(attempt, source, fetching, body_timeout_s=body_timeout_s)


async def hand_off_or_transfer(
    attempt: Attempt, source: Source, fetching: FetchingDestination | None, *, body_timeout_s: float
) -> Done:
    """Hand the object over if its destination takes it so, else stream it."""
    if fetching is not None and fetching.may_fetch(attempt.job):
        done = await hand_off(attempt, source, fetching)
        if done is not None:
            return done
        await attempt.departure.take_back()
    return await transfer(attempt, source, body_timeout_s=body_timeout_s)
