"""Decides which connection is closed if a new client connects and all places are taken. Pure.

A new connection always gets a place while another one waits for its client: it has not sent its whole request, or it is
still reading its response. Such a connection is closed sooner or later anyway. One whose request is under way is never
closed.

Strangers are closed first: connections on which no request with a valid token has come. An attacker's half-open
connection looks like a probe's whose request is on its way, so only age can decide. The oldest one of the address that
holds most is closed, so an attacker at one address closes only its own connections.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address

from attrs import define, field

_Waiting = dict[str, dict["Place", None]]
"""Connections that wait for their client, by address. Both dicts are ordered: the one that waits longest is first."""


@define(eq=False)
class Place:
    """One connection's place. `evict` closes the connection at once.

    `is_known`: a request that the API let in has come. Only a known connection is ever `is_working`, which means that
    a request is under way. `has_left`: the place was given back, or taken for another.
    """

    address: str
    evict: Callable[[], None]
    is_known: bool = field(default=False, init=False)
    is_working: bool = field(default=False, init=False)
    has_left: bool = field(default=False, init=False)


@define
class Places:
    """At most `most` connections, and `most_per_address` of one address.

    An eighth of each is kept from requests under way, so that a store that hangs never keeps the probes out.
    """

    most: int
    most_per_address: int
    _held: Counter[str] = field(factory=Counter, init=False)
    _working: Counter[str] = field(factory=Counter, init=False)
    _strangers: _Waiting = field(factory=dict, init=False)
    _known: _Waiting = field(factory=dict, init=False)

    def enter(self, address: str, evict: Callable[[], None]) -> Place | None:
        """A place for a new connection of `address`. Returns None if requests under way take all of them."""
        network = _network(address)
        if self._held[network] >= self.most_per_address:
            has_room = self._make_room(network)
        else:
            has_room = self._held.total() < self.most or self._make_room(None)
        if not has_room:
            return None
        place = Place(network, evict)
        self._held[network] += 1
        self._add_waiting(place)
        return place

    def leave(self, place: Place) -> None:
        """Give the place back. Does nothing if it has left already."""
        if not place.has_left:
            self._remove(place)
            place.has_left = True
            _count_down(self._held, place.address)

    def admit(self, place: Place) -> bool:
        """Note that its client may use the API and has a request under way. Returns False if too many requests are."""
        if place.has_left:
            return False
        self._remove(place)
        place.is_known = True
        all_work, here = self._working.total(), self._working[place.address]
        place.is_working = all_work < _most_working(self.most) and here < _most_working(self.most_per_address)
        if place.is_working:
            self._working[place.address] += 1
        else:
            self._add_waiting(place)
        return place.is_working

    def wait(self, place: Place) -> None:
        """The connection waits for its client from now on: for a request, a body, or until a response is read."""
        if not place.has_left:
            self._remove(place)
            self._add_waiting(place)

    def demote(self, place: Place) -> None:
        """The connection is about to end, so it is closed before others."""
        if not place.has_left:
            self._remove(place)
            place.is_known = False
            self._add_waiting(place)

    def _make_room(self, address: str | None) -> bool:
        """Evict one connection that waits, of `address` if that is given. Returns False if there is none."""
        order = [self._strangers, self._known]
        if sum(map(len, self._strangers.values())) <= self.most // 4:
            # Every client is a stranger until its request has come. With too few places, it would never come.
            order.reverse()
        for waiting in order:
            group = waiting.get(address, {}) if address is not None else max(waiting.values(), key=len, default={})
            for place in group:
                self.leave(place)
                place.evict()
                return True
        return False

    def _add_waiting(self, place: Place) -> None:
        waiting = self._known if place.is_known else self._strangers
        waiting.setdefault(place.address, {})[place] = None

    def _remove(self, place: Place) -> None:
        if place.is_working:
            place.is_working = False
            _count_down(self._working, place.address)
            return
        waiting = self._known if place.is_known else self._strangers
        group = waiting[place.address]
        del group[place]
        if not group:
            del waiting[place.address]


def _most_working(places: int) -> int:
    return max(1, places - max(1, places // 8))


def _count_down(counts: Counter[str], address: str) -> None:
    """A count of zero is dropped: addresses without end must not fill the memory."""
    counts[address] -= 1
    if not counts[address]:
        del counts[address]


def _network(address: str) -> str:
    """What counts as one address: of IPv6, the network of 64 bits that one customer is given (RFC 6177)."""
    if ":" not in address:
        return address
    groups = IPv6Address(address.partition("%")[0])
    return str(groups.ipv4_mapped or f"{int(groups) >> 64:x}::/64")
