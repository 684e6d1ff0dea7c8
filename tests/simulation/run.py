"""One run: the world of a plan from the first push to the last event, and what the oracle says of it."""

from __future__ import annotations

import gc
import os
import tempfile
import traceback
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import trio
import trio.testing
from attrs import frozen

from tests.simulation.ending import come_to_rest, ending_of, push_all
from tests.simulation.nature import have_faults
from tests.simulation.oracle import complaints_about
from tests.simulation.plan import FaultKind, Plan
from tests.simulation.watcher import Watcher
from tests.simulation.whole import Whole
from tests.simulation.world import PEER_PORT, Traced, deterministic_scheduling

SHARED_MEMORY = Path("/dev/shm")
"""Files are put here if the system has it. A run syncs some hundred times, and no disk needs to."""

MOST_S = 7_200.0
"""Virtual seconds after which a run that does not end is broken off."""

PEERS_STOP_S = 71.0
"""The longest that a peer stalls, in seconds. After that, nothing of the service may be under way with a peer."""


@frozen
class Outcome:
    """`struck` counts the faults by kind."""

    plan: Plan
    complaints: Sequence[str]
    trace: Sequence[Traced]
    struck: Counter[FaultKind]


def simulate(plan: Plan) -> Outcome:
    """Run a plan. The same plan gives the same outcome, on any machine."""
    fast = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="streamwarm-simulation-", dir=fast) as folder:
        clock = trio.testing.MockClock(autojump_threshold=0)
        whole = Whole(plan, Path(folder), clock)
        gc.disable()  # what is collected when depends on all that ran before
        try:
            with deterministic_scheduling(plan.seed):
                complaints = trio.run(_live, whole, clock=clock)
        except Exception as error:
            lines = "".join(traceback.format_exception(error))
            complaints = [f"the run broke off: {type(error).__name__}: {error}\n{lines}"]
        finally:
            gc.enable()
    return Outcome(plan, complaints, whole.trace, whole.faults.struck)


async def _live(whole: Whole) -> list[str]:
    watcher = Watcher(whole)
    with trio.fail_after(MOST_S):
        async with trio.open_nursery() as peers:
            for name, served in whole.served.items():
                listeners = await whole.network.listen(name, PEER_PORT)
                await peers.start(partial(trio.serve_listeners, served.serve, listeners, handler_nursery=peers))
            async with trio.open_nursery() as crowd:
                crowd.start_soon(watcher.live)
                for person in whole.people:
                    crowd.start_soon(person.live)
                async with trio.open_nursery() as running:
                    for host in whole.hosts:
                        running.start_soon(host.run)
                    await have_faults(whole)
                    settled = await come_to_rest(whole)
                    pushed = await push_all(whole, watcher)
                    settled = await come_to_rest(whole) and settled
                    ending = await ending_of(whole, watcher, finally_pushed=pushed, settled_in_time=settled)
                    for host in whole.hosts:
                        host.stop()
                crowd.cancel_scope.cancel()
            await trio.sleep(PEERS_STOP_S)
            complaints = complaints_about(ending())
            peers.cancel_scope.cancel()
    return complaints
