"""Measures how long one task keeps all others waiting: what `/healthz` would wait for."""

from __future__ import annotations

import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from attrs import define, field

LONGEST_TURN_S = 0.1
"""CPU time for which a task may keep all others waiting. A turn takes some 2 ms; h11's loop took more than a second."""


@define(eq=False)
class Turns(trio.abc.Instrument):
    """The longest CPU time that one task took between two checkpoints, and all tasks together."""

    longest_s: float = 0.0
    began: float = field(factory=time.thread_time)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.began = time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.longest_s = max(self.longest_s, time.thread_time() - self.began)


@asynccontextmanager
async def measured_turns() -> AsyncIterator[Turns]:
    """The garbage of other tests is left out: in a process that ran thousands, one collection takes 0.4 s."""
    turns = Turns()
    gc.collect()
    gc.freeze()
    trio.lowlevel.add_instrument(turns)
    try:
        yield turns
    finally:
        trio.lowlevel.remove_instrument(turns)
        gc.unfreeze()
