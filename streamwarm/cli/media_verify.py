"""`streamwarm media verify`: has a destination asked whether its references still work."""

from __future__ import annotations

import sys
from collections import Counter as Tally
from collections.abc import Mapping
from typing import Any

import click
import trio

from streamwarm.cli.bulk import after_, call_patiently, counting
from streamwarm.cli.common import FAILED, OK, fail, print_json
from streamwarm.cli.job_input import choose_destination
from streamwarm.cli.reach import Service, client_command, open_caller
from streamwarm.errors import SettingsError
from streamwarm.printable import printable

LONGEST_WAIT_S = 300.0
"""A destination that asks for a longer pause ends the command: it is for people who wait."""


@click.command()
@click.argument("destination", required=False)
@click.option("--prefix", help="Only keys that begin with this.")
@client_command
def verify(destination: str | None, prefix: str | None, service: Service, as_json: bool) -> None:
    """Ask DESTINATION (default: the service's only one) whether its recorded references still work.

    Nothing is sent and no record is changed; the service keeps the destination's rates. References that are bad, and
    those of which nothing can be proven, are printed: tab-separated in a pipe (bad or unproven, kind, key, reason).
    Exit 1 if one is bad or the destination could not be asked.
    """
    tally, stopped = trio.run(_verify, service, destination, {"prefix": prefix} if prefix else {}, as_json)
    summary = ", ".join(f"{tally[name]} {name}" for name in ("good", "bad", "unproven"))
    if as_json:
        print_json({name: tally[name] for name in ("good", "bad", "unproven")})
    else:
        click.echo(f"asked for {tally.total()} references: {summary}", err=True)
    if stopped:
        fail(f"not all references were asked for: {stopped}; try again later", FAILED)
    sys.exit(FAILED if tally["bad"] else OK)


async def _verify(
    service: Service, destination: str | None, which: Mapping[str, str], as_json: bool
) -> tuple[Tally[str], str | None]:
    """What was found, and why not all was asked for, or None."""
    tally: Tally[str] = Tally()
    after: str | None = None
    async with open_caller(service) as caller:
        name = choose_destination(destination, (await caller.call("stats", {}))["destinations"])
        if name is None:
            raise SettingsError("the service has several destinations; name the one to ask")
        with counting("references asked for") as counter:
            while True:
                page = await call_patiently(caller, "verify", {"destination": name, **which, **after_(after)})
                _print(page, as_json)
                found = {"good": page["good"], "bad": len(page["bad"]), "unproven": len(page["unproven"])}
                tally.update(found)
                counter.add(sum(found.values()))
                after, stopped = page["next"], page.get("stopped")
                if after is None and stopped is None:
                    return tally, None
                if stopped is not None and not await _waited(stopped):
                    return tally, str(stopped["message"])


async def _waited(stopped: Mapping[str, Any]) -> bool:
    """Wait for the end of a 429. Returns False if nobody knows when it ends, or not soon."""
    wait_s = stopped.get("retry_after_s")
    if wait_s is None or wait_s > LONGEST_WAIT_S:
        return False
    await trio.sleep(wait_s)
    return True


def _print(page: Mapping[str, Any], as_json: bool) -> None:
    for verdict in ("bad", "unproven"):
        for item in page[verdict]:
            record = item["record"]
            if as_json:
                print_json({"verdict": verdict, **item})
            else:
                cells = (verdict, record["kind"], record["r2_key"], item["why"])
                click.echo("\t".join(printable(cell) for cell in cells))
