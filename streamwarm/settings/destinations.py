"""The tables `[destinations.<name>]` as the file and the environment give them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamwarm.errors import SettingsError
from streamwarm.settings.schema import DestinationTables

PREFIX = "STREAMWARM_DESTINATIONS_"

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_TYPE = "_TYPE"
"""No type of destination has a setting whose name ends so, so what stands before it is a destination's name."""


def destination_tables(tables: Any, path: Path | None, environ: Mapping[str, str]) -> DestinationTables:
    """The tables by name, with `STREAMWARM_DESTINATIONS_<NAME>_<KEY>` laid over them.

    A table that the file does not have is begun by the variable of its `type`. Raises `SettingsError` for what is no
    table, for a name that none can have, and for a variable that belongs to no table.
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
    result = DestinationTables()
    result.origin = f"{path}: " if path else ""
    for name, named in variables.items():
        result[name] = {**tables.get(name, {}), **{key: environ[variable] for key, variable in named.items()}}
        result.variables[name] = named
    return result


def _begun_by(environ: Mapping[str, str], tables: Mapping[str, Any]) -> list[str]:
    """The names of tables that only the environment has."""
    known = {_as_variable(name) for name in tables}
    named = [variable.removeprefix(PREFIX) for variable in environ if variable.startswith(PREFIX)]
    begun = [rest.removesuffix(_TYPE) for rest in named if rest.endswith(_TYPE)]
    return [name.lower() for name in begun if name not in known and _NAME.fullmatch(name.lower())]


def _by_owner(environ: Mapping[str, str], names: list[str]) -> dict[str, dict[str, str]]:
    """The variables of each table, by key. Of `my` and `my_bot`, `…_MY_BOT_TOKEN` belongs to the longer name."""
    owned: dict[str, dict[str, str]] = {name: {} for name in names}
    for variable in environ:
        if not variable.startswith(PREFIX):
            continue
        rest = variable.removeprefix(PREFIX)
        begins = {word for word in map(_as_variable, names) if rest.startswith(f"{word}_")}
        if not begins:
            raise SettingsError(
                f"the environment: {variable}: belongs to no destination; "
                f"there are: {', '.join(sorted(names)) or 'none'}; {PREFIX}<NAME>{_TYPE} begins another"
            )
        owner = max(begins, key=len)
        for name in names:
            if _as_variable(name) == owner:
                owned[name][rest.removeprefix(f"{owner}_").lower()] = variable
    return owned


def _as_variable(name: str) -> str:
    return name.upper().replace("-", "_")
