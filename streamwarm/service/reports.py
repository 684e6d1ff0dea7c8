"""How the members of one service exchange reports: member 1 sums up what the others report twice a second."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable

import trio

from streamwarm.service.members import REPORT_EVERY_S, LostMember, Members, Report
from streamwarm.service.open import Remotes
from streamwarm.stream.running import Running
from streamwarm.watch.observations import Observation


async def sum_up(
    reports: AsyncIterable[Report | LostMember], members: Members, observe: Callable[[Observation], None]
) -> None:
    """In member 1: take the others' reports, and observe what they observed, until there are no more."""
    async for report in reports:
        members.take(report)
        for observation in report.observations if isinstance(report, Report) else ():
            observe(observation)


async def keep_reporting(
    number: int,
    send: Callable[[Report], Awaitable[None]],
    unreported: deque[Observation],
    running: Running,
    remotes: Remotes,
) -> None:
    """Report to member 1 until cancelled; every other member runs this. `unreported` is emptied."""
    while True:
        await trio.sleep(REPORT_EVERY_S)
        observed = tuple(unreported)
        unreported.clear()
        await send(
            Report(number, observed, running.streams(), running.progress, remotes.pool_stats(), remotes.cache_stats())
        )
