"""`streamwarm pause`: sends nothing for a while, to one destination or to any."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click
import trio

from streamwarm.cli.common import print_json, print_line
from streamwarm.cli.pauses import Paused, all_paused
from streamwarm.cli.reach import Service, client_command, open_caller
from streamwarm.cli.times import BadTime, format_time, parse_future, parse_time, rfc3339


@click.command()
@click.argument("destination", required=False)
@click.option("--until", metavar="TIME", help="10m, 2h30m, 2026-01-02T18:00:00Z or Unix seconds (default: resume).")
@client_command
def pause(destination: str | None, until: str | None, service: Service, as_json: bool) -> None:
    """Send nothing to DESTINATION (default: to any), until TIME or until it is resumed.

    Running transfers are finished, and pushes are still accepted. A pause survives a restart of the service.
    """
    _until(until, time.time())
    change_pauses(service, "pause", destination, until=until, as_json=as_json)


def change_pauses(
    service: Service, method: str, destination: str | None, *, until: str | None = None, as_json: bool
) -> None:
    """Call `pause` or `resume` and print the pauses that are in force now."""
    stats = trio.run(_call, service, method, destination, until)
    if as_json:
        print_json(stats)
        return
    for line in pause_lines(stats) or ["nothing is paused"]:
        print_line(line)


def pause_lines(stats: dict[str, Any]) -> list[str]:
    """One line per pause in force: of the service, the bucket, a destination, or a kind that no chat takes."""
    return [f"{one.what}: paused until {_end(one)} ({one.reason})" for one in all_paused(stats)]


def _end(paused: Paused) -> str:
    return "a probe of it succeeds" if paused.by == "source" else format_time(paused.until)


async def _call(service: Service, method: str, destination: str | None, until: str | None) -> Any:
    params = {} if destination is None else {"destination": destination}
    async with open_caller(service) as caller:
        if until is not None:  # relative to the service's clock: this machine's may be wrong
            stats = await caller.call("stats", {})
            params |= _until(until, datetime.fromisoformat(stats["at"]).timestamp(), parse_future)
        return await caller.call(method, params)


def _until(text: str | None, now: float, parse: Callable[[str, float], float] = parse_time) -> dict[str, str]:
    """The params' `until`, if it was given. Raises `click.BadParameter`."""
    try:
        return {} if text is None else {"until": rfc3339(parse(text, now))}
    except BadTime as exc:
        raise click.BadParameter(str(exc), param_hint="--until") from None
