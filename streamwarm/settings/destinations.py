"""The settings classes of the destination types, and how tables become instances of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from streamwarm.errors import SettingsError
from streamwarm.settings.convert import structure_table
from streamwarm.settings.http import HttpSettings
from streamwarm.settings.s3 import S3Settings
from streamwarm.settings.schema import DestinationSettings
from streamwarm.settings.secret import SecretStr
from streamwarm.settings.telegram import TelegramSettings

TYPES: Mapping[str, type[DestinationSettings]] = {
    "telegram": TelegramSettings,
    "s3": S3Settings,
    "http": HttpSettings,
}
"""The settings class of each `type`."""


def parse_destinations(
    tables: Mapping[str, Mapping[str, Any]], *, origin: str = "", variables: Mapping[str, Mapping[str, str]] = {}
) -> dict[str, DestinationSettings]:
    """The settings of each destination, from raw tables by name.

    `origin` begins every message, such as `streamwarm.toml: `. `variables` gives, by table and key, the environment
    variable that a value came from. Raises `SettingsError` that names the table, the key and what is allowed.
    """
    parsed: dict[str, DestinationSettings] = {}
    for name, table in tables.items():
        where = f"{origin}[destinations.{name}]"
        cls = TYPES.get(str(table.get("type")))
        if cls is None:
            raise SettingsError(f"{where} type: must be one of: {', '.join(TYPES)}")
        parsed[name] = structure_table(cls, table, where, variables.get(name, {}))
    return parsed


def secrets_in(destinations: Mapping[str, DestinationSettings]) -> list[str]:
    """Every text in these settings that must never be shown."""
    return [secret for settings in destinations.values() for secret in _secrets(settings)]


def _secrets(settings: Any) -> list[str]:
    """The fields of type `SecretStr`. A class that has secrets elsewhere lists all of them in a property `secrets`."""
    own: list[str] | None = getattr(settings, "secrets", None)
    if own is not None:
        return own
    return [value for value in attrs.asdict(settings, recurse=False).values() if isinstance(value, SecretStr)]
