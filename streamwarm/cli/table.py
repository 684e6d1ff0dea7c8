"""Rows for people and for pipes: a table on a terminal, tab-separated lines without a heading elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

Row = Sequence[str]


def print_table(headings: Row, rows: Sequence[Row], console: Console | None = None) -> None:
    """A pipe gets every cell whole: nothing is cut to a width, no colour, one row a line."""
    console = console or Console()
    if not console.is_terminal:
        for row in rows:
            click.echo("\t".join(printable(cell) for cell in row))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(escape(printable(cell)) for cell in row))
    console.print(table)


def printable(cell: str) -> str:
    """An object's name may hold line breaks, tabs, and what a terminal obeys: none of it reaches one."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cell)
