"""`streamwarm …` with its trio tasks and memory blocks counted, and the sweep of ended jobs, hourly by default, made as
often as asked.

    python tools/load/watched_service.py COUNTS_FILE PRUNE_EVERY_S serve --config …

A run of an hour would see one sweep and call the database's growth a leak. Nothing else differs from the service.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import trio

from streamwarm.backlog import rescuer
from streamwarm.cli import main

WRITE_EVERY_S = 0.5


class Counts(trio.abc.Instrument):
    """Writes into a file how many tasks live, trio's own included, and how many blocks Python's allocator has out.

    Blocks are what Python holds, objects and their contents; resident memory also has what the C library keeps back.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tasks = 0
        self._written_at = float("-inf")

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        self._tasks += 1

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        self._tasks -= 1

    def after_io_wait(self, timeout: float) -> None:
        now = trio.current_time()
        if now - self._written_at >= WRITE_EVERY_S:
            self._written_at = now
            self._path.write_text(f"{self._tasks} {sys.getallocatedblocks()}")


def run_counted(run: Callable[..., Any], path: Path) -> Callable[..., Any]:
    return partial(run, instruments=[Counts(path)])


if __name__ == "__main__":
    counts_file, prune_every_s = sys.argv[1:3]
    del sys.argv[1:3]
    rescuer.PRUNE_EVERY_S = float(prune_every_s)
    trio.run = run_counted(trio.run, Path(counts_file))
    main()
