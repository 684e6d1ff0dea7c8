"""`streamwarm media import`: reads records as JSON lines, and says of each refused line why."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import click
import trio
from attrs import define, field, frozen

from streamwarm.accept.wire.json_text import BadJsonError, parse_json
from streamwarm.cli.bulk import Counter, call_patiently, counting
from streamwarm.cli.client import CallError, Unreachable
from streamwarm.cli.common import FAILED, OK, print_json
from streamwarm.cli.reach import Caller, Service, client_command, open_caller
from streamwarm.model import Kind
from streamwarm.printable import printable

BATCH_RECORDS = 500
BATCH_BYTES = 512 * 1024
"""The size of a batch as JSON. A frame may have 1 MiB."""

MAX_LINE_BYTES = 256 * 1024
"""A longer line is refused and not kept: no record has so much, and memory must not depend on a file's lines."""

_INVALID = frozenset({-32700, -32600, -32602, 400, 413})
"""Codes of a call that is refused for what is in it."""


@frozen
class Line:
    """A line of the file: the record in it, or why there is none."""

    number: int
    record: Any = None
    why_not: str | None = None
    bytes: int = 0


@define
class Total:
    """What has become of the lines so far. Refused ones are printed at once, so that none is kept."""

    as_json: bool
    counter: Counter
    imported: int = 0
    refused: int = 0
    lines: int = field(default=0)

    def refuse(self, number: int, message: str) -> None:
        self.refused += 1
        if self.as_json:
            print_json({"line": number, "message": message})
        else:
            click.echo(printable(f"line {number}: {message}"), err=True)


@click.command("import")
@click.argument("file", metavar="FILE | -")
@click.option("--destination", "-d", help="For lines that name none.")
@click.option("--kind", "-k", type=click.Choice([kind.value for kind in Kind]), help="For lines that name none.")
@click.option("--replace", is_flag=True, help="Replace records of the service's own, too.")
@client_command
def import_(
    file: str, destination: str | None, kind: str | None, replace: bool, service: Service, as_json: bool
) -> None:
    """Import references that were made elsewhere: JSON lines from FILE or standard input (-).

    A line needs destination, kind, r2_key and file_id, as a bot's own table has them; the lines of `media export` have
    more. Refused lines are said one by one, the others are stored. Importing a file again changes nothing. Exit 1 if a
    line was refused.
    """
    defaults = {name: value for name, value in (("destination", destination), ("kind", kind)) if value}
    with ExitStack() as stack:
        lines = read_lines(_open(file, stack))
        total = Total(as_json, stack.enter_context(counting("lines")))
        trio.run(_import, service, lines, defaults, replace, total)
    if as_json:
        print_json({"imported": total.imported, "refused": total.refused})
    else:
        click.echo(f"imported {total.imported} of {total.lines} records")
    sys.exit(FAILED if total.refused else OK)


def _open(file: str, stack: ExitStack) -> BinaryIO:
    if file == "-":
        if sys.stdin is None:
            raise click.UsageError("standard input is closed; give a file of records, or pipe them in")
        return sys.stdin.buffer
    try:
        return stack.enter_context(Path(file).open("rb"))
    except OSError as exc:
        raise click.UsageError(f"{file} cannot be read: {exc.strerror}") from None


def read_lines(file: BinaryIO) -> Iterator[Line]:
    """The lines that are not blank. Each takes at most `MAX_LINE_BYTES` of memory, whatever the file has."""
    number = 0
    while text := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        text = text.removeprefix(b"\xef\xbb\xbf") if number == 1 else text  # a byte order mark, as Windows writes it
        if len(text) > MAX_LINE_BYTES and not text.endswith(b"\n"):
            while (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield Line(number, why_not=f"is longer than {MAX_LINE_BYTES} bytes; no record is")
        elif text.strip():
            yield _line_of(number, text)


def _line_of(number: int, text: bytes) -> Line:
    try:
        record = parse_json(text.decode())
    except UnicodeDecodeError:
        return Line(number, why_not="is not UTF-8 text")
    except BadJsonError as exc:
        return Line(number, why_not=f"is not JSON ({exc}); write one JSON object per line")
    return Line(number, record, bytes=len(json.dumps(record)) + 2)


async def _import(
    service: Service, lines: Iterator[Line], defaults: Mapping[str, str], replace: bool, total: Total
) -> None:
    async with open_caller(service) as caller:
        await import_lines(caller, lines, defaults, replace=replace, total=total)


async def import_lines(
    caller: Caller, lines: Iterator[Line], defaults: Mapping[str, str], *, replace: bool, total: Total
) -> None:
    """Import all lines, a batch at a time. At most two batches are in memory."""
    batch: list[Line] = []
    size_bytes = 0
    # Read in a thread: standard input may be a slow pipe.
    while some := await trio.to_thread.run_sync(lambda: list(islice(lines, BATCH_RECORDS)), abandon_on_cancel=True):
        for line in some:
            if batch and (len(batch) == BATCH_RECORDS or size_bytes + line.bytes > BATCH_BYTES):
                await _send(caller, batch, defaults, replace, total)
                batch, size_bytes = [], 0
            batch.append(line)
            size_bytes += line.bytes
    if batch:
        await _send(caller, batch, defaults, replace, total)


async def _send(
    caller: Caller, batch: Sequence[Line], defaults: Mapping[str, str], replace: bool, total: Total
) -> None:
    """Import one batch. Its refusals are printed in the order of the lines."""
    readable = [line for line in batch if line.why_not is None]
    try:
        refused = await _refusals(caller, readable, defaults, replace)
    except Unreachable as exc:
        raise Unreachable(
            f"{exc}. {total.imported} records are imported; import the file again, which changes nothing of them"
        ) from None
    refused |= {line.number: line.why_not for line in batch if line.why_not is not None}
    for number, why in sorted(refused.items()):
        total.refuse(number, why)
    total.lines += len(batch)
    total.imported += len(batch) - len(refused)
    total.counter.add(len(batch))


async def _refusals(
    caller: Caller, lines: Sequence[Line], defaults: Mapping[str, str], replace: bool
) -> dict[int, str]:
    """Why lines were refused, by their number. If a call is refused for what is in it, the lines are tried in halves,
    so that one line costs no other its place."""
    if not lines:
        return {}
    records = [{**defaults, **line.record} if isinstance(line.record, dict) else line.record for line in lines]
    try:
        answer = await call_patiently(caller, "import", {"records": records, "replace": replace})
    except CallError as exc:
        if exc.code not in _INVALID:
            raise
        if len(lines) == 1:
            return {lines[0].number: str(exc)}
        half = len(lines) // 2
        first = await _refusals(caller, lines[:half], defaults, replace)
        return first | await _refusals(caller, lines[half:], defaults, replace)
    return {lines[one["index"]].number: str(one["message"]) for one in answer["refused"]}
