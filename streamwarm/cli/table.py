"""Prints rows: as a table on a terminal, as one block per row on a narrow one, and tab-separated without headings in a
pipe."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from streamwarm.printable import printable

Row = Sequence[str]

GAP = 2
SENTENCE_WIDTH = 32
"""The least width of the last column, in characters. It may contain sentences, which are unreadable in less."""


def print_table(headings: Row, rows: Sequence[Row], console: Console | None = None) -> None:
    """Print the rows. In a pipe every cell is printed whole and without colour, one row per line."""
    console = console or Console()
    if not console.is_terminal:
        for row in rows:
            click.echo("\t".join(printable(cell) for cell in row))
        return
    cells = [tuple(printable(cell) for cell in row) for row in rows]
    if _width_needed([headings, *cells]) > console.width:
        _print_blocks(headings, cells, console)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in cells:
        table.add_row(*map(escape, row))
    console.print(table)


def _width_needed(rows: Sequence[Row]) -> int:
    *columns, last = (max(map(cell_len, column)) for column in zip(*rows, strict=True))
    return sum(columns) + GAP * len(columns) + min(last, SENTENCE_WIDTH)


def _print_blocks(headings: Row, rows: Sequence[Row], console: Console) -> None:
    """One block per row. A number is printed with its heading; the last cell is on a line of its own."""
    for *cells, last in rows:
        named = [
            f"{heading} {cell}" if cell.isdigit() else cell
            for heading, cell in zip(headings, cells, strict=False)
            if cell
        ]
        console.print(escape("  ".join(named)), highlight=False)
        if last:
            console.print(Padding(escape(last), (0, 0, 0, GAP)), highlight=False)
