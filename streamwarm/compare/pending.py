"""Which objects are to be compared with their records: each key once, however many ask for it. Pure.

Keys that jobs wait for go before keys of look-ups. Both are bounded. What jobs wait for is in the store too, so a key
that finds no room is read there later; a look-up's key is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

from attrs import define, field

from streamwarm.model import Kind

MOST_WANTED = 2_000
"""How many keys that jobs wait for are held. A key has at most 1 KiB, so that takes 2 MB at most."""

MOST_LOOKED_UP = 1_000
"""How many keys of look-ups are held: at 40 requests of 50 ms at once, two seconds' work."""

MOST_REMEMBERED = 10_000
"""How many keys of look-ups are remembered as asked lately."""

AGAIN_S = 30.0
"""How long a key that a look-up had compared is left alone, in seconds, if the comparison could not be recorded: the
bucket may not answer, or nothing may tell whether the object is the record's."""


@define
class Pending:
    """`trust_s`: how long a comparison is trusted, in seconds."""

    trust_s: float
    _wanted: dict[str, None] = field(factory=dict)
    _looked_up: dict[str, None] = field(factory=dict)
    _rewarm: dict[str, set[tuple[str, Kind]]] = field(factory=dict)
    _asked: dict[str, bool] = field(factory=dict)  # whether it was wanted once more since
    _asked_at: dict[str, float] = field(factory=dict)  # of look-ups

    def __len__(self) -> int:
        return len(self._wanted) + len(self._looked_up)

    @property
    def wanted(self) -> int:
        """How many keys that jobs wait for have not been asked for yet."""
        return len(self._wanted)

    @property
    def asked(self) -> int:
        """How many keys are being asked for, or have answers that are not recorded yet."""
        return len(self._asked)

    def want(self, r2_key: str, *, is_known: bool = False) -> bool | None:
        """Note that jobs wait for this key. Returns True if it is new here, False if not, None if there is no room.

        A key whose answer is being recorded is asked for once more, because the store may not see the job with it. That
        is not so if `is_known`: the key was read from the store and not committed just now.
        """
        if r2_key in self._wanted:
            return False
        if r2_key in self._asked:
            self._asked[r2_key] |= not is_known
            return False
        if r2_key in self._looked_up:
            del self._looked_up[r2_key]
            self._wanted[r2_key] = None
            return False
        if len(self._wanted) >= MOST_WANTED:
            return None
        self._wanted[r2_key] = None
        return True

    def look_up(self, r2_key: str, destination: str, kind: Kind, now: float) -> bool:
        """Note that a look-up has answered a record that was not compared lately, which is warmed anew if its object
        has changed. Returns True if the key is new here and not dropped. `now` is any steady clock's."""
        is_known = r2_key in self._wanted or r2_key in self._asked or r2_key in self._looked_up
        if not is_known:
            if now < self._asked_at.get(r2_key, -math.inf) + min(self.trust_s, AGAIN_S):
                return False
            if len(self._looked_up) >= MOST_LOOKED_UP:
                return False
            self._looked_up[r2_key] = None
            self._asked_at[r2_key] = now
            if len(self._asked_at) > MOST_REMEMBERED:
                del self._asked_at[next(iter(self._asked_at))]
        self._rewarm.setdefault(r2_key, set()).add((destination, kind))
        return not is_known

    def take(self) -> tuple[str, bool]:
        """The next key, and whether jobs wait for it. It is asked for until `done`. Raises `IndexError` if there is
        none."""
        for keys, is_wanted in ((self._wanted, True), (self._looked_up, False)):
            for r2_key in keys:
                del keys[r2_key]
                self._asked[r2_key] = False
                return r2_key, is_wanted
        raise IndexError("nothing is to be compared")

    def rewarm(self, r2_key: str) -> Collection[tuple[str, Kind]]:
        """The records of the key that are warmed anew if its object has changed; called once, with the answer."""
        return self._rewarm.pop(r2_key, ())

    def recording(self, asked: Iterable[str]) -> None:
        """The answers for these keys go to the store now. Of jobs that were committed so far it decides by itself
        whether the answers are too old for them."""
        for r2_key in asked:
            self._asked[r2_key] = False

    def done(self, asked: Iterable[str], again: Collection[str] = ()) -> int:
        """The answers for these keys are recorded, or given up. Returns how many must be asked for once more: those
        `again`, and those that were wanted meanwhile."""
        count = 0
        for r2_key in asked:
            self._rewarm.pop(r2_key, None)
            if self._asked.pop(r2_key) or r2_key in again:
                count += bool(self.want(r2_key))
        return count
