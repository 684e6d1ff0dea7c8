"""Keeps deadlines right if the clock is set. Pure: times are passed in.

A deadline is stored beside the time at which it was set. The wait is the difference of the two. If the deadline was
set in the future, the clock was set back since, and the wait begins anew. So a step of the clock makes no wait longer
than twice what it was.

If the clock is set forward, waits end early, as they do when a machine wakes up. Two things must not: jobs are not
taken from workers that had no time to renew their leases (`Steps.is_settled`), and nothing is deleted by
its age (`SlowClock`).
"""

from __future__ import annotations

from attrs import define, frozen

from streamwarm.errors import LONGEST_WAIT_S

STEP_S = 5.0
"""A smaller difference between two clocks is not a step, in seconds: two hosts differ by as much, and a reading of the
clock may be that old."""

LATEST_S = 253_402_300_799.0
"""The last second of the year 9999. No later time can be written as RFC 3339."""

BELIEVED_AFTER_S = 86_400.0
"""How long a step forward must last before anything is deleted by the new time, in seconds: a wrong year is noticed
within a day."""


@frozen
class Reset:
    """Which deadlines to reset at `now` (Unix seconds): those that were set at `ahead_from` or later, and leases that
    end at `lease_from` or later. A time after `latest` is invalid. No wait becomes longer than `longest_s`."""

    now: float
    ahead_from: float
    lease_s: float
    lease_from: float
    latest: float = LATEST_S
    longest_s: float = LONGEST_WAIT_S


def reset_at(now: float, lease_s: float) -> Reset:
    """A host may have longer leases than this one, so a lease is reset only if it ends ten times as late."""
    return Reset(now, ahead_from=now + STEP_S, lease_s=lease_s, lease_from=now + 10 * lease_s + STEP_S)


def ends_at(until: float, set_at: float | None, now: float) -> float:
    """When a wait ends: at `until`, or, if the clock was set back since it began, after the same wait from now on."""
    if set_at is None:
        return min(until, now + LONGEST_WAIT_S)
    return until if set_at <= now + STEP_S else now + min(max(until - set_at, 0.0), LONGEST_WAIT_S)


@define
class Steps:
    """Notices when the clock was set, against a steady one (seconds that never go back)."""

    _ahead_s: float | None = None
    _stepped_at: float | None = None

    def measure(self, now: float, steady: float) -> float:
        """Return by how many seconds the clock was set since the last call, 0 if it was not."""
        before, self._ahead_s = self._ahead_s, now - steady
        step_s = 0.0 if before is None else self._ahead_s - before
        if abs(step_s) < STEP_S:
            return 0.0
        self._stepped_at = steady
        return step_s

    def is_settled(self, steady: float, lease_s: float) -> bool:
        """Whether every process has had the time to renew its leases since the last step."""
        return self._stepped_at is None or steady >= self._stepped_at + lease_s


@define
class SlowClock:
    """A clock that is never ahead of the others for long: it follows a step forward only once that has lasted
    `BELIEVED_AFTER_S`, and a step back at once. Unix seconds."""

    _ahead_s: float | None = None
    _doubted_since: float | None = None

    def read(self, now: float, steady: float) -> float:
        ahead_s = now - steady
        if self._ahead_s is None or ahead_s < self._ahead_s + STEP_S:
            self._ahead_s, self._doubted_since = ahead_s, None
        elif self._doubted_since is None:
            self._doubted_since = steady
        elif steady >= self._doubted_since + BELIEVED_AFTER_S:
            self._ahead_s, self._doubted_since = ahead_s, None
        return steady + self._ahead_s
