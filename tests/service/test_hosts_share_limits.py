"""Two services on one PostgreSQL database: what one of them was told by a person or by Telegram, the other one obeys.

Nobody can say which of the two takes a job, so each test waits until both have what it is about.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import define, evolve

from streamwarm.sandbox.bot_api import BotApiEmulator, Fault, FaultKind
from streamwarm.sandbox.object_store import ObjectStore
from streamwarm.settings.schema import QueueSettings, Settings, StoreSettings
from tests.worlds.postgres import PostgresServer
from tests.worlds.service import (
    DEADLINE_S,
    TOKEN,
    World,
    put,
    running_emulator,
    running_service,
    settings_for,
    telegram_table,
)

OLD, NEW, OTHER = -77, -1001077, -1001078
MANY = 20


@define
class Hosts:
    emulator: BotApiEmulator
    settings: Settings
    one: World
    two: World

    async def warm(self, folder: str, count: int = MANY) -> list[dict[str, Any]]:
        """Push to the first, and wait for how each ended."""
        keys = [f"{folder}/{n}" for n in range(count)]
        reply = await self.one.push(*({"destination": "mybot", "kind": "document", "r2_key": key} for key in keys))
        return await self.one.outcomes([item["id"] for item in reply["accepted"]])

    async def until_both(self, what: Callable[[dict[str, Any]], bool]) -> None:
        """Look at what each tells of the bot until it is that."""
        for world in (self.one, self.two):
            with trio.fail_after(DEADLINE_S):
                while not what(await bot_at(world)):
                    await trio.sleep(0.05)


async def bot_at(world: World) -> dict[str, Any]:
    found: dict[str, Any] = (await world.client.call("stats", {}))["destinations"]["mybot"]
    return found


@asynccontextmanager
async def two_hosts(
    object_store: ObjectStore,
    postgres_server: PostgresServer,
    folder: str,
    *faults: Fault,
    latency_s: float = 0.02,
) -> AsyncIterator[Hosts]:
    await put(object_store, {f"{folder}/{n}": b"a small object" for n in range(MANY)})
    async with running_emulator(chats=[OLD, NEW, OTHER], latency_s=latency_s) as emulator:
        emulator.inject(*faults)
        tables = {"mybot": telegram_table(emulator, TOKEN, chats=[OLD, OTHER])}
        queue = QueueSettings(workers=2, max_attempts=1, lease_s=600)
        settings = evolve(
            settings_for(object_store, Path("unused"), tables, queue=queue),
            store=StoreSettings(url=postgres_server.new_schema()),
        )
        async with running_service(settings) as one, running_service(settings) as two:
            yield Hosts(emulator, settings, one, two)


async def test_a_chat_that_moved_at_one_host_is_followed_by_the_other(
    object_store: ObjectStore, postgres_server: PostgresServer
) -> None:
    moved = Fault(FaultKind.MIGRATED, chat_id=OLD, migrate_to_chat_id=NEW)
    async with two_hosts(object_store, postgres_server, "moved", moved) as hosts:
        ended = await hosts.warm("moved", 1)
        assert ended[0]["result"]["chat_id"] == NEW
        await hosts.until_both(lambda bot: bot["chats"][0].get("moved_to") == str(NEW))
        ended = await hosts.warm("moved")
        assert {(one["state"], one["result"]["chat_id"]) for one in ended} == {("done", NEW), ("done", OTHER)}
        assert not [delivery for delivery in hosts.emulator.deliveries if delivery.chat_id == OLD]


async def test_what_a_person_has_mended_at_one_host_goes_on_at_the_other(
    object_store: ObjectStore, postgres_server: PostgresServer
) -> None:
    dead = Fault(FaultKind.REFUSED, status=403, description="Forbidden: bot was kicked", times=None)
    async with two_hosts(object_store, postgres_server, "mended", dead) as hosts, trio.open_nursery() as nursery:
        ended: list[dict[str, Any]] = []

        async def warm() -> None:
            ended.extend(await hosts.warm("mended"))

        nursery.start_soon(warm)
        await hosts.until_both(lambda bot: bot["paused"] is not None and not bot["queue"]["running"])
        hosts.emulator.clear_faults()
        await hosts.two.client.call("resume", {"destination": "mybot"})
        assert (await bot_at(hosts.two))["paused"] is None
        await hosts.until_both(lambda bot: bot["paused"] is None)
    assert {(one["state"], one["attempt"]) for one in ended} == {("done", 1)}


async def test_a_429_of_one_chat_is_kept_by_both_hosts_and_by_one_that_starts_later(
    object_store: ObjectStore, postgres_server: PostgresServer
) -> None:
    limited = Fault(FaultKind.RATE_LIMITED, chat_id=OLD, retry_after=60)
    async with two_hosts(object_store, postgres_server, "silent", limited) as hosts:
        await hosts.warm("silent", 5)
        await hosts.until_both(lambda bot: bool(bot["chats"][0]["paused"]))
        ended = await hosts.warm("silent")
        assert {(one["state"], one["attempt"], one["result"]["chat_id"]) for one in ended[5:]} == {("done", 1, OTHER)}
        assert hosts.emulator.traffic.requests == MANY + 1
        async with running_service(hosts.settings) as later:
            bot = await bot_at(later)
            assert bot["paused"] is None
            assert "Too Many Requests" in bot["chats"][0]["paused"]["reason"]


async def test_a_429_of_a_whole_bot_stops_both_hosts(
    object_store: ObjectStore, postgres_server: PostgresServer
) -> None:
    limited = Fault(FaultKind.RATE_LIMITED, chat_id=OLD, retry_after=6000)
    async with two_hosts(object_store, postgres_server, "stopped", limited) as hosts:
        jobs = [{"destination": "mybot", "kind": "document", "r2_key": f"stopped/{n}"} for n in range(MANY)]
        await hosts.one.push(*jobs)
        await hosts.until_both(lambda bot: bot["paused"] is not None)
        for world in (hosts.one, hosts.two):
            assert "retry after 6000" in (await bot_at(world))["paused"]["reason"]


async def test_a_job_cancelled_at_one_host_stops_at_the_other(
    object_store: ObjectStore, postgres_server: PostgresServer
) -> None:
    """At once: only a lease that is to be renewed would tell it otherwise, here after minutes."""
    async with two_hosts(object_store, postgres_server, "cancelled", latency_s=600.0) as hosts:
        job = {"destination": "mybot", "kind": "document", "r2_key": "cancelled/0"}
        job_id = (await hosts.one.push(job))["accepted"][0]["id"]
        await hosts.two.client.call("watch", {"ids": [job_id]})
        with trio.fail_after(DEADLINE_S):
            while not (busy := [world for world in (hosts.one, hosts.two) if await uploads_at(world)]):
                await trio.sleep(0.02)
            other = hosts.two if busy[0] is hosts.one else hosts.one
            assert (await other.client.call("cancel", {"id": job_id}))["state"] == "cancelled"
            for world in (hosts.one, hosts.two):
                assert (await world.outcome(job_id))["state"] == "cancelled"
                while await uploads_at(world):
                    await trio.sleep(0.02)


async def uploads_at(world: World) -> int:
    busy: int = (await world.client.call("stats", {}))["workers"]["busy"]
    return busy
