"""What processes share, for a store that has one process."""

from __future__ import annotations

from collections import Counter

from attrs import define, evolve, field

from streamwarm.backlog.shared_limits import (
    SOURCE_LEASE,
    Cooldown,
    MovedLane,
    NamedLease,
    SharedLimits,
    SourcePause,
    UserPause,
)


@define(eq=False)
class MemoryShared:
    """A `SharedTable`."""

    _pauses: dict[str | None, UserPause] = field(factory=dict)
    _resumes: Counter[str] = field(factory=Counter)
    _moved_lanes: dict[tuple[str, str], MovedLane] = field(factory=dict)
    _cooldowns: dict[tuple[str, str], Cooldown] = field(factory=dict)
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
        if key not in self._cooldowns or cooldown.until > self._cooldowns[key].until:
            self._cooldowns[key] = cooldown

    def put_lease(self, lease: NamedLease) -> None:
        self._leases.setdefault(lease.name, lease)

    def take_lease(self, name: str, token: str, *, now: float, expires_at: float) -> bool:
        held = self._leases.get(name)
        if held is None or (held.token != token and held.expires_at > now):
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
            source=SourcePause.from_place(source.place) if source else None,
            processes=1,
        )

    def probe(self, now: float) -> None:
        """Memory always takes writes."""
