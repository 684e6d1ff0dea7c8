"""Shared by all commands: options, settings, and the mapping of exceptions to exit codes."""

from __future__ import annotations

import functools
import json
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from streamwarm.cli.client import CallError, Unauthorized, Unreachable
from streamwarm.errors import SettingsError, SourceError, StoreUnavailable
from streamwarm.printable import printable, printable_json
from streamwarm.redact import make_redactor
from streamwarm.settings.load import load_settings
from streamwarm.settings.schema import Settings
from streamwarm.settings.secrets import secrets_in_settings

_SETTINGS = "streamwarm.settings"
"""Under this name the context keeps the settings that were read."""

OK, FAILED, USAGE, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130

F = TypeVar("F", bound=Callable[..., Any])


def config_option(command: F) -> F:
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        help="Settings file (default: STREAMWARM_CONFIG, else streamwarm.toml here).",
    )(command)


def read_settings(
    config: Path | None, flags: Mapping[str, Any] | None = None, *, destinations: bool = True
) -> Settings:
    """The settings of a command. Flags that are None were not given. `destinations`: see `load_settings`."""
    given = {path: value for path, value in (flags or {}).items() if value is not None}
    settings = load_settings(config, flags=given, destinations=destinations)
    if context := click.get_current_context(silent=True):
        context.find_root().meta[_SETTINGS] = settings
    return settings


def print_json(value: Any) -> None:
    click.echo(printable_json(json.dumps(value, ensure_ascii=False, separators=(", ", ": "))))


def print_line(text: str) -> None:
    """Print one line, with control characters escaped."""
    click.echo(printable(text))


def fail(message: str, code: int) -> NoReturn:
    click.echo(f"streamwarm: {printable(_redacted(message))}", err=True)
    sys.exit(code)


def _redacted(text: str) -> str:
    """The text without the secrets of the settings that this command has read."""
    context = click.get_current_context(silent=True)
    settings = context.find_root().meta.get(_SETTINGS) if context else None
    return make_redactor(secrets_in_settings(settings) if settings else ())(text)


def exits(command: F) -> F:
    """Decorate a command: an exception becomes a message and the contract's exit code."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except BaseException as exc:
            _exit_for(_innermost(exc))

    return run  # type: ignore[return-value]


def _innermost(exc: BaseException) -> BaseException:
    """The exception that the user needs to see, out of the groups that nurseries make.

    A `KeyboardInterrupt` comes first: it caused the other errors, such as a closed connection. Otherwise the first one.
    """
    while isinstance(exc, BaseExceptionGroup):
        exc = (exc.subgroup(KeyboardInterrupt) or exc).exceptions[0]
    return exc


def was_interrupted(exc: BaseException) -> bool:
    return isinstance(_innermost(exc), KeyboardInterrupt)


def _exit_for(exc: BaseException) -> NoReturn:
    if isinstance(exc, SettingsError | Unauthorized):
        fail(str(exc), USAGE)
    if type(exc).__name__ == "ObjectStoreError":  # by name: only the sandbox's commands import the sandbox
        fail(str(exc), USAGE)
    if isinstance(exc, Unreachable | StoreUnavailable):
        fail(str(exc), UNREACHABLE)
    if isinstance(exc, SourceError):
        fail(f"the bucket: {exc}; run `streamwarm check` for details", FAILED)
    if isinstance(exc, CallError):
        fail(f"the service refused: {exc}", FAILED)
    if isinstance(exc, KeyboardInterrupt):
        fail("interrupted", INTERRUPTED)
    if isinstance(exc, UnicodeEncodeError):  # an argument of the command line
        fail("an argument is not UTF-8 text; the service accepts nothing else", USAGE)
    clicks = (click.ClickException, click.Abort, click.exceptions.Exit)  # `main` reports these, and a failed write
    if not isinstance(exc, Exception) or isinstance(exc, (*clicks, OSError)):
        raise exc
    fail_unexpectedly(exc)


def fail_unexpectedly(exc: BaseException) -> NoReturn:
    """A bug of ours. Its traceback is printed without secrets: a driver's exceptions quote what they were given."""
    text = _redacted("".join(traceback.format_exception(exc)))
    click.echo("\n".join(map(printable, text.rstrip().split("\n"))), err=True)
    sys.exit(FAILED)
