"""What a bot's owner loses without these: the jobs of a bot that is out for ten minutes, or the right advice."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from streamwarm.sandbox.bot_api import BotTrouble
from streamwarm.sandbox.object_store import ObjectStore
from streamwarm.settings.schema import QueueSettings
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

BOT = int(TOKEN.partition(":")[0])


async def until_paused(world: World) -> str:
    """The reason, once the bot is paused and nothing runs."""
    with trio.fail_after(DEADLINE_S):
        while True:
            about = (await world.client.call("stats", {}))["destinations"]["mybot"]
            if about["paused"] and not about["queue"].get("running"):
                return str(about["paused"]["reason"])
            await trio.sleep(0.05)


async def test_what_is_fixed_by_a_restart_waits_for_no_pause_of_the_service_before_it(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    """A new token takes a restart: the jobs that met the old one go at once."""
    await put(object_store, {f"restart/{number}": b"an object %d" % number for number in range(3)})
    async with running_emulator() as emulator:
        emulator.rights.set_bot(BOT, BotTrouble.REVOKED)
        queue = QueueSettings(max_attempts=1)
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)}, queue=queue)
        jobs = [{"destination": "mybot", "kind": "document", "r2_key": f"restart/{n}"} for n in range(3)]
        async with running_service(settings) as world:
            accepted = (await world.push(*jobs))["accepted"]
            await until_paused(world)
        emulator.rights.clear_bots()
        async with running_service(settings) as world:
            with trio.fail_after(DEADLINE_S):
                while (await world.client.call("stats", {}))["destinations"]["mybot"]["queue"]["done"] < 3:
                    await trio.sleep(0.05)
            ended = [await world.client.call("get", {"id": item["id"]}) for item in accepted]
    assert [(one["state"], one["attempt"]) for one in ended] == [("done", 1)] * 3


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (BotTrouble.LOGGED_OUT, "set base_url to the server that it moved to"),
        (BotTrouble.FROZEN, "its owner can appeal"),
        (BotTrouble.WRONG_API_ID, "https://my.telegram.org"),
        (BotTrouble.REVOKED, "@BotFather"),
    ],
)
async def test_a_bot_that_is_out_is_paused_with_its_remedy_and_loses_no_job(
    trouble: BotTrouble, told: str, object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {f"{trouble}/{number}": b"an object %d" % number for number in range(3)})
    async with running_emulator() as emulator:
        emulator.rights.set_bot(BOT, trouble)
        settings = settings_for(
            object_store,
            tmp_path / "s.db",
            {"mybot": telegram_table(emulator)},
            queue=QueueSettings(max_attempts=1),
        )
        async with running_service(settings) as world:
            jobs = [{"destination": "mybot", "kind": "document", "r2_key": f"{trouble}/{n}"} for n in range(3)]
            accepted = (await world.push(*jobs))["accepted"]
            assert told in await until_paused(world)
            emulator.rights.clear_bots()
            await world.client.call("resume", {"destination": "mybot"})
            ended = await world.outcomes([item["id"] for item in accepted])
    assert [(one["state"], one["attempt"]) for one in ended] == [("done", 1)] * 3
