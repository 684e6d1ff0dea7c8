"""`streamwarm …` with its trio tasks and memory blocks counted, and its cycles collected every few seconds.

python tools/load/watched_service.py COUNTS_FILE serve --config …
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import trio

from streamwarm.cli import main

WRITE_EVERY_S = 0.5
COLLECT_EVERY_S = 3.0


class Counts(trio.abc.Instrument):
    """Writes into a file how many tasks live, trio's own included, and how many blocks Python's allocator has out.

    Blocks are what Python holds, objects and their contents; resident memory also has what the C library keeps back.
    They are counted right after a collection of cycles: left to itself, Python lets a quarter of all objects pile up
    between two full ones (https://docs.python.org/3.11/library/gc.html#gc.set_threshold), minutes at a modest rate.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tasks = 0
        self._blocks = sys.getallocatedblocks()
        self._written_at = self._collected_at = float("-inf")

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        self._tasks += 1

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        self._tasks -= 1

    def after_io_wait(self, timeout: float) -> None:
        now = trio.current_time()
        if now - self._collected_at >= COLLECT_EVERY_S:
            self._collected_at = now
            gc.collect()
            self._blocks = sys.getallocatedblocks()
        if now - self._written_at >= WRITE_EVERY_S:
            self._written_at = now
            self._path.write_text(f"{self._tasks} {self._blocks}")


def run_counted(run: Callable[..., Any], path: Path) -> Callable[..., Any]:
    return partial(run, instruments=[Counts(path)])


if __name__ == "__main__":
    counts_file = sys.argv.pop(1)
    trio.run = run_counted(trio.run, Path(counts_file))
    main()
