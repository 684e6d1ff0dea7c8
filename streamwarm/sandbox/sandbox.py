"""Everything that streamwarm talks to, on loopback: a real S3 server instead of R2, and the Bot API emulator."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio
from attrs import field, frozen

from streamwarm.sandbox.bot_api import BotApiEmulator, Chat, EmulatorSettings, serve_bot_api
from streamwarm.sandbox.object_store import ObjectStore, ObjectStoreSettings, serve_object_store
from streamwarm.settings.destinations import parse_destinations
from streamwarm.settings.schema import R2Settings, Settings
from streamwarm.settings.secret import SecretStr

DESTINATION = "mybot"
CHAT_ID = -1001000000001
CHATS: Mapping[int, Chat] = {
    CHAT_ID: Chat("supergroup", "Warm-up"),
    CHAT_ID - 1: Chat("supergroup", "Warm-up 2"),
    CHAT_ID - 2: Chat("supergroup", "Warm-up 3"),
    1000000001: Chat("private", "Somebody"),
}
"""The chats that the bot may send to. The settings name the first alone."""


@frozen
class Sandbox:
    """Both running servers, and the settings to reach them."""

    object_store: ObjectStore
    bot_api: BotApiEmulator
    token: str = field(repr=False)

    @property
    def r2(self) -> Mapping[str, str]:
        """The `[r2]` table."""
        store = self.object_store
        return {
            "endpoint_url": store.endpoint_url,
            "bucket": store.bucket,
            "access_key_id": store.access_key_id,
            "secret_access_key": store.secret_access_key,
        }

    @property
    def destination(self) -> Mapping[str, Any]:
        """The `[destinations.mybot]` table."""
        return {
            "type": "telegram",
            "token": self.token,
            "chats": [CHAT_ID],
            "base_url": self.bot_api.base_url,
            "local_server": True,
            "rates": "none",  # the emulator enforces none here
        }

    def apply(self, settings: Settings) -> Settings:
        """Return the settings with their bucket and bot replaced by the sandbox's."""
        store = self.object_store
        r2 = R2Settings(
            endpoint_url=store.endpoint_url,
            bucket=store.bucket,
            access_key_id=store.access_key_id,
            secret_access_key=SecretStr(store.secret_access_key),
        )
        return attrs.evolve(settings, r2=r2, destinations=parse_destinations({DESTINATION: self.destination}))

    def as_toml(self) -> str:
        """Return a `streamwarm.toml` for a service that uses this sandbox.

        It has a bucket as a second destination, commented out: with two destinations every push would have to name one.
        """
        copies = {"type": "s3", **self.r2, "key": "copies/{r2_key}"}
        commented = "".join(f"# {line}" for line in _lines(copies).splitlines(keepends=True))
        return (
            f"[r2]\n{_lines(self.r2)}\n[destinations.{DESTINATION}]\n{_lines(self.destination)}"
            f"# Other chats that take its messages: {', '.join(map(str, list(CHATS)[1:]))}\n"
            f"# Chats and bots can be made to refuse, at {self.bot_api.base_url}/sandbox/…: see docs/sandbox.md\n\n"
            f"# Objects copied within the bucket, too:\n# [destinations.copies]\n{commented}"
        )


@asynccontextmanager
async def open_sandbox() -> AsyncIterator[Sandbox]:
    """Run a sandbox inside the block, with new keys and an empty bucket. Raises `ObjectStoreError`."""
    token = f"{secrets.randbelow(9 * 10**8) + 10**8}:{secrets.token_urlsafe(26)[:35]}"
    store_settings = ObjectStoreSettings(secrets.token_hex(10), secrets.token_hex(20))
    emulator_settings = EmulatorSettings(bots=[token], chats=CHATS, local_server=True)
    async with trio.open_nursery() as nursery:
        object_store = await nursery.start(serve_object_store, store_settings)
        bot_api = await nursery.start(serve_bot_api, emulator_settings)
        yield Sandbox(object_store, bot_api, token)
        nursery.cancel_scope.cancel()


def _lines(table: Mapping[str, Any]) -> str:
    """Return a TOML table's lines. Every JSON text, number, list and boolean used here is TOML too."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
