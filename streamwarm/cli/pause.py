"""`streamwarm pause`: send nothing for a while, anywhere or to one destination."""

from __future__ import annotations

import time
from typing import Any

import click
import trio

from streamwarm.cli.common import print_json
from streamwarm.cli.reach import Service, client_command, open_caller
from streamwarm.cli.times import BadTime, format_time, parse_time, rfc3339


@click.command()
@click.argument("destination", required=False)
@click.option("--until", metavar="TIME", help="10m, 2h30m, 2026-01-02T18:00:00Z or Unix seconds (default: resume).")
@client_command
def pause(destination: str | None, until: str | None, service: Service, as_json: bool) -> None:
    """Send nothing to DESTINATION, or with none given to any, until TIME or until it is resumed.

    Transfers that run are finished; pushes are still taken. A pause outlives the service.
    """
    params: dict[str, Any] = {} if destination is None else {"destination": destination}
    if until is not None:
        try:
            params["until"] = rfc3339(parse_time(until, time.time()))
        except BadTime as exc:
            raise click.BadParameter(str(exc), param_hint="--until") from None
    change_pauses(service, "pause", params, as_json=as_json)


def change_pauses(service: Service, method: str, params: dict[str, Any], *, as_json: bool) -> None:
    """Call `pause` or `resume` and print how things stand now."""
    stats = trio.run(_call, service, method, params)
    if as_json:
        print_json(stats)
        return
    for line in pause_lines(stats) or ["nothing is paused"]:
        click.echo(line)


def pause_lines(stats: dict[str, Any]) -> list[str]:
    """A line about each pause in force."""
    paused = [("the whole service", stats.get("paused"))]
    paused += [(name, view.get("paused")) for name, view in sorted(stats["destinations"].items())]
    return [f"{who}: paused until {format_time(p['until'])} ({p['reason']})" for who, p in paused if p]


async def _call(service: Service, method: str, params: dict[str, Any]) -> Any:
    async with open_caller(service) as caller:
        return await caller.call(method, params)
