"""Finds out whether a store takes writes, and answers soon even if the store itself does not.

A write waits for whatever locks the store (up to 10 s for a SQLite file), as it should. A load balancer that asks
whether to send work here needs an answer sooner. So one task makes the write, and each caller waits for its result
only as long as it wants to.
"""

from __future__ import annotations

import trio
from attrs import define, field

from streamwarm.backlog.store import Store
from streamwarm.errors import StoreUnavailable

ANSWER_WITHIN_S = 2.0
"""How long a caller waits, in seconds. By default, load balancers give a check 2 to 5 s and Kubernetes gives it 1 s. A
healthy store takes milliseconds."""


@define(eq=False)
class Probe:
    """`run` is its one task. Any number of callers may ask, and one write answers all that wait for it."""

    _store: Store
    _reason: str | None = None
    _asked: trio.Event = field(factory=trio.Event)
    _answered: trio.Event = field(factory=trio.Event)

    async def why_not(self) -> str | None:
        """Returns None if the store has just taken a write, else the reason; after `ANSWER_WITHIN_S` at the latest."""
        self._asked.set()
        with trio.move_on_after(ANSWER_WITHIN_S):
            await self._answered.wait()
            return self._reason
        return f"the store has not taken a write for {ANSWER_WITHIN_S:g} s; the service's log will say why"

    async def run(self) -> None:
        """Answer until cancelled."""
        while True:
            await self._asked.wait()
            self._asked = trio.Event()
            try:
                await self._store.check_writable()
                self._reason = None
            except StoreUnavailable:
                self._reason = "the store cannot be written; the service's log says why"
            self._answered.set()
            self._answered = trio.Event()
