"""An operator at the command line, beside a running service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import frozen

from streamwarm.sandbox.bot_api import BotApiEmulator
from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.service import (
    World,
    running_emulator,
    running_service,
    settings_for,
    telegram_table,
)


@frozen
class Operator:
    world: World
    emulator: BotApiEmulator
    reach: tuple[str, ...]

    async def push_failing(self, count: int, folder: str) -> list[str]:
        """Jobs that have failed: the bucket has no such objects."""
        jobs = [{"destination": "mybot", "kind": "document", "r2_key": f"{folder}/{n}.bin"} for n in range(count)]
        ids = [item["id"] for item in (await self.world.push(*jobs))["accepted"]]
        await self.world.outcomes(ids)
        return ids


@asynccontextmanager
async def operating(object_store: ObjectStore, folder: Path, way: str = "--url") -> AsyncIterator[Operator]:
    async with running_emulator() as emulator:
        settings = settings_for(object_store, folder / "s.db", {"mybot": telegram_table(emulator)})
        async with running_service(settings) as world:
            url = world.endpoints.websocket if way == "--url" else world.endpoints.http
            yield Operator(world, emulator, (way, url))
