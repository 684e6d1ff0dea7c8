"""The part of `stats` about a destination's limits: its rate, its chats, and how long its waiting jobs take. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from streamwarm.accept.wire.views import rfc3339
from streamwarm.dispatch.destination_state import DestinationState
from streamwarm.dispatch.lanes import LaneState
from streamwarm.dispatch.pauses import Pause, in_force
from streamwarm.dispatch.usage import counted_within
from streamwarm.model import JsonObject, Kind
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
    state: DestinationState, rates: Rates, *, waiting: int, free_at: float, is_paused: bool, clocks: LimitClocks
) -> JsonObject:
    """The part of a destination's view that describes its limits; empty if it has none.

    `rates` are the destination's own, of which this process may use a part. `waiting` is the number of its jobs that
    wait. `free_at` is by the clock of the limits. `is_paused`: some or all of those jobs wait for a pause.

    `limits` are figures and `chats` is each chat's state. `next_at` is when the next job may be handed out; null means
    at once, or when a running attempt ends. `eta_s` is how long the waiting jobs take at that rate; null if
    `is_paused`, because nobody knows when the cause is fixed. `hint` says what would help.
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
            "chats": len({lane.budget.name for lane in state.lanes.values()}),
        }
        view["next_at"] = clocks.shown(free_at) if now < free_at < math.inf else None
        view["eta_s"] = None if is_paused or not rate else round(waiting / rate * MINUTE_S)
    return view


def messages_per_minute(state: DestinationState, rates: Rates, now: float) -> float:
    """Messages per minute in the long run, `inf` without limits. Chats that are set aside take none, and topics of one
    chat share its budget."""
    own = min((_per_minute(quota) for quota in rates.quotas), default=math.inf)
    if not rates.lanes:
        return own
    used = {lane.budget.name: rates.lanes[name] for name, lane in state.lanes.items() if not _is_out(state, name, now)}
    return min(own, sum(map(_lane_per_minute, used.values())))


def refused_kinds(lane: LaneState, now: float) -> dict[Kind, Pause]:
    """The kinds that the chat refuses now, with the reason, in the order of `Kind`. A chat that takes nothing at all
    has its own pause as well."""
    return {kind: pause for kind in Kind if (pause := in_force(lane.refusal_of(kind), now)) is not None}


def kinds_view(pauses: Mapping[Kind, Pause], clocks: LimitClocks) -> JsonObject:
    """Each kind's pause as clients see it, by the kind's name."""
    return {kind.value: pause_view(pause, clocks) for kind, pause in pauses.items()}


def _chat_view(lane: LaneState, clocks: LimitClocks) -> JsonObject:
    now = clocks.steady_now
    view: dict[str, Any] = {
        "chat": lane.name,
        "in_flight": lane.usage.in_flight,
        "last_minute": counted_within(lane.usage, MINUTE_S, now) - lane.usage.in_flight,
        "paused": pause_view(in_force(lane.pause, now), clocks),
    }
    if refused := refused_kinds(lane, now):
        view["refused"] = kinds_view(refused, clocks)
    return view if lane.address == lane.name else {**view, "moved_to": lane.address}


def _hint(state: DestinationState, rates: Rates, waiting: int, rate: float, now: float) -> str | None:
    """What would help if a chat is set aside or refuses a kind, or if the backlog takes longer than a minute because of
    its chats."""
    if any(_is_out(state, name, now) for name in state.lanes):
        return "a warm-up chat is set aside: see its reason, fix it and `streamwarm resume` this destination"
    if refused := {kind.value for lane in state.lanes.values() for kind in refused_kinds(lane, now)}:
        return (
            f"a warm-up chat refuses {', '.join(sorted(refused))}: allow that there and `streamwarm resume` this "
            "destination, or add a chat that takes it"
        )
    if waiting <= rate or not any(lane.quotas for lane in rates.lanes.values()):
        return None
    one = min(_lane_per_minute(lane) for lane in rates.lanes.values())
    return (
        f"Telegram takes {one:g} messages a minute in a group, however many workers run: "
        f"each further group in `chats` adds {one:g}"
    )


def _is_out(state: DestinationState, lane: str, now: float) -> bool:
    return state.lanes[lane].is_out(None, now)


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
