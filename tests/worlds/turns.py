"""Counts how long one task keeps all others waiting, in calls: what `/healthz` would wait for, on any machine."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any

import trio
from attrs import define

MOST_CALLS = 100_000
"""Calls of functions, Python's and C's, that a task may make between two checkpoints. The service makes at most 11,000
of them. Without its own bound on chunks per turn it makes 130,000, which takes about a second."""


@define(eq=False)
class Turns(trio.abc.Instrument):
    """The most calls that one task made between two checkpoints. Calls are counted, and not seconds: a busy machine,
    or the garbage of other tests, changes nothing about them."""

    most_calls: int = 0
    calls: int = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.calls = 0
        sys.setprofile(self.count)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        sys.setprofile(None)
        self.most_calls = max(self.most_calls, self.calls)

    def count(self, frame: FrameType, event: str, arg: Any) -> None:
        self.calls += event in ("call", "c_call")


@asynccontextmanager
async def counted_turns() -> AsyncIterator[Turns]:
    turns = Turns()
    trio.lowlevel.add_instrument(turns)
    try:
        yield turns
    finally:
        trio.lowlevel.remove_instrument(turns)
        sys.setprofile(None)
