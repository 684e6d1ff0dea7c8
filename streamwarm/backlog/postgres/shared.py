"""What the processes and hosts of one PostgreSQL database share."""

from __future__ import annotations

from attrs import asdict, frozen

from streamwarm.backlog.core import rows
from streamwarm.backlog.core.deadlines import Reset
from streamwarm.backlog.core.odd import OddRows
from streamwarm.backlog.core.small_tables import SHARED_LIMITS, shared_limits_from
from streamwarm.backlog.postgres.statements import Statements
from streamwarm.backlog.shared_limits import Cooldown, MovedLane, NamedLease, SetAside, SharedLimits, UserPause
from streamwarm.model import Kind

ALIVE_S = 15.0
"""A process that was not heard of for this long counts as dead. Each reports every 2 s. A pause of garbage collection
or a slow commit must not free its share of the budgets."""


@frozen(eq=False)
class PostgresShared:
    """A `SharedTable`."""

    _sql: Statements
    _odd: OddRows

    def put_pause(self, pause: UserPause) -> None:
        self._sql.write("put_pause", **rows.pause_row(pause))

    def delete_pause(self, destination: str | None) -> None:
        self._sql.write("delete_pause", destination=destination or "")

    def count_resume(self, destination: str | None) -> None:
        self._sql.write("count_mend", destination=destination or "")

    def put_moved_lane(self, moved: MovedLane) -> None:
        self._sql.write("put_moved_lane", **asdict(moved))

    def put_cooldown(self, cooldown: Cooldown) -> None:
        self._sql.write("put_silence", **rows.cooldown_row(cooldown))

    def put_set_aside(self, set_aside: SetAside) -> None:
        self._sql.write("put_set_aside", **rows.set_aside_row(set_aside))

    def delete_set_aside(self, destination: str, lane: str, kind: Kind) -> None:
        self._sql.write("delete_set_aside", destination=destination, lane=lane, kind=kind.value)

    def delete_set_asides(self, destination: str) -> None:
        self._sql.write("delete_set_asides", destination=destination)

    def reset_deadlines(self, to: Reset) -> None:
        self._sql.write("reset_cooldowns", **asdict(to))

    def clear_lease(self, name: str) -> None:
        self._sql.write("clear_lease", name=name)

    def put_lease(self, lease: NamedLease) -> None:
        self._sql.write("put_lease", **asdict(lease))

    def take_lease(self, name: str, token: str, *, now: float, expires_at: float, too_far: float) -> bool:
        return self._sql.change("take_lease", name=name, token=token, now=now, expires_at=expires_at, too_far=too_far)

    def delete_lease(self, name: str, token: str) -> bool:
        return self._sql.change("delete_lease", name=name, token=token)

    def mark_alive(self, process: str, now: float) -> None:
        self._sql.write("put_process", id=process, seen_at=now)
        self._sql.write("delete_processes", seen_before=now - ALIVE_S, seen_after=now + ALIVE_S)

    def read_limits(self) -> SharedLimits:
        """In one reading: every process asks every 2 s, and its other writes wait meanwhile."""
        asked = [self._sql.send(name) for name in (*SHARED_LIMITS, "count_processes")]
        self._sql.sync()
        *found, [counted] = (cursor.fetchall() for cursor in asked)
        return shared_limits_from(found, counted["processes"], self._odd)

    def probe(self, now: float) -> None:
        self._sql.one("probe_tables")
        self._sql.write("probe", written_at=now)
