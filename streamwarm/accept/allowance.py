"""How often one client may ask: token buckets. Pure: the time is passed in (seconds of a clock that never jumps)."""

from __future__ import annotations

from collections.abc import Hashable

from attrs import define, field, frozen


@define
class Allowance:
    """`burst` requests at once, and `per_s` a second in the long run."""

    per_s: float
    burst: float
    _left: float = field(init=False)
    _at: float | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._left = self.burst

    def take(self, now: float, cost: float = 1.0) -> float | None:
        """None, and `cost` requests are used up; or how many seconds until there are as many."""
        if self._at is not None:
            self._left = min(self.burst, self._left + (now - self._at) * self.per_s)
        self._at = now
        if self._left < cost:
            return (cost - self._left) / self.per_s
        self._left -= cost
        return None


@frozen
class Allowances:
    """One for each client, made when it first asks. Of more than `max_clients` the one that asked longest ago is
    forgotten, and has its whole allowance again: memory is bounded whoever asks."""

    per_s: float
    burst: float
    max_clients: int = 4096
    _by_client: dict[Hashable, Allowance] = field(factory=dict, init=False)

    def take(self, client: Hashable, now: float, cost: float = 1.0) -> float | None:
        """As `Allowance.take`."""
        allowance = self._by_client.pop(client, None) or Allowance(self.per_s, self.burst)
        self._by_client[client] = allowance  # the dict's order is that of the last request
        if len(self._by_client) > self.max_clients:
            del self._by_client[next(iter(self._by_client))]
        return allowance.take(now, cost)
