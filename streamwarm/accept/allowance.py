"""How often a client may ask: token buckets. Pure: the time is passed in (seconds, monotonic)."""

from __future__ import annotations

from collections.abc import Hashable

from attrs import define, field, frozen


@define
class Allowance:
    """A token bucket: `burst` requests at once, and `per_s` requests per second in the long run."""

    per_s: float
    burst: float
    _left: float = field(init=False)
    _at: float | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._left = self.burst

    def take(self, now: float, cost: float = 1.0) -> float | None:
        """Use up `cost` requests and return None. If too few are left, return the seconds until there are enough."""
        if self._at is not None:
            self._left = min(self.burst, self._left + (now - self._at) * self.per_s)
        self._at = now
        if self._left < cost:
            return (cost - self._left) / self.per_s
        self._left -= cost
        return None


@frozen
class Allowances:
    """An `Allowance` per client. To bound memory, at most `max_clients` are kept: the client that asked longest ago is
    forgotten, and starts with a full one again."""

    per_s: float
    burst: float
    max_clients: int = 4096
    _by_client: dict[Hashable, Allowance] = field(factory=dict, init=False)

    def take(self, client: Hashable, now: float, cost: float = 1.0) -> float | None:
        """`Allowance.take` for this client."""
        allowance = self._by_client.pop(client, None) or Allowance(self.per_s, self.burst)
        self._by_client[client] = allowance  # moves it to the end: the dict is ordered by last request
        if len(self._by_client) > self.max_clients:
            del self._by_client[next(iter(self._by_client))]
        return allowance.take(now, cost)
