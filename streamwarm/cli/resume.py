"""`streamwarm resume`: ends a pause."""

from __future__ import annotations

import click

from streamwarm.cli.pause import change_pauses
from streamwarm.cli.reach import Service, client_command


@click.command()
@click.argument("destination", required=False)
@client_command
def resume(destination: str | None, service: Service, as_json: bool) -> None:
    """End the pause of DESTINATION (default: of the whole service).

    A cooldown that the destination asked for (Telegram's 429) lasts until its own time.
    """
    change_pauses(service, "resume", destination, as_json=as_json)
