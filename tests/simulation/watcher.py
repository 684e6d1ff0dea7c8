"""Looks up every object at every destination, once a second, at each host in turn."""

from __future__ import annotations

import trio
from attrs import define, field

from streamwarm.errors import StoreUnavailable
from tests.simulation.ledger import Look
from tests.simulation.plan import key_of
from tests.simulation.whole import Whole

EVERY_S = 1.0
WITHIN_S = 5.0
"""How long a look-up may take, in seconds: a host may stand still."""


@define(eq=False)
class Watcher:
    """`looks` are the answers, in the order in which they were given."""

    whole: Whole
    looks: list[Look] = field(factory=list)

    async def live(self) -> None:
        """Look up until cancelled."""
        turn = 0
        while True:
            await trio.sleep(EVERY_S)
            turn += 1
            await self.look(turn % len(self.whole.hosts))

    async def look(self, number: int) -> None:
        host = self.whole.hosts[number]
        if host.endpoints is None:
            return
        plan = self.whole.plan
        names = sorted({(job.destination, key_of(plan, job)) for job in plan.jobs})
        with trio.move_on_after(WITHIN_S):
            try:
                self.looks += await host.store.look_up(names)
            except StoreUnavailable:
                return
