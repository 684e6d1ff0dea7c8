"""The command line (contract, section 2)."""

from __future__ import annotations

import click

from streamwarm import __version__
from streamwarm.cli.demo import demo
from streamwarm.cli.find import find
from streamwarm.cli.push import push
from streamwarm.cli.sandbox import sandbox
from streamwarm.cli.serve import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="streamwarm")
def main() -> None:
    """Warm media for Telegram bots: stream objects from Cloudflare R2 to where they are needed, ahead of time."""


for command in (serve, demo, sandbox, push, find):
    main.add_command(command)
