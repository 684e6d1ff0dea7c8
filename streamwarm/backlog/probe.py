"""Whether a store takes writes, told soon also where the store itself is slow to say no.

A write waits for whoever holds the store (a locked SQLite file: 10 s), and rightly so; who asks whether to send work
here wants to know before. So one task makes the write, and those who ask wait for its answer as long as they care to.
"""

from __future__ import annotations

import trio
from attrs import define, field

from streamwarm.backlog.store import Store
from streamwarm.errors import StoreUnavailable

ANSWER_WITHIN_S = 2.0
"""Kubernetes gives a probe 1 s unless told otherwise, load balancers 2 to 5; a healthy store takes milliseconds."""


@define(eq=False)
class Probe:
    """`run` is its one task; any number may ask, and one write answers all that wait for it."""

    _store: Store
    _reason: str | None = None
    _asked: trio.Event = field(factory=trio.Event)
    _answered: trio.Event = field(factory=trio.Event)

    async def why_not(self) -> str | None:
        """None where the store has just taken a write, else the reason; after `ANSWER_WITHIN_S` at the latest."""
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
