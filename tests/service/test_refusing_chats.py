"""What a bot's owner loses without these: jobs, and uploads without end, to a chat that takes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from streamwarm.sandbox.bot_api import BotApiEmulator, ChatRefusal
from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.service import (
    CHAT,
    DEADLINE_S,
    World,
    put,
    running_emulator,
    running_service,
    settings_for,
    telegram_table,
)

OTHER = CHAT - 1
MOST_UPLOADS = 6
JOBS = 30
WORDS = [
    (400, "Bad Request: have no rights to send a message"),
    (400, "Bad Request: CHAT_GUEST_SEND_FORBIDDEN"),
    (400, "Bad Request: TOPIC_CLOSED"),
    (400, "Bad Request: SOMETHING_NEW_HAPPENED"),
    (400, "Bad Request: the chat is closed on sundays"),
    (409, "Conflict: not here"),
]


async def push(world: World, store: ObjectStore, folder: str) -> list[str]:
    keys = [f"{folder}/{number}" for number in range(JOBS)]
    await put(store, {key: f"the object {key}".encode() for key in keys})
    jobs: list[dict[str, Any]] = [{"destination": "mybot", "kind": "document", "r2_key": key} for key in keys]
    return [item["id"] for item in (await world.push(*jobs))["accepted"]]


async def about_the_bot(world: World) -> dict[str, Any]:
    return dict((await world.client.call("stats", {}))["destinations"]["mybot"])


def refuse(emulator: BotApiEmulator, chat: int, status: int, words: str) -> None:
    emulator.rights.refuse(ChatRefusal(chat, status=status, description=words))


@pytest.mark.parametrize(("status", "words"), WORDS)
async def test_a_chat_that_takes_nothing_costs_six_uploads_at_most_and_the_other_takes_every_job(
    status: int, words: str, object_store: ObjectStore, tmp_path: Path
) -> None:
    async with running_emulator(chats=(CHAT, OTHER)) as emulator:
        refuse(emulator, CHAT, status, words)
        tables = {"mybot": telegram_table(emulator, chats=[CHAT, OTHER])}
        async with running_service(settings_for(object_store, tmp_path / "s.db", tables)) as world:
            ended = await world.outcomes(await push(world, object_store, f"two/{words}"))
    assert {(one["state"], one["result"]["chat_id"]) for one in ended} == {("done", OTHER)}
    assert sum(emulator.rights.refused.values()) <= MOST_UPLOADS


@pytest.mark.parametrize(("status", "words"), WORDS)
async def test_an_only_chat_that_takes_nothing_costs_six_uploads_at_most_and_no_job(
    status: int, words: str, object_store: ObjectStore, tmp_path: Path
) -> None:
    async with running_emulator() as emulator:
        refuse(emulator, CHAT, status, words)
        tables = {"mybot": telegram_table(emulator)}
        async with running_service(settings_for(object_store, tmp_path / "s.db", tables)) as world:
            ids = await push(world, object_store, f"one/{words}")
            with trio.fail_after(DEADLINE_S):
                while not emulator.rights.refused or (await about_the_bot(world))["queue"].get("running"):
                    await trio.sleep(0.05)
            await trio.sleep(2)  # long enough for a back-off, if there were one
            queue = (await about_the_bot(world))["queue"]
            assert sum(queue.get(state, 0) for state in ("queued", "waiting")) == JOBS
            assert sum(emulator.rights.refused.values()) <= MOST_UPLOADS
            emulator.rights.clear_refusals()
            await world.client.call("resume", {"destination": "mybot"})
            ended = await world.outcomes(ids)
    assert {one["state"] for one in ended} == {"done"}
