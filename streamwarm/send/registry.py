"""The destination class of each settings class. Another type is a file beside this one and a line in `TYPES`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Protocol

import httpx
from attrs import frozen

from streamwarm.redact import Redactor, knows_no_secrets
from streamwarm.send.destination import Destination
from streamwarm.send.http_destination import HttpDestination
from streamwarm.send.s3.destination import S3Destination
from streamwarm.send.telegram.destination import TelegramDestination
from streamwarm.send.tools import DestinationTools
from streamwarm.settings.http import HttpSettings
from streamwarm.settings.s3 import S3Settings
from streamwarm.settings.schema import DestinationSettings
from streamwarm.settings.telegram import TelegramSettings

Build = Callable[[str, Any, DestinationTools], Destination]


@frozen
class DestinationType:
    """`build` makes the destination from its name, its settings and its tools.

    `guarded` returns True if, with these settings, the client may dial public addresses only.
    """

    build: Build
    guarded: Callable[[Any], bool] = lambda _: False


def _telegram(name: str, settings: TelegramSettings, tools: DestinationTools) -> Destination:
    return TelegramDestination(
        name, settings, tools.client, make_boundary=partial(tools.token_hex, 16), redact=tools.redact
    )


def _s3(name: str, settings: S3Settings, tools: DestinationTools) -> Destination:
    return S3Destination(
        name, settings, tools.client, now=tools.now, new_token=partial(tools.token_hex, 8), redact=tools.redact
    )


def _http(name: str, settings: HttpSettings, tools: DestinationTools) -> Destination:
    return HttpDestination(name, settings, tools.client, now=tools.now, redact=tools.redact)


TYPES: Mapping[type[DestinationSettings], DestinationType] = {
    TelegramSettings: DestinationType(_telegram),
    S3Settings: DestinationType(_s3),
    HttpSettings: DestinationType(_http, guarded=lambda settings: not settings.allow_private),
}


class OpenClient(Protocol):
    """Opens an HTTP client. With `guarded`, it dials public addresses only."""

    def __call__(self, *, guarded: bool) -> httpx.AsyncClient: ...


@asynccontextmanager
async def open_destinations(
    configured: Mapping[str, DestinationSettings],
    open_client: OpenClient,
    *,
    now: Callable[[], float],
    token_hex: Callable[[int], str],
    redact: Redactor = knows_no_secrets,
) -> AsyncIterator[dict[str, Destination]]:
    """Open the destinations, by name. `now` gives Unix seconds, `token_hex(n)` gives `2 * n` random hex digits.
    `redact` masks secrets in what is kept or shown of an answer.

    Each type has a client of its own, so that a slow destination takes no connection from another type. Guarded
    destinations have a separate client: a connection that is kept alive is not checked again.
    """
    clients: dict[tuple[DestinationType, bool], httpx.AsyncClient] = {}
    destinations: dict[str, Destination] = {}
    async with AsyncExitStack() as stack:
        for name, settings in configured.items():
            kind = TYPES[type(settings)]
            guarded = kind.guarded(settings)
            if (kind, guarded) not in clients:
                clients[kind, guarded] = await stack.enter_async_context(open_client(guarded=guarded))
            tools = DestinationTools(clients[kind, guarded], now, token_hex, redact)
            destinations[name] = kind.build(name, settings, tools)
        yield destinations
