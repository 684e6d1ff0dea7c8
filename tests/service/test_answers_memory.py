"""What a host loses if a few kilobytes of requests take its memory: the service as a process, and its resident size."""

from __future__ import annotations

from pathlib import Path

import answers
import trio
from lookup import serving

MOST_MB = 150
"""Issue 14, number 2. Measured: under 40 MB. Before the budget: 500 MB and more."""


async def test_six_batches_of_lists_that_nobody_reads_cost_under_150_megabytes(tmp_path: Path) -> None:
    async with serving(tmp_path) as ready:
        pid, http, websocket = int(ready["pid"]), str(ready["http"]), str(ready["websocket"])
        await answers.fill(http, 1000, caption=1000)
        base = answers.resident_mb(pid)
        peak = 0.0

        async def client(reads: bool) -> None:
            await answers.ask(websocket, answers.frame(answers.BATCH), 6, reads=reads)

        async with trio.open_nursery() as nursery:
            for reads in (True, False) * 3:
                nursery.start_soon(client, reads)
            with trio.move_on_after(5):
                while True:
                    peak = max(peak, answers.resident_mb(pid) - base)
                    await trio.sleep(0.02)
        assert peak < MOST_MB
