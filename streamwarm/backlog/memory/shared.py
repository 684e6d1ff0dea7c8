"""What processes share, for a store that has one process."""

from __future__ import annotations

import math
from collections import Counter

from attrs import asdict, define, evolve, field

from streamwarm.backlog.core.deadlines import STEP_S, Reset
from streamwarm.backlog.core.small_tables import source_pause_from
from streamwarm.backlog.shared_limits import (
    SOURCE_LEASE,
    Cooldown,
    MovedLane,
    NamedLease,
    SetAside,
    SharedLimits,
    UserPause,
)
from streamwarm.model import Kind


@define(eq=False)
class MemoryShared:
    """A `SharedTable`."""

    _pauses: dict[str | None, UserPause] = field(factory=dict)
    _resumes: Counter[str] = field(factory=Counter)
    _moved_lanes: dict[tuple[str, str], MovedLane] = field(factory=dict)
    _cooldowns: dict[tuple[str, str], Cooldown] = field(factory=dict)
    _set_asides: dict[tuple[str, str, str], SetAside] = field(factory=dict)
    _leases: dict[str, NamedLease] = field(factory=dict)

    def put_pause(self, pause: UserPause) -> None:
        self._pauses[pause.destination] = pause

    def delete_pause(self, destination: str | None) -> None:
        self._pauses.pop(destination, None)

    def count_resume(self, destination: str | None) -> None:
        self._resumes[destination or ""] += 1

    def put_moved_lane(self, moved: MovedLane) -> None:
        self._moved_lanes[moved.destination, moved.lane] = moved

    def put_cooldown(self, cooldown: Cooldown) -> None:
        key = (cooldown.destination, cooldown.lane or "")
        held = self._cooldowns.get(key)
        is_of_a_clock_ahead = held is not None and (held.set_at or 0.0) > (cooldown.set_at or math.inf) + STEP_S
        if held is None or cooldown.until > held.until or is_of_a_clock_ahead:
            self._cooldowns[key] = cooldown

    def put_set_aside(self, set_aside: SetAside) -> None:
        self._set_asides[set_aside.destination, set_aside.lane, set_aside.kind or ""] = set_aside

    def delete_set_aside(self, destination: str, lane: str, kind: Kind) -> None:
        self._set_asides.pop((destination, lane, kind), None)

    def delete_set_asides(self, destination: str) -> None:
        for key in [key for key in self._set_asides if key[0] == destination]:
            del self._set_asides[key]

    def reset_deadlines(self, to: Reset) -> None:
        for key, held in self._cooldowns.items():
            set_at = to.now if held.set_at is None else held.set_at
            if set_at >= to.ahead_from or held.until > to.now + to.longest_s:
                waits_s = min(max(held.until - set_at, 0.0), to.longest_s)
                self._cooldowns[key] = evolve(held, until=to.now + waits_s, set_at=to.now)

    def clear_lease(self, name: str) -> None:
        self._leases.pop(name, None)

    def put_lease(self, lease: NamedLease) -> None:
        self._leases.setdefault(lease.name, lease)

    def take_lease(self, name: str, token: str, *, now: float, expires_at: float, too_far: float) -> bool:
        held = self._leases.get(name)
        if held is None or (held.token != token and now < held.expires_at <= too_far):
            return False
        self._leases[name] = evolve(held, token=token, expires_at=expires_at)
        return True

    def delete_lease(self, name: str, token: str) -> bool:
        is_held = name in self._leases and self._leases[name].token == token
        if is_held:
            del self._leases[name]
        return is_held

    def mark_alive(self, process: str, now: float) -> None:
        """Nothing is stored: no other process can see this memory."""

    def read_limits(self) -> SharedLimits:
        source = self._leases.get(SOURCE_LEASE)
        return SharedLimits(
            pauses=sorted(self._pauses.values(), key=lambda pause: pause.destination or ""),
            resumes={name: number for name, number in self._resumes.items() if name},
            service_resumes=self._resumes[""],
            moved_lanes=[self._moved_lanes[lane] for lane in sorted(self._moved_lanes)],
            cooldowns=[self._cooldowns[key] for key in sorted(self._cooldowns)],
            set_asides=[self._set_asides[key] for key in sorted(self._set_asides)],
            source=source_pause_from(asdict(source)) if source else None,
            processes=1,
        )

    def probe(self, now: float) -> None:
        """Memory always takes writes."""
