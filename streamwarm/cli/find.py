"""`streamwarm find`: prints the recorded reference, or exits with 1."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Sequence
from typing import Any

import click
import trio
from rich.console import Console

from streamwarm.cli.common import FAILED, fail, print_json, print_line
from streamwarm.cli.reach import Service, client_command, open_caller
from streamwarm.cli.record_text import age_line, reference_of
from streamwarm.model import Kind, SourceState
from streamwarm.printable import printable


@click.command()
@click.argument("destination")
@click.argument("kind", type=click.Choice([kind.value for kind in Kind]))
@click.argument("sha256_or_key")
@client_command
def find(destination: str, kind: str, sha256_or_key: str, service: Service, as_json: bool) -> None:
    """Print the recorded reference of a warm object; exit 1 if it is cold.

    SHA256_OR_KEY is the object's SHA-256 in hex or its key in the bucket. On a terminal a second line says how the
    record stands to its object, and how old it is. In a pipe that goes to standard error, and only if the object has
    changed or is gone.
    """
    record, known = trio.run(find_record, service, destination, kind, sha256_or_key)
    if record is None:
        fail(why_cold(destination, kind, sha256_or_key, known), FAILED)
    if as_json:
        print_json(record)
        return
    print_line(reference_of(record["result"]))
    if Console().is_terminal:
        print_line(age_line(record, time.time()))
    elif record["source_state"] != SourceState.CURRENT:
        click.echo(f"streamwarm: {printable(age_line(record, time.time()))}", err=True)


def why_cold(destination: str, kind: str, sha256_or_key: str, known: Collection[str]) -> str:
    """The message that there is no record. `known` are the service's destinations."""
    if destination not in known:
        return f"no destination is called {destination}; the service has: {', '.join(sorted(known)) or 'none'}"
    return f"{sha256_or_key} is not warm at {destination} as {kind}; `streamwarm push` warms it"


async def find_record(service: Service, destination: str, kind: str, sha256_or_key: str) -> tuple[Any, Collection[str]]:
    """The record or None, and if it is None, the names of the service's destinations."""
    async with open_caller(service) as client:
        for reference in references(sha256_or_key):
            record = await client.call("find", {**about(destination, kind), **reference})
            if record is not None:
                return record, ()
        return None, (await client.call("stats", {}))["destinations"]


def about(destination: str, kind: str) -> dict[str, str]:
    return {"destination": destination, "kind": kind}


def references(sha256_or_key: str) -> Sequence[dict[str, str]]:
    """What to look up, in order: 64 hexadecimal digits can be a digest, and are a valid key too."""
    by_key = {"r2_key": sha256_or_key}
    if re.fullmatch("[0-9a-fA-F]{64}", sha256_or_key):
        return [{"sha256": sha256_or_key.lower()}, by_key]
    return [by_key]
