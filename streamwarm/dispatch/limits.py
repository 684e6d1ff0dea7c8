"""When a destination may be sent to, and through which of its lanes. Pure: time is passed in (Unix seconds).

A destination is free when nothing pauses it, its quotas have room, and one of its lanes is free. Lanes are used in
turn: among the free ones, the one with the fewest attempts under way, then the one that was used longest ago.
Pauses and budgets meet here because both decide that; their own rules are in `pauses.py`, `usage.py` and `lanes.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from attrs import define, field

from streamwarm.dispatch import usage
from streamwarm.dispatch.destination_state import DestinationState
from streamwarm.dispatch.lanes import Budget, LaneState, join_budgets, next_in_turn
from streamwarm.dispatch.pause_log import PauseLog
from streamwarm.dispatch.pauses import Pause, after_resume, free_at, in_force, last_to_end
from streamwarm.model import Kind, Lane, Route
from streamwarm.priority import PausedTimes
from streamwarm.send.destination import UNLIMITED, LaneRates, Rates


@define
class Limits:
    """The limits of every destination by name; one that `rates` does not name has no limits.

    A destination's own pauses (429, a revoked token, a deleted chat) and a user's are kept apart. Each ends by its own
    rule, and nothing is handed out while either is in force. A user's pause of the whole service has the key None.
    This process uses one of `processes` equal shares of every budget. `source_pause`: nothing is read from the bucket.
    `log` remembers the pauses: they do not count as waiting.
    """

    rates: Mapping[str, Rates] = field(factory=dict)
    processes: int = 1
    source_pause: Pause | None = None
    log: PauseLog = field(factory=PauseLog)
    _states: dict[str, DestinationState] = field(factory=dict)
    _user_pauses: Mapping[str | None, Pause] = field(factory=dict)

    def state(self, destination: str) -> DestinationState:
        """What is known of the destination. The caller must not change it."""
        found = self._states.get(destination)
        if found is None:
            rates = self.rates.get(destination, UNLIMITED).share(self.processes)
            budgets = {key: Budget(key, lane) for name, lane in rates.lanes.items() for key in (lane.budget or name,)}
            lanes = {name: LaneState(name, budgets[lane.budget or name], name) for name, lane in rates.lanes.items()}
            found = self._states[destination] = DestinationState(rates, lanes)
        return found

    def share(self, processes: int) -> bool:
        """Share every budget among so many processes. Returns True if that changed anything."""
        if processes == self.processes:
            return False
        self.processes = processes
        for destination, state in self._states.items():
            state.rates = self.rates.get(destination, UNLIMITED).share(processes)
            for lane in state.lanes.values():
                lane.budget.rates = state.rates.lanes[lane.name]
        return True

    def pause(self, destination: str, pause: Pause) -> None:
        """Pause until `pause.until`. Of two deadlines the later one wins."""
        self.cool_down(destination, None, pause)

    def cool_down(self, destination: str, lane: str | None, pause: Pause) -> bool:
        """Pause the lane's chat alone, or the whole destination (None), as the process that was answered 429 decided.

        Returns True if that changed anything. A lane that is not configured any more is ignored.
        """
        state = self.state(destination)
        if lane is None:
            before, state.paused = state.paused, last_to_end(state.paused, pause)
            return state.paused is not before
        if (found := state.lanes.get(lane)) is None:
            return False
        budget = found.budget
        before, budget.cooldown = budget.cooldown, last_to_end(budget.cooldown, pause)
        return budget.cooldown is not before

    def cool_down_lane(self, destination: str, lane: str, pause: Pause, now: float) -> bool:
        """Start the cooldown of a lane that answered 429. Returns True if the whole destination cools down.

        Telegram does not say whether the chat's limit was hit or the bot's. The chat's is tighter, so the lane alone
        cools down. If another lane of the same bot cools down already, the limit is taken for the bot's.
        """
        lanes = self.state(destination).lanes
        own = lanes[lane].budget if lane in lanes else None
        others = (other.budget for other in lanes.values() if other.budget is not own)
        if own is None or any(free_at(other.cooldown) > now for other in others):
            self.pause(destination, pause)
            return True
        self.cool_down(destination, lane, pause)
        return False

    def set_lane_aside(self, destination: str, lane: str, pause: Pause) -> bool:
        """Send nothing to a lane that is out of order; the destination's other lanes go on. Returns True if that
        changed anything."""
        if (found := self.state(destination).lanes.get(lane)) is None:
            return False
        before, found.set_aside = found.set_aside, last_to_end(found.set_aside, pause)
        return found.set_aside is not before

    def refuse_kind(self, destination: str, lane: str, kind: Kind, pause: Pause) -> bool:
        """Send no job of this kind to a lane that refuses it, or to all lanes of a chat (`lanes.all_of`); others go on.
        Returns True if that changed anything."""
        if (found := self.state(destination).refusing(lane)) is None:
            return False
        before, found.refused[kind] = found.refused.get(kind), last_to_end(found.refused.get(kind), pause) or pause
        return found.refused[kind] is not before

    def usable(self, destination: str, kind: Kind, now: float) -> list[str]:
        """Return the lanes that may take this kind: all that are not set aside for a reason that the destination named.
        A lane that refuses the kind in unknown words is among them."""
        return [
            lane.name
            for lane in self.state(destination).lanes.values()
            if not lane.is_out(None if lane.is_suspect(kind) else kind, now)
        ]

    def suspect(self, destination: str, lane: str, kind: Kind, room: int) -> None:
        """Let at most `room` jobs of this kind be under way to the lane, or to all lanes of a chat, at once, until it
        takes one (`took`)."""
        if (found := self.state(destination).refusing(lane)) is not None:
            found.room[kind] = room

    def took(self, destination: str, lane: str, kind: Kind) -> bool:
        """Note that the lane, or a lane of a chat, took a job of this kind: what it refused before was the fault of
        those jobs. Returns True if that changed anything."""
        found = self.state(destination).refusing(lane)
        return found is not None and found.took(kind)

    def move_lane(self, destination: str, lane: str, address: str) -> bool:
        """Reach the lane at `address` from now on. Returns True if that changed anything.

        A lane that is not configured any more is ignored. If the address is another lane's already, this lane is set
        aside: both would send to one chat, at twice its rate. A lane that is another topic of the same chat by now
        shares its budget.
        """
        state = self.state(destination)
        lanes, budget_at = state.lanes, state.rates.budget_at
        if (found := lanes.get(lane)) is None or found.address == address:
            return False
        found.address = address
        for other in lanes.values():
            if other.budget is not found.budget and budget_at(other.address) == budget_at(address):
                join_budgets(lanes.values(), found.budget, other.budget)
        if twin := next((name for name, other in lanes.items() if other.address == address and name != lane), None):
            found.set_aside = Pause(None, f"it is the same chat as {twin} by now: remove it from `chats`")
        return True

    def recall(self, destination: str, address: str, at: float) -> None:
        """Count a message that an earlier process sent to that address at that time."""
        lane = next((lane for lane in self.state(destination).lanes.values() if lane.address == address), None)
        if lane is not None:
            lane.budget.usage = usage.recalled(lane.usage, at, lane.rates)

    def resume(self, destination: str, at: float = -math.inf) -> None:
        """End the pauses whose cause a user has fixed, of the destination and its lanes. A 429's deadline stays. `at`
        is the store's time at which this became known."""
        state = self.state(destination)
        state.resumed_at = max(state.resumed_at, at)
        state.paused = after_resume(state.paused)
        for lane in state.lanes.values():
            lane.set_aside = None if lane.set_aside is None or lane.set_aside.fixable else lane.set_aside
            for one in (lane, lane.budget):
                one.refused.clear()
                one.room.clear()

    def replace_user_pauses(self, pauses: Mapping[str | None, Pause]) -> bool:
        """Replace the pauses ordered by users. Returns True if anything changed."""
        changed = dict(pauses) != self._user_pauses
        self._user_pauses = dict(pauses)
        return changed

    def service_pause(self, now: float) -> Pause | None:
        """The pause of the whole service, if it is in force."""
        return in_force(self._user_pauses.get(None), now)

    def free_at(self, destination: str) -> float:
        """When the destination may be sent to next: in the past if it may already.

        `inf` if only a user ends its pause, or the whole service's, or if it depends on attempts under way.
        """
        return max(self._user_pauses_end_at(destination), self.state(destination).free_at())

    def route_free_at(self, route: Route) -> float:
        """When a job of that route may be sent next; otherwise as `free_at`."""
        return max(self._user_pauses_end_at(route.destination), self.state(route.destination).free_at(route))

    def _user_pauses_end_at(self, destination: str) -> float:
        return free_at(last_to_end(self._user_pauses.get(None), self._user_pauses.get(destination)))

    def next_change_at(self, now: float) -> float | None:
        """When the next pause or budget frees a destination by itself; None if none will."""
        kinds = (Route(name, kind) for name, state in self._states.items() for kind in state.refused_kinds)
        times = [
            *map(self.free_at, self._states),
            *map(self.route_free_at, kinds),
            *map(free_at, self._user_pauses.values()),
        ]
        return min((at for at in times if now < at < math.inf), default=None)

    def active(self, now: float) -> dict[str, Pause]:
        """The pauses of whole destinations that are in force; of two, the user's, which a user can end."""
        names = {*self._states, *(name for name in self._user_pauses if name is not None)}
        pauses = (
            (name, in_force(self._user_pauses.get(name), now) or in_force(self.state(name).pause, now))
            for name in sorted(names)
        )
        return {name: pause for name, pause in pauses if pause is not None}

    def paused_kinds(self, now: float) -> dict[str, frozenset[Kind]]:
        """The kinds that no lane takes now, by destination."""
        found = {name: frozenset(state.paused_kinds(now)) for name, state in self._states.items()}
        return {name: kinds for name, kinds in found.items() if kinds}

    def note_pauses(self, now: float, store_now: float) -> PausedTimes:
        """Remember what is paused now. Returns when nothing could be sent, by the store's clock.

        `now` is by the clock of the limits, `store_now` the same moment by the store's.
        """
        pauses = [(name, "own", pause) for name, pause in self.active(now).items()]
        common = [(None, "source", self.source_pause), (None, "service", self.service_pause(now))]
        self.log.note(
            {
                (name, what): (name, pause.since, pause.free_at - now + store_now)
                for name, what, pause in [*common, *pauses]
                if pause is not None
            },
            store_now,
        )
        return self.log.times

    def reserve(self, route: Route, now: float) -> Lane | None:
        """Reserve a place in the budget of a free destination for one attempt. Returns its lane, if there are lanes."""
        state = self.state(route.destination)
        state.usage = usage.handed_out(state.usage, now)
        if not state.lanes:
            return None
        lane = next_in_turn(state.lanes.values(), route, now)
        lane.budget.usage = usage.handed_out(lane.usage, now)
        lane.under_way[route.kind] += 1
        lane.budget.under_way[route.kind] += 1
        lane.handed_out_at = now
        return Lane(lane.name, lane.address)

    def departs_at(self, destination: str, lane: Lane | None, size_bytes: int) -> float:
        """When an attempt that was handed out may send its last bytes; in the past if it may already."""
        state = self.state(destination)
        at = max(free_at(state.paused), state.size_departs_at.get(size_bytes, -math.inf))
        if (found := self._lane(destination, lane)) is not None:
            at = max(at, free_at(found.pause), found.usage.departs_at)
        return at

    def await_departure(self, destination: str, lane: Lane | None, by: int) -> None:
        """Count one attempt more (`by` 1) that waits for its departure, or one less (-1)."""
        if (found := self._lane(destination, lane)) is not None:
            found.budget.usage = usage.departing(found.usage, by)

    def depart(self, destination: str, lane: Lane | None, size_bytes: int, now: float) -> None:
        """Count an attempt that sends its last bytes now."""
        state = self.state(destination)
        state.size_departs_at = {size: at for size, at in state.size_departs_at.items() if at > now}
        if (spacing_s := state.rates.equal_size_spacing_s(size_bytes)) > 0:
            state.size_departs_at[size_bytes] = now + spacing_s
        if (found := self._lane(destination, lane)) is not None:
            found.budget.usage = usage.departed(found.usage, now, found.rates.spacing_s)

    def end(self, route: Route, lane: Lane | None, departed_at: float | None, now: float) -> None:
        """Free the place of an attempt that has ended. It counts if it departed: `departed_at` is not None."""
        state = self.state(route.destination)
        state.usage = usage.ended(state.usage, now, departed_at, LaneRates(quotas=state.rates.quotas))
        if (found := self._lane(route.destination, lane)) is not None:
            found.budget.usage = usage.ended(found.usage, now, departed_at, found.rates)
            found.under_way[route.kind] -= 1
            found.budget.under_way[route.kind] -= 1

    def budget_name(self, destination: str, lane: Lane | None) -> str | None:
        """What names the budget of the lane: its chat. None without a lane."""
        return None if (found := self._lane(destination, lane)) is None else found.budget.name

    def _lane(self, destination: str, lane: Lane | None) -> LaneState | None:
        return None if lane is None else self.state(destination).lanes.get(lane.name)
