"""The bounds of a store, from the `queue.*` settings (contract, section 3)."""

from __future__ import annotations

from attrs import frozen

_DAY_S = 86_400.0


@frozen
class StoreBounds:
    """Defaults are the contract's; times are in seconds.

    `max_pending` counts jobs that are queued, waiting or running. A job fails after `max_attempts`. A claim's lease
    lasts `lease_s`. Ended jobs are deleted after `keep_done_s` or `keep_failed_s`. A job that waited `max_wait_s` goes
    before all others. A record that was compared with its object within `trust_s` needs no comparison.
    """

    max_pending: int = 100_000
    max_attempts: int = 5
    lease_s: float = 30.0
    keep_done_s: float = 7 * _DAY_S
    keep_failed_s: float = 30 * _DAY_S
    max_wait_s: float = 900.0
    trust_s: float = 300.0
