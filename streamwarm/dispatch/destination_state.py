"""One destination as the limits see it: its own budget and pause, and its lanes. Pure: time is passed in (Unix
seconds)."""

from __future__ import annotations

import math

from attrs import define, field

from streamwarm.dispatch import usage
from streamwarm.dispatch.lanes import LaneState, Refusing, all_of, route_free_at
from streamwarm.dispatch.pauses import Pause, free_at, in_force, last_to_end
from streamwarm.dispatch.usage import Usage
from streamwarm.model import Kind, Route
from streamwarm.send.destination import Rates


@define
class DestinationState:
    """One destination: its own budget and pause, and its lanes.

    `size_departs_at`: when an object of exactly that many bytes may depart next. `resumed_at`: when a user
    last resumed it, as this process heard of it, by the store's clock.
    """

    rates: Rates
    lanes: dict[str, LaneState]
    usage: Usage = field(factory=Usage)
    paused: Pause | None = None
    size_departs_at: dict[int, float] = field(factory=dict)
    resumed_at: float = -math.inf

    @property
    def pause(self) -> Pause | None:
        """What pauses the whole destination, even if it is already over.

        That is its own pause or, if every lane has one, the lane pause that ends first: whichever ends last.
        """
        lanes = [lane.pause for lane in self.lanes.values()]
        pauses = [pause for pause in lanes if pause is not None]
        if not pauses or len(pauses) < len(lanes):
            return self.paused
        return last_to_end(self.paused, min(pauses, key=free_at))

    def paused_kinds(self, now: float) -> dict[Kind, Pause]:
        """The kinds that no lane takes now while some lane takes others, each with the pause that ends first.

        They are named beside a pause of the whole destination too: that may end sooner, and does not end theirs.
        """
        lanes = self.lanes.values()
        if all(in_force(lane.pause, now) for lane in lanes):
            return {}
        found = {}
        for kind in (kind for kind in Kind if kind in self.refused_kinds):
            pauses = [in_force(lane.pause_for(kind), now) for lane in lanes]
            known = [pause for pause in pauses if pause is not None]
            if len(known) == len(pauses):
                found[kind] = min(known, key=free_at)
        return found

    def free_at(self, route: Route | None = None) -> float:
        """When a job of that route may be sent; None: one that no lane refuses."""
        lanes = self.lanes.values()
        any_lane = min((lane.free_at() for lane in lanes), default=-math.inf)
        return max(
            free_at(self.paused),
            usage.quota_free_at(self.usage, self.rates.quotas),
            any_lane if route is None else route_free_at(lanes, route),
        )

    @property
    def refused_kinds(self) -> set[Kind]:
        """The kinds that some lane refuses or has refused."""
        return {kind for lane in self.lanes.values() for kind in lane.refused_kinds}

    def refusing(self, name: str) -> Refusing | None:
        """The lane of that name or, if it is `all_of` a budget, that budget. None if the settings have neither."""
        if name in self.lanes:
            return self.lanes[name]
        return next((lane.budget for lane in self.lanes.values() if all_of(lane.budget) == name), None)

    def mates(self, lane: str) -> list[LaneState]:
        """The lanes of that lane's chat, itself too: a chat's topics share a budget."""
        own = self.lanes[lane].budget
        return [other for other in self.lanes.values() if other.budget is own]
