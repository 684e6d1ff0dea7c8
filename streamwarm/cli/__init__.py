"""The command line (contract, section 2)."""

from __future__ import annotations

import difflib
import errno
import importlib
import io
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from streamwarm import __version__
from streamwarm.printable import printable_lines

_COMMANDS: Mapping[str, str] = {
    "serve": "Run the service.",
    "demo": "Warm a small library in a sandbox and check every byte.",
    "sandbox": "Run a bucket and a bot to try things on.",
    "push": "Push jobs and follow them to their end.",
    "find": "Print the recorded reference of a warm object.",
    "status": "Show the queue, the workers and the destinations, once or live.",
    "jobs": "List jobs; retry, cancel or forget them.",
    "media": "List, show, export, import, verify or forget warm records.",
    "check": "Check the settings against the real systems.",
    "migrate": "Bring the store's schema up to date.",
    "pause": "Send nothing for a while, anywhere or to one destination.",
    "resume": "End a pause.",
}


class _OutputClosed(Exception):
    """A `BrokenPipeError` under another name. click would exit with code 1 for it, which means that a job failed."""


@contextmanager
def _broken_pipe_renamed() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as exc:
        raise _OutputClosed from exc


class _Commands(click.Group):
    """Imports a command's code only when it is run, so that `find` does not wait for the service's libraries."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"streamwarm.cli.{cmd_name}"), cmd_name)
        return command

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        with _broken_pipe_renamed():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        with _broken_pipe_renamed():
            return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        close = difflib.get_close_matches(args[0], _COMMANDS, n=1)
        if close and args[0] not in _COMMANDS:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {close[0]!r}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def main() -> None:
    """The console script. If it is interrupted, it prints one line and exits with 130."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # An old terminal (ISO 8859-1) has no arrow, and a key may contain anything. Print \\u2192 instead of failing.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        # Not standalone: click would answer Ctrl-C with "Aborted!" and exit 1.
        sys.exit(command_line(prog_name="streamwarm", standalone_mode=False))
    except click.ClickException as exc:
        shown = io.StringIO()
        exc.show(shown)
        click.echo(printable_lines(shown.getvalue()), nl=False, err=True)
        sys.exit(exc.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("streamwarm: interrupted", err=True)
        sys.exit(130)
    except _OutputClosed:
        # The program that reads our output has closed it, as `head` does. End by SIGPIPE, as the shell's own tools do;
        # Python ignores that signal by default.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        click.echo(f"streamwarm: cannot write: {exc.strerror}", err=True)
        # The buffered rest would fail again when the interpreter flushes it: a second message, and exit code 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="streamwarm")
def command_line() -> None:
    """Warm media for Telegram bots: stream objects from Cloudflare R2 to their destinations ahead of time."""
