"""The destination types by name. Another one is a file beside this one and a line in `TYPES`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

import attrs
import httpx
from attrs import frozen
from typed_settings.types import SecretStr

from streamwarm.errors import SettingsError
from streamwarm.send.destination import Destination
from streamwarm.send.http import HttpDestination, HttpSettings
from streamwarm.send.s3.destination import S3Destination, S3Settings
from streamwarm.send.telegram.destination import TelegramDestination, TelegramSettings
from streamwarm.settings.load import structure_table
from streamwarm.settings.schema import DestinationTables


@frozen
class DestinationType:
    """`settings` is the attrs class of its table; `build` makes the destination from name, settings and client.

    `guarded` tells of a table whether its client may dial public addresses only.
    """

    settings: type[Any]
    build: Callable[[str, Any, httpx.AsyncClient], Destination]
    guarded: Callable[[Any], bool] = lambda _: False


TYPES: Mapping[str, DestinationType] = {
    "telegram": DestinationType(TelegramSettings, TelegramDestination),
    "s3": DestinationType(S3Settings, S3Destination),
    "http": DestinationType(HttpSettings, HttpDestination, guarded=lambda settings: not settings.allow_private),
}


class OpenClient(Protocol):
    """Opens an HTTP client; `guarded`: for public addresses only."""

    def __call__(self, *, guarded: bool) -> httpx.AsyncClient: ...


def read_tables(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[DestinationType, Any]]:
    """Each table as its type and settings. Raises `SettingsError` that names the table, the key and what is allowed."""
    read: dict[str, tuple[DestinationType, Any]] = {}
    given = tables if isinstance(tables, DestinationTables) else DestinationTables()
    for name, table in tables.items():
        where = f"{given.origin}[destinations.{name}]"
        kind = TYPES.get(str(table.get("type")))
        if kind is None:
            raise SettingsError(f"{where} type: must be one of: {', '.join(TYPES)}")
        read[name] = kind, structure_table(kind.settings, table, where, given.variables.get(name, {}))
    return read


@asynccontextmanager
async def open_destinations(
    tables: Mapping[str, Mapping[str, Any]], open_client: OpenClient
) -> AsyncIterator[dict[str, Destination]]:
    """The destinations by name. Raises `SettingsError`.

    Each type has a client of its own, so that one that hangs or is slow takes no connection from another; and the
    guarded have theirs apart, for a connection kept alive is not checked again.
    """
    clients: dict[tuple[DestinationType, bool], httpx.AsyncClient] = {}
    destinations: dict[str, Destination] = {}
    async with AsyncExitStack() as stack:
        for name, (kind, settings) in read_tables(tables).items():
            guarded = kind.guarded(settings)
            if (kind, guarded) not in clients:
                clients[kind, guarded] = await stack.enter_async_context(open_client(guarded=guarded))
            destinations[name] = kind.build(name, settings, clients[kind, guarded])
        yield destinations


def secrets_in(tables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Every text in the tables that must never be shown. Raises `SettingsError`."""
    return [secret for _, settings in read_tables(tables).values() for secret in _secrets(settings)]


def _secrets(settings: Any) -> list[str]:
    """Its fields of type `SecretStr`, unless its class has a `secrets` of its own that knows better."""
    own: list[str] | None = getattr(settings, "secrets", None)
    if own is not None:
        return own
    return [value for value in attrs.asdict(settings, recurse=False).values() if isinstance(value, SecretStr)]
