"""Whose fault it is that an HTTP endpoint refuses: the object's or the endpoint's. Pure: time is passed in (seconds).

A 403 or a 404 may be about one object or about all of them: keys that were changed, a wrong path, a method that is not
allowed. The status does not say, and an endpoint cannot be probed without an object. So what it answers to other
objects decides:

- It stored another object between two refusals of this one: the job fails. So bad objects that are the last in the
  queue end, and do not pause the endpoint for one another.
- It refused `ALIKE` different objects in a row: the destination pauses, its jobs are kept, and refusals do not count.
- Otherwise the job is tried again, and the attempt counts.
"""

from __future__ import annotations

from collections import OrderedDict

from attrs import define, field

from streamwarm.errors import DestinationError

ALIKE = 3
"""Different objects that the endpoint has to refuse in a row. Fewer would stop it for one or two odd objects."""

FIRST_S, LONGEST_S = 30.0, 3600.0
"""How long the destination pauses at first, and at most. Each pause is twice as long as the one before. A few bad
objects in a row delay the others by half a minute once. Chats have the same (fault 45)."""

REMEMBERED = 1024
"""Refused jobs that are remembered until their next attempt, seconds later."""


@define
class EndpointHealth:
    """What one process has seen of an endpoint. `_row` are the jobs that were refused since it last stored one, and
    `_refused` has how many objects had been stored when a job was refused first."""

    _stored: int = 0
    _row: set[str] = field(factory=set)
    _refused: OrderedDict[str, int] = field(factory=OrderedDict)
    _pauses: int = 0
    _paused_until: float = 0.0

    def stored(self, job_id: str) -> None:
        """The endpoint has taken this job's object."""
        self._stored += 1
        self._row.clear()
        self._pauses = 0
        self._refused.pop(job_id, None)

    def judge(self, job_id: str, refusal: DestinationError, *, now: float) -> DestinationError:
        """Return the error that the attempt ends with."""
        if self._refused.setdefault(job_id, self._stored) < self._stored:
            del self._refused[job_id]
            return refusal
        if len(self._refused) > REMEMBERED:
            self._refused.popitem(last=False)
        if len(self._row) < ALIKE:
            self._row.add(job_id)
        if len(self._row) >= ALIKE:
            return self._pause(refusal, now)
        return DestinationError(refusal.code, refusal.message, permanent=False)

    def _pause(self, refusal: DestinationError, now: float) -> DestinationError:
        if now >= self._paused_until:  # those that were under way lengthen nothing
            self._paused_until = now + min(LONGEST_S, FIRST_S * 2.0 ** min(self._pauses, 10))
            self._pauses += 1
        return DestinationError(
            refusal.code,
            f"{refusal.message}; it refused {ALIKE} different objects in a row, so the destination is paused: correct "
            "its settings or the endpoint, then `streamwarm resume` it",
            permanent=False,
            retry_after_s=self._paused_until - now,
            counts=False,
            pauses_destination=True,
        )
