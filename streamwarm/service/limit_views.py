"""The part of `stats` about a destination's limits: its rate, its chats, and how long its waiting jobs take. Pure."""

from __future__ import annotations

import math
from typing import Any

from attrs import frozen

from streamwarm.accept.wire.views import rfc3339
from streamwarm.dispatch.destination_state import DestinationState
from streamwarm.dispatch.lanes import LaneState
from streamwarm.dispatch.pauses import Pause
from streamwarm.dispatch.usage import counted_within
from streamwarm.model import JsonObject
from streamwarm.send.destination import LaneRates, Quota, Rates

MINUTE_S = 60.0


@frozen
class LimitClocks:
    """One moment by the store's clock, which clients see, and by the clock of the limits (both Unix seconds).

    They differ once the store's clock was set back: the limits' clock goes on (`dispatch/clock.py`).
    """

    store_now: float
    steady_now: float

    def shown(self, at: float) -> str:
        """A time of the limits as clients see it.

        The difference is taken in whole seconds, as the follower does when it reads pauses from the store: the two
        clocks are read one after the other. So a user's pause is shown with the time that the user gave.
        """
        return rfc3339(at - round(self.steady_now - self.store_now))


def limits_view(
    state: DestinationState, rates: Rates, *, waiting: int, free_at: float, clocks: LimitClocks
) -> JsonObject:
    """The part of a destination's view that describes its limits; empty if it has none.

    `rates` are the destination's own, of which this process may use a part. `waiting` is the number of its jobs that
    wait. `free_at` is by the clock of the limits.

    `limits` are figures and `chats` is each chat's state. `next_at` is when the next job may be handed out; null means
    at once, or when a running attempt ends. `eta_s` is how long the waiting jobs take at that rate. `hint` says what
    would help.
    """
    view: dict[str, Any] = {}
    now = clocks.steady_now
    rate = messages_per_minute(state, rates, now)
    if state.lanes:
        view["chats"] = [_chat_view(lane, clocks) for lane in state.lanes.values()]
        view["hint"] = _hint(state, rates, waiting, rate, now)
    if math.isfinite(rate):
        view["limits"] = {
            "messages_per_minute": round(rate, 1),
            "chats": len({_budget(rates, lane) for lane in rates.lanes}),
        }
        view["next_at"] = clocks.shown(free_at) if now < free_at < math.inf else None
        view["eta_s"] = round(waiting / rate * MINUTE_S) if rate else None
    return view


def messages_per_minute(state: DestinationState, rates: Rates, now: float) -> float:
    """Messages per minute in the long run, `inf` without limits.

    Chats that are set aside take none. Topics of one chat take together what the chat takes.
    """
    own = min((_per_minute(quota) for quota in rates.quotas), default=math.inf)
    if not rates.lanes:
        return own
    used = {_budget(rates, name): rates.lanes[name] for name, lane in state.lanes.items() if not _is_out(lane, now)}
    return min(own, sum(map(_lane_per_minute, used.values())))


def _budget(rates: Rates, lane: str) -> str:
    """The chat whose budget a lane uses: topics of one chat share it."""
    return rates.lanes[lane].budget or lane


def _chat_view(lane: LaneState, clocks: LimitClocks) -> JsonObject:
    now = clocks.steady_now
    view: dict[str, Any] = {
        "chat": lane.name,
        "in_flight": lane.usage.in_flight,
        "last_minute": counted_within(lane.usage, MINUTE_S, now) - lane.usage.in_flight,
        "paused": pause_view(lane.pause, clocks) if lane.pause and lane.pause.free_at > now else None,
    }
    return view if lane.address == lane.name else {**view, "moved_to": lane.address}


def _hint(state: DestinationState, rates: Rates, waiting: int, rate: float, now: float) -> str | None:
    """What would help if the backlog takes longer than a minute because of its chats, or if a chat is set aside."""
    if any(_is_out(lane, now) for lane in state.lanes.values()):
        return "a warm-up chat is set aside: see its reason, fix it and `streamwarm resume` this destination"
    if waiting <= rate or not any(lane.quotas for lane in rates.lanes.values()):
        return None
    one = min(_lane_per_minute(lane) for lane in rates.lanes.values())
    return (
        f"Telegram takes {one:g} messages a minute in a group, however many workers run: "
        f"each further group in `chats` adds {one:g}"
    )


def _is_out(lane: LaneState, now: float) -> bool:
    return lane.set_aside is not None and lane.set_aside.free_at > now


def _lane_per_minute(lane: LaneRates) -> float:
    spaced = MINUTE_S / lane.spacing_s if lane.spacing_s else math.inf
    return min((_per_minute(quota) for quota in lane.quotas), default=spaced)


def _per_minute(quota: Quota) -> float:
    return quota.messages * MINUTE_S / quota.window_s


def pause_view(pause: Pause | None, clocks: LimitClocks) -> JsonObject | None:
    """A pause as clients see it. `by` says who ends it.

    A user's pause ends when they resume it, or at `until`. A destination's ends at the time that it named, or, if it is
    `fixable`, when a person reports that they have fixed the reason.
    """
    if pause is None:
        return None
    view: JsonObject = {
        "until": None if pause.until is None else clocks.shown(pause.until),
        "reason": pause.reason,
        "by": pause.by.value,
    }
    return {**view, "mendable": True} if pause.fixable else view
