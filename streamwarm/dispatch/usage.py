"""What a destination, or one lane of it, has taken lately: a few numbers, and when it takes the next message. Pure.

A message counts at the destination at some time between its last byte's departure and its answer's arrival. That time
cannot be known, so both ends are used, each where it is the safe one. An attempt takes a place in every quota from its
hand-out until it ends, and in the quota's window from then on. At any time, the messages of a window and the attempts
under way are together at most the quota. So the quota is kept whenever each of them completes, and no attempt has to
wait for it at the end of an upload.

The spacing between two messages cannot be kept that way, or large uploads into one lane would run one at a time. It is
kept where uploads end: an attempt departs (sends its last bytes) only once the lane is due, and the lane is due
`spacing_s` after the answer to the previous departure. If that answer takes longer than `ANSWER_GRACE_S`, the next one
departs all the same, because short bursts are tolerated
(https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this).

Records are frozen and made of numbers, so a store could keep them if several hosts shared one budget: each function
below would then be one read and one write of a row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from attrs import evolve, frozen

from streamwarm.send.destination import LaneRates, Quota

ANSWER_GRACE_S = 1.0
"""How long a departure waits for the answer to the one before it, in seconds beyond the spacing itself."""


@frozen
class Usage:
    """Times are Unix seconds. `in_flight` attempts are under way and `departing` of them wait to depart.

    `counted_at` are the ends of attempts that counted, oldest first, as many as the largest quota needs.
    `handed_out_at` and `departed_at` are the latest of their kind; `departs_at` is when the next attempt may depart.
    """

    in_flight: int = 0
    counted_at: tuple[float, ...] = ()
    handed_out_at: float = -math.inf
    departed_at: float = -math.inf
    departs_at: float = -math.inf
    departing: int = 0


def quota_free_at(usage: Usage, quotas: Sequence[Quota]) -> float:
    """When the quotas allow one more: in the past if they do now, `inf` if it depends on attempts under way."""
    return max((_free_at(usage, quota) for quota in quotas), default=-math.inf)


def spacing_free_at(usage: Usage, spacing_s: float) -> float:
    """When one more may be handed out and probably not wait at its end behind others."""
    if not spacing_s:
        return -math.inf
    return math.inf if usage.departing else max(usage.departs_at, usage.handed_out_at + spacing_s)


def counted_within(usage: Usage, window_s: float, now: float) -> int:
    """How many places of a window are taken now, attempts under way included."""
    return usage.in_flight + sum(at > now - window_s for at in usage.counted_at)


def handed_out(usage: Usage, now: float) -> Usage:
    """An attempt is handed out now."""
    return evolve(usage, in_flight=usage.in_flight + 1, handed_out_at=now)


def departed(usage: Usage, now: float, spacing_s: float) -> Usage:
    """An attempt's last bytes leave now."""
    departs_at = now + spacing_s + ANSWER_GRACE_S if spacing_s else -math.inf
    return evolve(usage, departed_at=now, departs_at=departs_at)


def recalled(usage: Usage, at: float, rates: LaneRates) -> Usage:
    """An earlier process sent a message at that time."""
    keep = max((quota.messages for quota in rates.quotas), default=0)
    counted_at = tuple(sorted((*usage.counted_at, at))[-keep:]) if keep else ()
    return evolve(usage, counted_at=counted_at, departs_at=max(usage.departs_at, at + rates.spacing_s))


def departing(usage: Usage, by: int) -> Usage:
    """One attempt more waits to depart (`by` 1), or one less (-1)."""
    return evolve(usage, departing=usage.departing + by)


def ended(usage: Usage, now: float, departed_at: float | None, rates: LaneRates) -> Usage:
    """An attempt is over. It counts if it departed: whatever the answer was, the destination may have counted it."""
    in_flight = usage.in_flight - 1
    if departed_at is None:  # a job that failed early does not delay the lane
        return evolve(usage, in_flight=in_flight, handed_out_at=-math.inf)
    keep = max((quota.messages for quota in rates.quotas), default=0)
    counted_at = (*usage.counted_at, now)[-keep:] if keep else ()
    departs_at = usage.departs_at
    if departed_at == usage.departed_at:  # nothing departed after it, so its answer makes the lane due
        departs_at = min(departs_at, now + rates.spacing_s)
    return evolve(usage, in_flight=in_flight, counted_at=counted_at, departs_at=departs_at)


def joined(one: Usage, other: Usage) -> Usage:
    """What two have taken together."""
    return Usage(
        one.in_flight + other.in_flight,
        tuple(sorted((*one.counted_at, *other.counted_at))),
        max(one.handed_out_at, other.handed_out_at),
        max(one.departed_at, other.departed_at),
        max(one.departs_at, other.departs_at),
        one.departing + other.departing,
    )


def _free_at(usage: Usage, quota: Quota) -> float:
    room = quota.messages - usage.in_flight
    if room <= 0:
        return math.inf
    return usage.counted_at[-room] + quota.window_s if len(usage.counted_at) >= room else -math.inf
