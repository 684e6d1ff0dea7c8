"""What processes share, for a store that has one process."""

from __future__ import annotations

from collections import Counter

from attrs import define, field

from streamwarm.backlog.shared_limits import Cooldown, MovedLane, SharedLimits, UserPause


@define(eq=False)
class MemoryShared:
    """A `SharedTable`."""

    _pauses: dict[str | None, UserPause] = field(factory=dict)
    _resumes: Counter[str] = field(factory=Counter)
    _moved_lanes: dict[tuple[str, str], MovedLane] = field(factory=dict)
    _cooldowns: dict[tuple[str, str], Cooldown] = field(factory=dict)

    def put_pause(self, pause: UserPause) -> None:
        self._pauses[pause.destination] = pause

    def delete_pause(self, destination: str | None) -> None:
        self._pauses.pop(destination, None)

    def count_resume(self, destination: str) -> None:
        self._resumes[destination] += 1

    def put_moved_lane(self, moved: MovedLane) -> None:
        self._moved_lanes[moved.destination, moved.lane] = moved

    def put_cooldown(self, cooldown: Cooldown) -> None:
        key = (cooldown.destination, cooldown.lane or "")
        if key not in self._cooldowns or cooldown.until > self._cooldowns[key].until:
            self._cooldowns[key] = cooldown

    def mark_alive(self, process: str, now: float) -> None:
        """Nothing is stored: no other process can see this memory."""

    def read_limits(self) -> SharedLimits:
        return SharedLimits(
            pauses=sorted(self._pauses.values(), key=lambda pause: pause.destination or ""),
            resumes=dict(self._resumes),
            moved_lanes=[self._moved_lanes[lane] for lane in sorted(self._moved_lanes)],
            cooldowns=[self._cooldowns[key] for key in sorted(self._cooldowns)],
            processes=1,
        )

    def probe(self, now: float) -> None:
        """Memory always takes writes."""
