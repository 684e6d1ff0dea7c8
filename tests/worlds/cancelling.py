"""Cancels work at a chosen step, so that a test can walk through every await point of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from attrs import define


@define(eq=False)
class CancelAt(trio.abc.Instrument):
    """Cancels `scope` when `task` is about to take its `step`-th step from here."""

    task: trio.lowlevel.Task
    scope: trio.CancelScope
    step: int

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task:
            self.step -= 1
            if self.step == 0:
                self.scope.cancel()


async def cancelled_at(step: int, work: Callable[[], Awaitable[object]]) -> bool:
    """Run `work`, cancelling it at its `step`-th step; whether it was still running then."""
    with trio.CancelScope() as scope:
        instrument = CancelAt(trio.lowlevel.current_task(), scope, step)
        trio.lowlevel.add_instrument(instrument)
        try:
            await work()
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return scope.cancel_called
