"""What bounds a store, from the `queue.*` settings (contract, section 3)."""

from __future__ import annotations

from attrs import frozen

_DAY_S = 86_400.0


@frozen
class StoreBounds:
    """The defaults are the contract's. `max_pending` counts jobs that are queued, waiting or running."""

    max_pending: int = 100_000
    max_attempts: int = 5
    lease_s: float = 30.0
    keep_done_s: float = 7 * _DAY_S
    keep_failed_s: float = 30 * _DAY_S
    max_wait_s: float = 900.0
