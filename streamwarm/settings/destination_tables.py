"""Merges the raw tables `[destinations.<name>]` of the file with the environment's variables. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamwarm.errors import SettingsError

PREFIX = "STREAMWARM_DESTINATIONS_"

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_TYPE = "_TYPE"
"""The text before it is a destination's name: no type of destination has another setting that ends with it."""


def read_tables(
    tables: Any, path: Path | None, environ: Mapping[str, str]
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, str]]]:
    """The raw tables by name, and the environment variables that set their values, by table and key.

    `STREAMWARM_DESTINATIONS_<NAME>_<KEY>` overrides the file. The variable of a `type` adds a table that the file does
    not have. Raises `SettingsError` for a value that is not a table, a name that is not allowed, and a variable that
    matches no table.
    """
    if not isinstance(tables, dict):
        raise SettingsError(f"{path}: destinations: must be tables, such as [destinations.mybot]")
    for name, table in tables.items():
        if not _NAME.fullmatch(name):
            raise SettingsError(
                f"{path}: [destinations.{name}]: a name has lower-case letters, digits, - and _, at most 64"
            )
        if not isinstance(table, dict):
            raise SettingsError(f"{path}: destinations.{name}: must be a table")
    variables = _by_owner(environ, [*tables, *_begun_by(environ, tables)])
    merged = {
        name: {**tables.get(name, {}), **{key: environ[variable] for key, variable in owned.items()}}
        for name, owned in variables.items()
    }
    return merged, variables


def _begun_by(environ: Mapping[str, str], tables: Mapping[str, Any]) -> list[str]:
    """The names of the tables that only the environment has."""
    known = {_as_variable(name) for name in tables}
    named = [variable.removeprefix(PREFIX) for variable in environ if variable.startswith(PREFIX)]
    begun = [rest.removesuffix(_TYPE) for rest in named if rest.endswith(_TYPE)]
    return [name.lower() for name in begun if name not in known and _NAME.fullmatch(name.lower())]


def _by_owner(environ: Mapping[str, str], names: list[str]) -> dict[str, dict[str, str]]:
    """The variables of each table, by key.

    If several names match, the longest owns the variable: `…_MY_BOT_TOKEN` belongs to `my_bot`, not to `my`.
    """
    owned: dict[str, dict[str, str]] = {name: {} for name in names}
    for variable in environ:
        if not variable.startswith(PREFIX):
            continue
        rest = variable.removeprefix(PREFIX)
        begins = {word for word in map(_as_variable, names) if rest.startswith(f"{word}_")}
        if not begins:
            raise SettingsError(
                f"the environment: {variable}: matches no destination "
                f"(configured: {', '.join(sorted(names)) or 'none'}); set {PREFIX}<NAME>{_TYPE} to add one"
            )
        owner = max(begins, key=len)
        for name in names:
            if _as_variable(name) == owner:
                owned[name][rest.removeprefix(f"{owner}_").lower()] = variable
    return owned


def _as_variable(name: str) -> str:
    return name.upper().replace("-", "_")
