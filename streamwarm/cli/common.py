"""Shared by all commands: options, settings, and the mapping of exceptions to exit codes."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from streamwarm.cli.client import CallError, Unauthorized, Unreachable
from streamwarm.errors import SettingsError, SourceError, StoreUnavailable
from streamwarm.settings.load import load_settings
from streamwarm.settings.schema import Settings

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
    return load_settings(config, flags=given, destinations=destinations)


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")))


def fail(message: str, code: int) -> NoReturn:
    click.echo(f"streamwarm: {message}", err=True)
    sys.exit(code)


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
    raise exc
