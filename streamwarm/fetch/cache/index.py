"""What the download cache keeps and for how long. Pure: no file, no task; time is passed in (seconds, monotonic).

There is one slot per object key, in order of use. A slot counts against `max_bytes` from the moment room is made for it
until its file is closed, so the figure is the disk space in use: a file that was dropped counts until its last reader
leaves. Only complete slots without readers are evicted, least recently used first. If that makes too little room,
nothing is evicted and the object is streamed without the cache.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

from attrs import define, field, frozen


class Slot(Protocol):
    """One cached object.

    `size_bytes` is the room it takes, 0 while unknown. `expires_at` is None until its download is complete.
    """

    @property
    def r2_key(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def expires_at(self) -> float | None: ...
    @property
    def is_idle(self) -> bool:
        """Whether it is complete and has no reader."""
        ...


S = TypeVar("S", bound=Slot)


@frozen
class CacheStats:
    """Counts for `stats`. `bytes` is the disk space in use or reserved.

    A request is a hit if another request's download serves it; `bytes_saved` is what hits have read.
    """

    entries: int
    bytes: int
    hits: int
    misses: int
    bytes_saved: int


@define
class CacheIndex(Generic[S]):
    """The slots that a request may find. `taken_bytes` includes dropped slots until `give_back`."""

    max_entries: int
    max_bytes: int
    taken_bytes: int = field(default=0, init=False)
    _slots: OrderedDict[str, S] = field(factory=OrderedDict, init=False)

    def __len__(self) -> int:
        return len(self._slots)

    def find(self, r2_key: str) -> S | None:
        """Return the slot for this key, which may have expired, and make it the most recently used."""
        slot = self._slots.get(r2_key)
        if slot is not None:
            self._slots.move_to_end(r2_key)
        return slot

    def add(self, slot: S) -> None:
        self._slots[slot.r2_key] = slot

    def drop(self, slot: S) -> None:
        """Remove the slot. Does nothing if another slot has its key by now."""
        if self._slots.get(slot.r2_key) is slot:
            del self._slots[slot.r2_key]

    def clear(self) -> list[S]:
        """Remove every slot and return them."""
        slots = list(self._slots.values())
        self._slots.clear()
        return slots

    def kept(self, now: float) -> list[S]:
        """The slots that have not expired."""
        return [slot for slot in self._slots.values() if not has_expired(slot, now)]

    def expired(self, now: float) -> list[S]:
        return [slot for slot in self._slots.values() if has_expired(slot, now)]

    def make_room(self, size_bytes: int) -> list[S] | None:
        """Return the slots to evict so that an object of `size_bytes` fits, or None if it cannot fit.

        The object's own slot is among the entries already.
        """
        victims: list[S] = []
        excess_entries = len(self._slots) - self.max_entries
        excess_bytes = self.taken_bytes + size_bytes - self.max_bytes
        for slot in self._slots.values():
            if excess_entries <= 0 and excess_bytes <= 0:
                break
            if slot.is_idle:
                victims.append(slot)
                excess_entries -= 1
                excess_bytes -= slot.size_bytes
        return victims if excess_entries <= 0 and excess_bytes <= 0 else None

    def take(self, size_bytes: int) -> None:
        self.taken_bytes += size_bytes

    def give_back(self, size_bytes: int) -> None:
        self.taken_bytes -= size_bytes


def has_expired(slot: Slot, now: float) -> bool:
    return slot.expires_at is not None and now >= slot.expires_at


@define
class RecentKeys:
    """The keys requested in the last `ttl_s` seconds, at most `max_keys` of them (a key has at most 1 KiB)."""

    ttl_s: float
    max_keys: int = 1000
    _asked_at: OrderedDict[str, float] = field(factory=OrderedDict, init=False)

    def note(self, r2_key: str, now: float) -> bool:
        """Record a request. Returns True if the key was requested before and that is still recent."""
        before = self._asked_at.pop(r2_key, None)
        self._asked_at[r2_key] = now
        if len(self._asked_at) > self.max_keys:
            self._asked_at.popitem(last=False)
        return before is not None and now - before < self.ttl_s
