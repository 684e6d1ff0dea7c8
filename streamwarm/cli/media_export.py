"""`streamwarm media export`: writes records as JSON lines that `media import` reads."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any, TextIO

import click
import trio

from streamwarm.cli.bulk import counting, record_pages
from streamwarm.cli.reach import Service, client_command, open_caller
from streamwarm.cli.record_filter import filter_options, record_filter
from streamwarm.printable import printable_json

_NAMES = ("destination", "kind", "r2_key", "file_id", "sha256", "bytes", "source_etag", "account", "options")
_TIMES = ("warmed_at", "checked_at", "source_state", "result")


@click.command("export")
@click.argument("file", default="-", metavar="[FILE | -]")
@filter_options
@client_command
def export_(file: str, service: Service, as_json: bool, **which: Any) -> None:
    """Write records as JSON lines to FILE or standard output (-): those that a look-up by key answers.

    FILE is replaced once all records are written. The lines are what `media import` reads.
    """
    del as_json  # they are JSON in any case
    try:
        with _open(file) as out:
            count = trio.run(_export, service, record_filter(which), out)
    except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError) as exc:
        raise click.UsageError(f"{exc.filename} cannot be written: {exc.strerror}; name another file, or -") from None
    click.echo(f"exported {count} records", err=True)


async def _export(service: Service, which: Mapping[str, Any], out: TextIO) -> int:
    count = 0
    async with open_caller(service) as caller, aclosing(record_pages(caller, which)) as pages:
        with counting("records exported") as counter:
            async for page in pages:
                lines = "".join(f"{_line(record)}\n" for record in page["records"])
                await trio.to_thread.run_sync(out.write, lines)
                count += len(page["records"])
                counter.add(len(page["records"]))
    return count


def _line(record: Mapping[str, Any]) -> str:
    """The record without what is null, and without what stands in its result, too."""
    members = {name: record[name] for name in (*_NAMES, *_TIMES) if record.get(name) not in (None, {})}
    return printable_json(json.dumps(members, ensure_ascii=False, separators=(", ", ": ")))


@contextmanager
def _open(file: str) -> Iterator[TextIO]:
    """The file to write to. A regular file appears when the block ends well, so that none looks whole and is not."""
    path = Path(file)
    if file == "-":
        yield sys.stdout
        sys.stdout.flush()
    elif path.exists() and not path.is_file():  # a device or a pipe
        with path.open("w", encoding="utf-8") as out:
            yield out
    else:
        part = path.with_name(f"{path.name}.part")
        try:
            with part.open("w", encoding="utf-8") as out:
                yield out
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
