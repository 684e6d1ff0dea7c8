"""`streamwarm sandbox`: runs a bucket and a bot to try things on, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import click
import trio

from streamwarm.cli.common import config_option, exits, read_settings
from streamwarm.cli.running import until_signalled
from streamwarm.sandbox.sandbox import open_sandbox


@click.command()
@config_option
@exits
def sandbox(config: Path | None) -> None:
    """Run a real S3 server (SeaweedFS) instead of R2 and a Bot API emulator, on loopback, until Ctrl-C.

    Prints a complete streamwarm.toml. The bucket's objects are deleted when it stops.
    """
    if config is not None:
        read_settings(config)  # the sandbox uses none of them, but a file that was given must be valid
    trio.run(_sandbox)


async def _sandbox() -> None:
    async with open_sandbox() as running:
        click.echo("# streamwarm.toml for the sandbox; valid until this command is stopped")
        click.echo(running.as_toml())
        await until_signalled()
