"""`streamwarm status`: shows the queue, the workers and the destinations with their budgets, once or live."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
import trio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from streamwarm.cli.common import print_json
from streamwarm.cli.reach import Service, client_command, open_caller
from streamwarm.cli.status_text import (
    bytes_text,
    destination_line,
    limit_lines,
    pause_lines,
    queue_line,
    status_lines,
    workers_line,
)
from streamwarm.printable import printable

EVERY_S = 1.0
KEY_WIDTH = 40


@click.command()
@click.option("--watch", "-w", is_flag=True, help="Keep it live until Ctrl-C.")
@click.option("--every", "every_s", type=click.FloatRange(0.2), default=EVERY_S, help="Refresh interval in seconds.")
@client_command
def status(watch: bool, every_s: float, service: Service, as_json: bool) -> None:
    """Show the queue, the workers' streams, and the destinations with their budgets and pauses.

    With --watch it refreshes until Ctrl-C. In a pipe, or if TERM is dumb, it prints everything at each refresh,
    with --json as one line.
    """
    console = Console()
    if watch and can_be_redrawn(console) and not as_json:
        trio.run(_live, service, console, every_s)
    else:
        trio.run(_print, service, every_s if watch else None, as_json)


def can_be_redrawn(console: Console) -> bool:
    """Whether the live view can be shown. With TERM=dumb, whose cursor cannot be moved, rich would show nothing."""
    return console.is_terminal and not console.is_dumb_terminal


async def _print(service: Service, every_s: float | None, as_json: bool) -> None:
    async with open_caller(service) as caller:
        while True:
            stats = await caller.call("stats", {})
            if as_json:
                print_json(stats)
            else:
                click.echo("\n".join(map(printable, status_lines(stats))))
            if every_s is None:
                return
            await trio.sleep(every_s)


async def _live(service: Service, console: Console, every_s: float) -> None:
    async with open_caller(service) as caller:
        with Live(render(await caller.call("stats", {})), console=console, screen=True) as live:
            while True:
                await trio.sleep(every_s)
                live.update(render(await caller.call("stats", {})))


def render(stats: Mapping[str, Any]) -> RenderableType:
    """The live view of one reply of `stats`."""
    streams = Table(box=None, pad_edge=False, expand=False)
    for heading in ("#", "streaming", "to", "", "done", "rate"):
        streams.add_column(heading, no_wrap=True)
    for stream in stats["workers"]["streams"]:
        streams.add_row(*_stream_cells(stream))
    paused = [f"[bold yellow]{escape(printable(line))}[/]" for line in pause_lines(stats)]
    lines = [*paused, *(escape(printable(line)) for line in (queue_line(stats), workers_line(stats)))]
    destinations = [
        escape(printable(line))
        for name, view in sorted(stats["destinations"].items())
        for line in (destination_line(name, view), *limit_lines(view))
    ]
    return Group(*lines, "", streams, "", *destinations)


def _stream_cells(stream: Mapping[str, Any]) -> tuple[RenderableType, ...]:
    key, total, sent = printable(stream["r2_key"]), stream["total"], stream["bytes_out"]
    shown = key if len(key) <= KEY_WIDTH else "…" + key[1 - KEY_WIDTH :]
    return (
        str(stream["worker"]),
        escape(shown),
        escape(stream["destination"]),
        ProgressBar(total=total or None, completed=sent, width=20),
        f"{bytes_text(sent)} of {bytes_text(total)}" if total else bytes_text(sent),
        f"{bytes_text(stream['bytes_per_s'])}/s",
    )
