"""`streamwarm media`: the warm records themselves. Each further subcommand is a file beside this one."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import click
import trio

from streamwarm.cli.bulk import record_pages
from streamwarm.cli.common import FAILED, F, fail, print_json, print_line
from streamwarm.cli.find import about, find_record, references, why_cold
from streamwarm.cli.media_export import export_
from streamwarm.cli.media_import import import_
from streamwarm.cli.media_refresh import refresh
from streamwarm.cli.media_verify import verify
from streamwarm.cli.reach import Service, client_command, open_caller
from streamwarm.cli.record_filter import filter_options, record_filter
from streamwarm.cli.record_text import HEADINGS, age_line, row, spelled
from streamwarm.cli.table import print_table
from streamwarm.model import Kind


@click.group()
def media() -> None:
    """List, show, refresh, export, import, verify or forget warm records: what destinations answered for objects."""


media.add_command(export_)
media.add_command(import_)
media.add_command(refresh)
media.add_command(verify)


def _names_a_record(command: F) -> F:
    """Add the arguments that name one record."""
    for argument in (
        click.argument("sha256_or_key"),
        click.argument("kind", type=click.Choice([kind.value for kind in Kind])),
        click.argument("destination"),
    ):
        command = argument(command)
    return command


@media.command("list")
@filter_options
@click.option("--limit", "-n", default=100, type=click.IntRange(0), help="Maximum number, by key; 0: all.")
@client_command
def list_(limit: int, service: Service, as_json: bool, **which: Any) -> None:
    """List records by their keys.

    In a pipe, tab-separated: destination, kind, key, state, time of warming, time of the last comparison, reference.
    """
    more = trio.run(_print_records, service, record_filter(which), limit, as_json)
    if more and not as_json:
        click.echo(f"there are more than {limit}; --limit 0 shows all, and --prefix and other options filter", err=True)


async def _print_records(service: Service, which: Mapping[str, Any], limit: int, as_json: bool) -> bool:
    """Print up to `limit` records (0: all). Returns True if there are more."""
    after = None
    async with open_caller(service) as caller, aclosing(record_pages(caller, which, limit)) as pages:
        async for page in pages:
            after = page["next"]
            if as_json:
                for record in page["records"]:
                    print_json(record)
            elif page["records"]:
                print_table(HEADINGS, [row(record) for record in page["records"]])
    return after is not None


@media.command()
@_names_a_record
@client_command
def show(destination: str, kind: str, sha256_or_key: str, service: Service, as_json: bool) -> None:
    """Show all that is recorded of a warm object; exit 1 if it is cold.

    SHA256_OR_KEY is the object's SHA-256 in hex or its key in the bucket.
    """
    record, known = trio.run(find_record, service, destination, kind, sha256_or_key)
    if record is None:
        fail(why_cold(destination, kind, sha256_or_key, known), FAILED)
    if as_json:
        print_json(record)
        return
    repeated = record["result"].keys() - {"sha256", "bytes", "kind", "source_etag"}
    for name, value in record.items():
        if name not in repeated and name != "result" and value not in (None, {}):
            print_line(f"{name}: {spelled(value)}")
    for name, value in record["result"].items():
        if name in repeated and value not in (None, {}, []):
            print_line(f"{name}: {spelled(value)}")
        elif name == "kind" and value != record["kind"]:
            print_line(f"kind as returned: {value}")
    print_line(age_line(record, time.time()))


@media.command()
@_names_a_record
@click.option("--file-id", help="Only if the record still has this file_id.")
@client_command
def forget(
    destination: str, kind: str, sha256_or_key: str, file_id: str | None, service: Service, as_json: bool
) -> None:
    """Drop the record of one object, so that the next push warms it again; exit 1 if there was none.

    By key, every version of that key is dropped; by digest, that version.
    """
    forgotten, known = trio.run(_forget, service, destination, kind, sha256_or_key, file_id)
    if as_json:
        print_json({"forgotten": forgotten})
        sys.exit(0 if forgotten else FAILED)
    if not forgotten:
        message = why_cold(destination, kind, sha256_or_key, known)
        fail(
            message if file_id is None else f"nothing was forgotten: there is no record with that file_id; {message}", 1
        )
    print_line(f"forgot {sha256_or_key} at {destination} as {kind}")


async def _forget(
    service: Service, destination: str, kind: str, sha256_or_key: str, file_id: str | None
) -> tuple[bool, Any]:
    condition = {} if file_id is None else {"file_id": file_id}
    async with open_caller(service) as caller:
        for reference in references(sha256_or_key):
            answer = await caller.call("forget", {**about(destination, kind), **reference, **condition})
            if answer["forgotten"]:
                return True, ()
        return False, (await caller.call("stats", {}))["destinations"]
