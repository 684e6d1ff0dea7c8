"""What a person sees while a run goes on: a live table on a terminal, a plain line every few seconds in a pipe."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import trio
from attrs import define
from rich.console import Console
from rich.live import Live
from rich.table import Table

from load.ledger import Ledger
from load.sampler import Sampler
from load.spread import percentile

TERMINAL_EVERY_S = 0.5
PIPE_EVERY_S = 5.0
RATE_OVER = 10
"""Samples over which the present rate is taken: five seconds."""


@define(eq=False)
class View:
    """Goes to standard error, so that standard output has the results alone."""

    console: Console
    ledger: Ledger
    sampler: Sampler
    planned: int

    async def run(self) -> None:
        """Show until cancelled."""
        with self._live() as live:
            while True:
                await trio.sleep(PIPE_EVERY_S if live is None else TERMINAL_EVERY_S)
                if live is None:
                    self.console.print(self._line(), soft_wrap=True, highlight=False)
                else:
                    live.update(self._table(), refresh=True)

    @contextmanager
    def _live(self) -> Iterator[Live | None]:
        if not self.console.is_terminal:
            yield None
            return
        with Live(self._table(), console=self.console, transient=True, auto_refresh=False) as live:
            yield live

    def _figures(self) -> dict[str, str]:
        p50, p95 = (percentile(self.ledger.recent_s, share) for share in (0.5, 0.95))
        last = self.sampler.samples[-1] if self.sampler.samples else None
        return {
            "ended": f"{self.ledger.ended:,} of {self.planned:,}",
            "in flight": f"{self.ledger.in_flight:,}",
            "not as expected": f"{self.ledger.surprises:,}",
            "jobs/s": f"{self._rate():,.1f}",
            "push → done p50": _ms(p50),
            "p95": _ms(p95),
            "queued": _number(last.queued if last else math.nan),
            "workers busy": _number(last.busy if last else math.nan),
            "memory": f"{_number((last.resident_bytes if last else math.nan) / 1e6)} MB",
        }

    def _rate(self) -> float:
        recent = self.sampler.samples[-RATE_OVER:]
        if len(recent) < 2 or recent[-1].at_s == recent[0].at_s:
            return 0.0
        return (recent[-1].ended - recent[0].ended) / (recent[-1].at_s - recent[0].at_s)

    def _table(self) -> Table:
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="dim")
        table.add_column(justify="right")
        for name, value in self._figures().items():
            table.add_row(name, value)
        return table

    def _line(self) -> str:
        return "  ".join(f"{name} {value}" for name, value in self._figures().items())


def make_console() -> Console:
    return Console(file=sys.stderr)


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:,.0f} ms"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:,.0f}"
