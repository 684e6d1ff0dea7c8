"""What a destination, or one lane of it, has taken lately: a few numbers, and when it takes the next message. Pure.

A message counts at the far side somewhere between the moment its last byte leaves and the moment its answer is here.
Nobody can know when in between, so both ends are used, each where it is the safe one: an attempt holds a place in every
quota from its hand-out until it ends, and in the quota's window from then on. At any time the messages of a window and
the attempts under way are together no more than the quota, so whichever of them completes when, the quota is kept,
and nobody has to wait for it at the end of an upload.

The spacing between two messages cannot be kept that way, or large uploads into one lane would run one at a time. It is
kept where uploads end: an attempt departs (sends its last bytes) only once the lane is due, and it is due `spacing_s`
after the answer to the departure before it. Where that answer takes longer than `ANSWER_GRACE_S`, the next one leaves
all the same: short bursts pass (https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this).

Records are frozen and made of numbers, so that a store can keep them where several hosts share a destination: each of
the functions below is then one read and one write of a row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from attrs import evolve, frozen

from streamwarm.send.destination import LaneRates, Quota

ANSWER_GRACE_S = 1.0
"""How long a departure waits for the answer to the one before it, beyond the spacing itself."""


@frozen
class Usage:
    """`in_flight` attempts hold a place; `counted_at` are the ends of those that counted, oldest first, as many as the
    largest quota asks for. `handed_out_at` and `departed_at` are the latest of their kind, `departs_at` is when the
    next may depart, and `departing` attempts wait for that."""

    in_flight: int = 0
    counted_at: tuple[float, ...] = ()
    handed_out_at: float = -math.inf
    departed_at: float = -math.inf
    departs_at: float = -math.inf
    departing: int = 0


def quota_free_at(usage: Usage, quotas: Sequence[Quota]) -> float:
    """When the quotas allow one more: long ago where they do, `inf` while it depends on attempts that are under way."""
    return max((_free_at(usage, quota) for quota in quotas), default=-math.inf)


def spacing_free_at(usage: Usage, spacing_s: float) -> float:
    """When one more may be handed out without waiting at its end behind others, as far as can be known."""
    if not spacing_s:
        return -math.inf
    return math.inf if usage.departing else max(usage.departs_at, usage.handed_out_at + spacing_s)


def counted_within(usage: Usage, window_s: float, now: float) -> int:
    """How many places of a window are taken."""
    return usage.in_flight + sum(at > now - window_s for at in usage.counted_at)


def handed_out(usage: Usage, now: float) -> Usage:
    return evolve(usage, in_flight=usage.in_flight + 1, handed_out_at=now)


def departed(usage: Usage, now: float, spacing_s: float) -> Usage:
    """The last bytes leave now."""
    departs_at = now + spacing_s + ANSWER_GRACE_S if spacing_s else -math.inf
    return evolve(usage, departed_at=now, departs_at=departs_at)


def recalled(usage: Usage, at: float, rates: LaneRates) -> Usage:
    """A message that was counted then, by a process that is gone."""
    keep = max((quota.messages for quota in rates.quotas), default=0)
    counted_at = tuple(sorted((*usage.counted_at, at))[-keep:]) if keep else ()
    return evolve(usage, counted_at=counted_at, departs_at=max(usage.departs_at, at + rates.spacing_s))


def departing(usage: Usage, by: int) -> Usage:
    """One more attempt waits to depart (`by` 1), or one less (-1)."""
    return evolve(usage, departing=usage.departing + by)


def ended(usage: Usage, now: float, departed_at: float | None, rates: LaneRates) -> Usage:
    """An attempt is over. It counts if it has departed: whatever the answer was, the far side may have counted it."""
    in_flight = usage.in_flight - 1
    if departed_at is None:  # nothing came of it: a job that fails early holds up nobody
        return evolve(usage, in_flight=in_flight, handed_out_at=-math.inf)
    keep = max((quota.messages for quota in rates.quotas), default=0)
    counted_at = (*usage.counted_at, now)[-keep:] if keep else ()
    departs_at = usage.departs_at
    if departed_at == usage.departed_at:  # nothing departed after it, so the lane is due by its answer
        departs_at = min(departs_at, now + rates.spacing_s)
    return evolve(usage, in_flight=in_flight, counted_at=counted_at, departs_at=departs_at)


def _free_at(usage: Usage, quota: Quota) -> float:
    room = quota.messages - usage.in_flight
    if room <= 0:
        return math.inf
    return usage.counted_at[-room] + quota.window_s if len(usage.counted_at) >= room else -math.inf
