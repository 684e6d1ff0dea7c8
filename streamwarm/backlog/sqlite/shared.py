"""What the processes of one SQLite file share."""

from __future__ import annotations

from attrs import asdict, frozen

from streamwarm.backlog.core import rows
from streamwarm.backlog.core.deadlines import Reset
from streamwarm.backlog.core.odd import OddRows
from streamwarm.backlog.core.small_tables import SHARED_LIMITS, shared_limits_from
from streamwarm.backlog.shared_limits import Cooldown, MovedLane, NamedLease, SetAside, SharedLimits, UserPause
from streamwarm.backlog.sqlite.statements import Statements
from streamwarm.model import Kind


@frozen(eq=False)
class SqliteShared:
    """A `SharedTable`."""

    _sql: Statements
    _odd: OddRows

    def put_pause(self, pause: UserPause) -> None:
        self._sql.run("put_pause", **rows.pause_row(pause))

    def delete_pause(self, destination: str | None) -> None:
        self._sql.run("delete_pause", destination=destination or "")

    def count_resume(self, destination: str | None) -> None:
        self._sql.run("count_mend", destination=destination or "")

    def put_moved_lane(self, moved: MovedLane) -> None:
        self._sql.run("put_moved_lane", **asdict(moved))

    def put_cooldown(self, cooldown: Cooldown) -> None:
        self._sql.run("put_silence", **rows.cooldown_row(cooldown))

    def put_set_aside(self, set_aside: SetAside) -> None:
        self._sql.run("put_set_aside", **rows.set_aside_row(set_aside))

    def delete_set_aside(self, destination: str, lane: str, kind: Kind) -> None:
        self._sql.run("delete_set_aside", destination=destination, lane=lane, kind=kind.value)

    def delete_set_asides(self, destination: str) -> None:
        self._sql.run("delete_set_asides", destination=destination)

    def reset_deadlines(self, to: Reset) -> None:
        self._sql.run("reset_cooldowns", **asdict(to))

    def clear_lease(self, name: str) -> None:
        self._sql.run("clear_lease", name=name)

    def put_lease(self, lease: NamedLease) -> None:
        self._sql.run("put_lease", **asdict(lease))

    def take_lease(self, name: str, token: str, *, now: float, expires_at: float, too_far: float) -> bool:
        names = {"name": name, "token": token, "now": now, "expires_at": expires_at, "too_far": too_far}
        return self._sql.one("take_lease", **names) is not None

    def delete_lease(self, name: str, token: str) -> bool:
        return self._sql.one("delete_lease", name=name, token=token) is not None

    def mark_alive(self, process: str, now: float) -> None:
        """Nothing is stored: one supervisor started all processes of this file and knows how many there are."""

    def read_limits(self) -> SharedLimits:
        return shared_limits_from([self._sql.all(name) for name in SHARED_LIMITS], 1, self._odd)

    def probe(self, now: float) -> None:
        self._sql.one("probe_tables")
        self._sql.run("probe", written_at=now)
