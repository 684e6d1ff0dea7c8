"""The command line (contract, section 2)."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping

import click

from streamwarm import __version__

_COMMANDS: Mapping[str, str] = {
    "serve": "Run the service.",
    "demo": "Warm a small library in a sandbox and check every byte.",
    "sandbox": "Run a bucket and a bot to try things on.",
    "push": "Push jobs and follow them to their end.",
    "find": "Print the recorded reference of a warm object.",
    "status": "Show the queue, the workers and the destinations, once or live.",
    "jobs": "List jobs; retry, cancel or forget them.",
    "check": "Prove the settings against the real systems.",
    "migrate": "Bring the store's schema up to date.",
    "pause": "Send nothing for a while, anywhere or to one destination.",
    "resume": "End a pause.",
}


class _Commands(click.Group):
    """Imports a command's code only when it is asked for: `find` need not wait for the service's libraries."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"streamwarm.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def main() -> None:
    """The console script: whatever interrupts it, it exits 130 and says so in one line."""
    try:
        # Not standalone: click would answer Ctrl-C with "Aborted!" and exit 1.
        sys.exit(command_line(prog_name="streamwarm", standalone_mode=False))
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("streamwarm: interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read us has enough, as `head` does; what is left in the buffer must not fail at exit again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="streamwarm")
def command_line() -> None:
    """Warm media for Telegram bots: stream objects from Cloudflare R2 to where they are needed, ahead of time."""
