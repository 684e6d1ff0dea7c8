"""Operations of a store on the limits that processes share, and on deadlines; each in one transaction. Pure."""

from __future__ import annotations

import math

from attrs import evolve

from streamwarm.backlog.core.deadlines import Reset, ends_at
from streamwarm.backlog.core.shared_table import SharedTable
from streamwarm.backlog.core.tables import Tables
from streamwarm.backlog.shared_limits import SOURCE_LEASE, NamedLease, SharedLimits, SourcePause


def resume(tables: Tables, destination: str | None) -> None:
    """End the user's pause. Forget which lanes of a destination refused what: the user says that it is fixed."""
    shared = tables.shared
    shared.delete_pause(destination)
    if destination is not None:
        tables.jobs.unbar(destination)
        shared.delete_set_asides(destination)
    shared.count_resume(destination)


def pause_source(shared: SharedTable, now: float, reason: str) -> None:
    """Pause the bucket for every process, unless it is paused already. A row that cannot be read is replaced."""
    if shared.read_limits().source is None:
        shared.clear_lease(SOURCE_LEASE)
    shared.put_lease(NamedLease(SOURCE_LEASE, "", 0.0, SourcePause(reason, now).as_place()))


def take_lease(shared: SharedTable, now: float, name: str, token: str, lease_s: float, force: bool) -> bool:
    """Take the lease if it is free. Returns False if another token holds it.

    All holders take a lease for about the same time. If one ends much later, the clock was set back since it was taken,
    and it counts as free.
    """
    free_by = math.inf if force else now
    too_far = now + 60 + 3 * lease_s
    return shared.take_lease(name, token, now=free_by, expires_at=now + lease_s, too_far=too_far)


def shared_limits(shared: SharedTable, now: float, process: str) -> SharedLimits:
    """Record that `process` is alive, and read what is in force.

    Expired rows stay in their tables until they are replaced, so they are left out here.
    """
    shared.mark_alive(process, now)
    found = shared.read_limits()
    return evolve(
        found,
        pauses=[pause for pause in found.pauses if pause.until is None or pause.until > now],
        cooldowns=[
            evolve(cooldown, until=ends_at(cooldown.until, cooldown.set_at, now))
            for cooldown in found.cooldowns
            if cooldown.until > now
        ],
        set_asides=[evolve(one, until=ends_at(one.until, one.set_at, now)) for one in found.set_asides],
    )


def reset_deadlines(tables: Tables, to: Reset) -> None:
    """Reset the deadlines that were set before the clock was set back."""
    tables.jobs.reset_deadlines(to)
    tables.shared.reset_deadlines(to)
