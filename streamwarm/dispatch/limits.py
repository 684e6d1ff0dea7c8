"""When a destination may be sent to, and through which of its lanes. Pure: time is passed in (Unix seconds).

A destination is free when nothing pauses it, its quotas have room, and one of its lanes is free. Lanes are used in
turn: of those that are free, the one with the fewest attempts under way, then the one that was used longest ago.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from attrs import define, field, frozen

from streamwarm.dispatch import usage
from streamwarm.dispatch.usage import Usage
from streamwarm.model import Lane
from streamwarm.send.destination import UNLIMITED, LaneRates, Rates


@frozen
class Pause:
    """`until` is None where only a person ends it; `by_user` where a person ordered it; `mendable` where a person can
    mend what it is for, so that there is no sense in waiting for `until` once they say that they have."""

    until: float | None
    reason: str
    by_user: bool = False
    mendable: bool = False

    @property
    def free_at(self) -> float:
        return math.inf if self.until is None else self.until


@define
class LaneState:
    """One lane: its budget, why it is silent (a 429), and why it is set aside (the bot may not write there)."""

    name: str
    rates: LaneRates
    address: str
    usage: Usage = field(factory=Usage)
    silent: Pause | None = None
    aside: Pause | None = None

    @property
    def pause(self) -> Pause | None:
        """The pause that ends last, over or not."""
        return _last(self.silent, self.aside)

    @property
    def free_at(self) -> float:
        return max(
            _free_at(self.pause),
            usage.quota_free_at(self.usage, self.rates.quotas),
            usage.spacing_free_at(self.usage, self.rates.spacing_s),
        )


@define
class DestinationState:
    """One destination: its own budget and pause, and its lanes. `size_departs_at`: when an object of exactly that many
    bytes may depart next."""

    rates: Rates
    lanes: dict[str, LaneState]
    usage: Usage = field(factory=Usage)
    paused: Pause | None = None
    size_departs_at: dict[int, float] = field(factory=dict)

    @property
    def pause(self) -> Pause | None:
        """What pauses all of it, over or not: its own pause, or where every lane has one, that which ends first."""
        lanes = [lane.pause for lane in self.lanes.values()]
        pauses = [pause for pause in lanes if pause is not None]
        if not pauses or len(pauses) < len(lanes):
            return self.paused
        return _last(self.paused, min(pauses, key=_free_at))

    @property
    def free_at(self) -> float:
        return max(
            _free_at(self.paused),
            usage.quota_free_at(self.usage, self.rates.quotas),
            min((lane.free_at for lane in self.lanes.values()), default=-math.inf),
        )


@define
class Limits:
    """The destinations by name, by what `rates` says of them; one that it does not name has no limits.

    A destination's own pauses (429, a revoked token, a chat that is gone) and a person's are kept apart: each ends by
    its own rule, and nothing is handed out while either stands. A person's pause of the whole service is kept under
    None. Of every budget, this process uses the share of one of `processes`.
    """

    rates: Mapping[str, Rates] = field(factory=dict)
    processes: int = 1
    _states: dict[str, DestinationState] = field(factory=dict)
    _held: Mapping[str | None, Pause] = field(factory=dict)

    def state(self, destination: str) -> DestinationState:
        """What is known of the destination, to be read."""
        found = self._states.get(destination)
        if found is None:
            rates = self.rates.get(destination, UNLIMITED).share(self.processes)
            lanes = {name: LaneState(name, lane, name) for name, lane in rates.lanes.items()}
            found = self._states[destination] = DestinationState(rates, lanes)
        return found

    def share(self, processes: int) -> bool:
        """So many processes share every budget from now on; whether that is news."""
        if processes == self.processes:
            return False
        self.processes = processes
        for destination, state in self._states.items():
            state.rates = self.rates.get(destination, UNLIMITED).share(processes)
            for lane in state.lanes.values():
                lane.rates = state.rates.lanes[lane.name]
        return True

    def pause(self, destination: str, pause: Pause) -> None:
        """Pause until `pause.until`; of two deadlines the later one wins."""
        self.silence(destination, None, pause)

    def silence(self, destination: str, lane: str | None, pause: Pause) -> bool:
        """Silence the lane alone, or the whole destination (None), by the word of whoever found out which; whether that
        is news. A lane that is not configured any more is left alone."""
        state = self.state(destination)
        if lane is None:
            before, state.paused = state.paused, _last(state.paused, pause)
            return state.paused is not before
        if (found := state.lanes.get(lane)) is None:
            return False
        before, found.silent = found.silent, _last(found.silent, pause)
        return found.silent is not before

    def silence_lane(self, destination: str, lane: str, pause: Pause, now: float) -> bool:
        """The lane answered 429. Telegram does not say whose limit was hit, the chat's or the bot's: the chat's is the
        tighter one, so the lane is silenced alone. When another lane of the same bot is silent already, the limit is
        taken for the bot's, which then is silent as a whole; True says so."""
        lanes = self.state(destination).lanes
        if lane not in lanes or any(_free_at(o.silent) > now for o in lanes.values() if o.name != lane):
            self.pause(destination, pause)
            return True
        self.silence(destination, lane, pause)
        return False

    def set_lane_aside(self, destination: str, lane: str, pause: Pause) -> None:
        """Nothing can be sent there; the destination's other lanes go on."""
        if (found := self.state(destination).lanes.get(lane)) is not None:
            found.aside = _last(found.aside, pause)

    def move_lane(self, destination: str, lane: str, address: str) -> bool:
        """The lane is reached at `address` from now on; whether that is news. A lane that is not configured any more is
        left alone; one that has become the same as another is set aside, or that one would be sent to at twice its
        rate."""
        lanes = self.state(destination).lanes
        if (found := lanes.get(lane)) is None or found.address == address:
            return False
        found.address = address
        if twin := next((name for name, other in lanes.items() if other.address == address and name != lane), None):
            found.aside = Pause(None, f"it is the same chat as {twin} by now: remove it from `chats`")
        return True

    def recall(self, destination: str, address: str, at: float) -> None:
        """A message was made there at that time, by a process that is gone."""
        for lane in self.state(destination).lanes.values():
            if lane.address == address:
                lane.usage = usage.recalled(lane.usage, at, lane.rates)

    def resume(self, destination: str) -> None:
        """A person has mended what the destination, or a lane of it, was out for; a deadline that it named stays."""
        state = self.state(destination)
        state.paused = _unmended(state.paused)
        for lane in state.lanes.values():
            lane.aside = None if lane.aside is None or lane.aside.mendable else lane.aside

    def hold(self, held: Mapping[str | None, Pause]) -> bool:
        """These are all the pauses that people have ordered; whether that is news."""
        changed = dict(held) != self._held
        self._held = dict(held)
        return changed

    def held(self, now: float) -> Pause | None:
        """The pause of the whole service, if it is in force."""
        return _in_force(self._held.get(None), now)

    def may_send(self, destination: str, now: float) -> bool:
        return self.free_at(destination) <= now

    def free_at(self, destination: str) -> float:
        """When the destination may be sent to next: long ago where it may already, `inf` where only a person ends its
        pause, or that of the whole service, or where it depends on attempts that are under way."""
        held = _last(self._held.get(None), self._held.get(destination))
        return max(_free_at(held), self.state(destination).free_at)

    def next_change_at(self, now: float) -> float | None:
        """When a destination, or a person's pause, is next free by itself, None if none will be."""
        times = [*map(self.free_at, self._states), *map(_free_at, self._held.values())]
        return min((at for at in times if now < at < math.inf), default=None)

    def active(self, now: float) -> dict[str, Pause]:
        """The pauses of whole destinations that are in force; of two, a person's, which is theirs to end."""
        names = {*self._states, *(name for name in self._held if name is not None)}
        pauses = (
            (name, _in_force(self._held.get(name), now) or _in_force(self.state(name).pause, now))
            for name in sorted(names)
        )
        return {name: pause for name, pause in pauses if pause is not None}

    def reserve(self, destination: str, now: float) -> Lane | None:
        """Hold a place for one attempt at a destination that is free, and say in which lane, if it has any."""
        state = self.state(destination)
        state.usage = usage.handed_out(state.usage, now)
        if not state.lanes:
            return None
        lane = _next_in_turn(state.lanes.values(), now)
        lane.usage = usage.handed_out(lane.usage, now)
        return Lane(lane.name, lane.address)

    def departs_at(self, destination: str, lane: Lane | None, size_bytes: int) -> float:
        """When an attempt that was handed out may send its last bytes."""
        state = self.state(destination)
        at = max(_free_at(state.paused), state.size_departs_at.get(size_bytes, -math.inf))
        if (found := self._lane(destination, lane)) is not None:
            at = max(at, _free_at(found.pause), found.usage.departs_at)
        return at

    def await_departure(self, destination: str, lane: Lane | None, by: int) -> None:
        """One more attempt (`by` 1) waits for its departure, or one less (-1)."""
        if (found := self._lane(destination, lane)) is not None:
            found.usage = usage.departing(found.usage, by)

    def depart(self, destination: str, lane: Lane | None, size_bytes: int, now: float) -> None:
        """An attempt sends its last bytes now."""
        state = self.state(destination)
        state.size_departs_at = {size: at for size, at in state.size_departs_at.items() if at > now}
        if (spacing_s := state.rates.equal_size_spacing_s(size_bytes)) > 0:
            state.size_departs_at[size_bytes] = now + spacing_s
        if (found := self._lane(destination, lane)) is not None:
            found.usage = usage.departed(found.usage, now, found.rates.spacing_s)

    def end(self, destination: str, lane: Lane | None, departed_at: float | None, now: float) -> None:
        """An attempt is over, and departed at that time (None: it did not); its place was reserved."""
        state = self.state(destination)
        state.usage = usage.ended(state.usage, now, departed_at, LaneRates(quotas=state.rates.quotas))
        if (found := self._lane(destination, lane)) is not None:
            found.usage = usage.ended(found.usage, now, departed_at, found.rates)

    def _lane(self, destination: str, lane: Lane | None) -> LaneState | None:
        return None if lane is None else self.state(destination).lanes.get(lane.name)


def _next_in_turn(lanes: Iterable[LaneState], now: float) -> LaneState:
    return min(lanes, key=lambda lane: (lane.free_at > now, lane.usage.in_flight, lane.usage.handed_out_at))


def _free_at(pause: Pause | None) -> float:
    return -math.inf if pause is None else pause.free_at


def _last(one: Pause | None, other: Pause | None) -> Pause | None:
    """The one that ends later; `one` where they end together."""
    return other if _free_at(other) > _free_at(one) else one


def _in_force(pause: Pause | None, now: float) -> Pause | None:
    return pause if _free_at(pause) > now else None


def _unmended(pause: Pause | None) -> Pause | None:
    return None if pause is None or pause.mendable or pause.until is None else pause
