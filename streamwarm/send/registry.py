"""The destination types by name. Another one is a file beside this one and a line in `TYPES`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import httpx
from attrs import frozen
from typed_settings.types import SecretStr

from streamwarm.configure import structure_table
from streamwarm.errors import SettingsError
from streamwarm.send.destination import Destination
from streamwarm.send.telegram import TelegramDestination, TelegramSettings


@frozen
class DestinationType:
    """`settings` is the attrs class of its table; `build` makes the destination from name, settings and client."""

    settings: type[Any]
    build: Callable[[str, Any, httpx.AsyncClient], Destination]


TYPES: Mapping[str, DestinationType] = {
    "telegram": DestinationType(TelegramSettings, TelegramDestination),
}


def read_tables(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[DestinationType, Any]]:
    """Each table as its type and settings. Raises `SettingsError` that names the table, the key and what is allowed."""
    read: dict[str, tuple[DestinationType, Any]] = {}
    for name, table in tables.items():
        where = f"[destinations.{name}]"
        kind = TYPES.get(str(table.get("type")))
        if kind is None:
            raise SettingsError(f"{where} type: must be one of: {', '.join(TYPES)}")
        read[name] = kind, structure_table(kind.settings, table, where)
    return read


def build_destinations(tables: Mapping[str, Mapping[str, Any]], client: httpx.AsyncClient) -> dict[str, Destination]:
    """The destinations by name. Raises `SettingsError`."""
    return {name: kind.build(name, settings, client) for name, (kind, settings) in read_tables(tables).items()}


def secrets_in(tables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Every text in the tables that must never be shown. Raises `SettingsError`."""
    return [
        value
        for _, settings in read_tables(tables).values()
        for value in attrs.asdict(settings, recurse=False).values()
        if isinstance(value, SecretStr)
    ]
