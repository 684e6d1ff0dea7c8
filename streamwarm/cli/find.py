"""`streamwarm find`: prints the recorded reference, or exits with 1."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import click
import trio

from streamwarm.cli.common import FAILED, fail, print_json, print_line
from streamwarm.cli.reach import Service, client_command, open_caller
from streamwarm.model import Kind


@click.command()
@click.argument("destination")
@click.argument("kind", type=click.Choice([kind.value for kind in Kind]))
@click.argument("sha256_or_key")
@client_command
def find(destination: str, kind: str, sha256_or_key: str, service: Service, as_json: bool) -> None:
    """Print the recorded reference of a warm object; exit 1 if it is cold.

    SHA256_OR_KEY is the object's SHA-256 in hex or its key in the bucket.
    """
    record, known = trio.run(_find, service, destination, kind, sha256_or_key)
    if record is None and destination not in known:
        fail(f"no destination is called {destination}; the service has: {', '.join(sorted(known)) or 'none'}", FAILED)
    if record is None:
        fail(f"{sha256_or_key} is not warm at {destination} as {kind}; `streamwarm push` warms it", FAILED)
    if as_json:
        print_json(record)
    else:
        result = record["result"]
        print_line(str(result.get("file_id") or result.get("location") or result.get("etag") or result))


async def _find(service: Service, destination: str, kind: str, sha256_or_key: str) -> tuple[Any, Collection[str]]:
    """The record or None, and if it is None, the names of the service's destinations."""
    about = {"destination": destination, "kind": kind}
    async with open_caller(service) as client:
        record = None
        if re.fullmatch("[0-9a-fA-F]{64}", sha256_or_key):
            record = await client.call("find", {**about, "sha256": sha256_or_key.lower()})
        record = record or await client.call("find", {**about, "r2_key": sha256_or_key})
        return record, () if record else (await client.call("stats", {}))["destinations"]
