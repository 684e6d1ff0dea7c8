"""One lane of a destination: its budget, its pauses, and which kinds it refuses. Pure: time is passed in (Unix
seconds).

A lane is a bot's chat, or one topic of it. Topics of one chat share its budget and its cooldown, for Telegram counts
the chat's messages. A chat may refuse one kind (voice messages, say) and take all others, so a lane is free or not for
one kind.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable

from attrs import define, field

from streamwarm.dispatch import usage
from streamwarm.dispatch.pauses import Pause, free_at, in_force, last_to_end
from streamwarm.dispatch.usage import Usage
from streamwarm.model import Barred, Kind, Route
from streamwarm.send.destination import LaneRates

REFUSED_ELSEWHERE_S, REFUSED_HERE_S = 2.0, 5.0
"""How much later a lane that was set aside for refusals is tried with a job that other lanes have refused, or that it
has refused itself, in seconds."""


@define
class Refusing:
    """What refuses some kinds. `refused`: why it does not take a kind. `room`: how many jobs may be under way to it at
    once, of a kind of which it refused the last one in words that nobody knows. `under_way` are those that are."""

    refused: dict[Kind, Pause] = field(factory=dict, init=False)
    room: dict[Kind, int] = field(factory=dict, init=False)
    under_way: Counter[Kind] = field(factory=Counter, init=False)

    def is_full(self, kind: Kind | None) -> bool:
        return kind in self.room and self.under_way[kind] >= self.room[kind]

    def took(self, kind: Kind) -> bool:
        """Note that it took a job of this kind. Returns True if that changed anything."""
        return [self.room.pop(kind, None), self.refused.pop(kind, None)] != [None, None]


@define
class Budget(Refusing):
    """What one chat has taken lately, at what rates, and its cooldown (a 429). What it refuses is refused in each of
    its topics; a chat that is one lane has that in its lane alone."""

    name: str
    rates: LaneRates
    usage: Usage = field(factory=Usage)
    cooldown: Pause | None = None

    @property
    def free_at(self) -> float:
        return max(
            free_at(self.cooldown),
            usage.quota_free_at(self.usage, self.rates.quotas),
            usage.spacing_free_at(self.usage, self.rates.spacing_s),
        )


@define
class LaneState(Refusing):
    """One lane. `set_aside`: why it takes nothing (the bot may not write there)."""

    name: str
    budget: Budget
    address: str
    set_aside: Pause | None = None
    handed_out_at: float = -math.inf

    @property
    def rates(self) -> LaneRates:
        return self.budget.rates

    @property
    def usage(self) -> Usage:
        return self.budget.usage

    @property
    def pause(self) -> Pause | None:
        """Of the pauses for all kinds, whichever ends last, even if it is already over."""
        return last_to_end(self.budget.cooldown, self.set_aside)

    def pause_for(self, kind: Kind | None) -> Pause | None:
        """Of the pauses that a job of this kind waits for, whichever ends last. None: the lane's own alone."""
        return last_to_end(self.pause, self.refusal_of(kind))

    def refusal_of(self, kind: Kind | None) -> Pause | None:
        """Why the lane or its chat does not take the kind, even if that is over."""
        return None if kind is None else last_to_end(self.refused.get(kind), self.budget.refused.get(kind))

    @property
    def refused_kinds(self) -> set[Kind]:
        """The kinds that it or its chat refuses or has refused."""
        return {*self.refused, *self.budget.refused}

    def is_suspect(self, kind: Kind) -> bool:
        """Whether it or its chat has refused the kind in words that nobody knows, and has not taken it since."""
        return kind in self.room or kind in self.budget.room

    def free_at(self, kind: Kind | None = None) -> float:
        """When it takes a job of this kind; None: of a kind that it does not refuse."""
        if self.is_full(kind) or self.budget.is_full(kind):
            return math.inf
        return max(self.budget.free_at, free_at(self.pause_for(kind)))

    def is_out(self, kind: Kind | None, now: float) -> bool:
        """Whether it takes no job of this kind for a reason of its own, and not only for its rate."""
        return any(in_force(reason, now) for reason in (self.set_aside, self.refusal_of(kind)))


def all_of(budget: Budget) -> str:
    """What names all lanes of a budget, where one lane's name stands for it alone."""
    return f"{budget.name}/*"


def join_budgets(lanes: Iterable[LaneState], one: Budget, other: Budget) -> None:
    """Let the lanes of two budgets share `other` from now on: they are of one chat."""
    other.usage = usage.joined(one.usage, other.usage)
    other.cooldown = last_to_end(other.cooldown, one.cooldown)
    other.under_way.update(one.under_way)
    for lane in lanes:
        if lane.budget is one:
            lane.budget = other


def route_free_at(lanes: Collection[LaneState], route: Route) -> float:
    """When a job of that route may be sent to one of the lanes."""
    route = _last_resort(lanes, route)
    return min((_admits_at(lane, route) for lane in lanes), default=-math.inf)


def next_in_turn(lanes: Collection[LaneState], route: Route, now: float) -> LaneState:
    """The lane that takes the job: a free one, rather one that has not refused it, with the fewest attempts under
    way, used longest ago."""
    route = _last_resort(lanes, route)
    return min(
        lanes,
        key=lambda lane: (
            _admits_at(lane, route) > now,
            lane.name in route.barred.lanes,
            lane.usage.in_flight,
            lane.usage.handed_out_at,
            lane.handed_out_at,  # topics of one chat take turns too
        ),
    )


def _last_resort(lanes: Collection[LaneState], route: Route) -> Route:
    """A job whose attempts are used up waits for the lanes that have not refused it. If the settings name none of them
    any more, the others may take it: one more refusal ends it."""
    barred = route.barred
    if barred.until < math.inf or any(lane.name not in barred.lanes for lane in lanes):
        return route
    return route._replace(barred=Barred(barred.lanes, -math.inf))


def _admits_at(lane: LaneState, route: Route) -> float:
    """When the lane takes a job of that route.

    After it was set aside for refusals, it is tried first with a job that no lane has refused, then with one that only
    others have.
    """
    at, barred = lane.free_at(route.kind), route.barred
    if not barred.lanes:
        return at
    here = lane.name in barred.lanes
    if here:
        at = max(at, barred.until)
    if lane.is_suspect(route.kind) and (refused := lane.refusal_of(route.kind)) is not None:
        at = max(at, refused.free_at + (REFUSED_HERE_S if here else REFUSED_ELSEWHERE_S))
    return at
