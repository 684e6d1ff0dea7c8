"""`streamwarm sandbox`: a bucket and a bot to try things on, until Ctrl-C."""

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
    """Run a real S3 server (SeaweedFS) in R2's place and a Bot API emulator, on loopback, until Ctrl-C.

    Prints a ready streamwarm.toml. What is put into its bucket is gone when it stops.
    """
    if config is not None:
        read_settings(config)  # nothing in it is the sandbox's, but what is named must be right
    trio.run(_sandbox)


async def _sandbox() -> None:
    async with open_sandbox() as running:
        click.echo("# streamwarm.toml: a sandbox on loopback, until this command is stopped")
        click.echo(running.as_toml())
        await until_signalled()
