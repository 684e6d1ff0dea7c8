"""What a bot's owner loses without these: the topic that they meant, or jobs to a topic that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from streamwarm.sandbox.bot_api import ChatRefusal, Fault, FaultKind
from streamwarm.sandbox.object_store import ObjectStore
from streamwarm.settings.schema import QueueSettings
from tests.worlds.service import CHAT, DEADLINE_S, put, running_emulator, running_service, settings_for, telegram_table

OTHER = CHAT - 1


async def test_media_is_warmed_in_the_topic_and_found_by_its_chat(object_store: ObjectStore, tmp_path: Path) -> None:
    await put(object_store, {f"t/{number}.bin": b"a small object %d" % number for number in range(6)})
    async with running_emulator(chats=(CHAT, OTHER)) as emulator:
        emulator.rights.set_topics(CHAT, [42])
        table = telegram_table(emulator, chats=[f"{CHAT}/42", OTHER])
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": table})
        async with running_service(settings) as world:
            jobs = [{"destination": "mybot", "kind": "document", "r2_key": f"t/{number}.bin"} for number in range(6)]
            ended = await world.outcomes([item["id"] for item in (await world.push(*jobs))["accepted"]])
            chats = (await world.client.call("stats", {}))["destinations"]["mybot"]["chats"]
    assert {one["state"] for one in ended} == {"done"}
    assert {one["result"]["chat_id"] for one in ended} == {CHAT, OTHER}
    for delivery in emulator.deliveries:
        assert delivery.fields.get("message_thread_id") == ("42" if delivery.chat_id == CHAT else None)
    assert [chat["chat"] for chat in chats] == [f"{CHAT}/42", str(OTHER)]


@pytest.mark.parametrize("topics", [[42], [42, 43]])
async def test_a_group_that_was_upgraded_keeps_its_topics_also_after_a_restart(
    topics: list[int], object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {f"u/{number}.bin": b"an object %d" % number for number in range(8)})
    async with running_emulator(chats=(-77, CHAT)) as emulator:
        emulator.rights.set_topics(CHAT, topics)
        emulator.inject(Fault(FaultKind.MIGRATED, chat_id=-77, migrate_to_chat_id=CHAT, times=None))
        table = telegram_table(emulator, chats=[f"-77/{topic}" for topic in topics])
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": table}, queue=QueueSettings(max_attempts=1))
        for half in (range(4), range(4, 8)):
            async with running_service(settings) as world:
                jobs = [{"destination": "mybot", "kind": "document", "r2_key": f"u/{n}.bin"} for n in half]
                ended = await world.outcomes([item["id"] for item in (await world.push(*jobs))["accepted"]])
                chats = (await world.client.call("stats", {}))["destinations"]["mybot"]["chats"]
            assert {(one["state"], one["attempt"]) for one in ended} == {("done", 1)}
            assert {chat["moved_to"] for chat in chats} == {f"{CHAT}/{topic}" for topic in topics}
    sent = {(one.chat_id, one.fields.get("message_thread_id")) for one in emulator.deliveries}
    assert sent == {(CHAT, str(topic)) for topic in topics}


async def test_a_topic_that_is_not_there_costs_no_job_and_the_next_chat_takes_over(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {f"g/{number}.bin": b"another object %d" % number for number in range(4)})
    async with running_emulator(chats=(CHAT, OTHER)) as emulator:
        table = telegram_table(emulator, chats=[f"{CHAT}/43", OTHER])
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": table})
        async with running_service(settings) as world:
            jobs = [{"destination": "mybot", "kind": "document", "r2_key": f"g/{number}.bin"} for number in range(4)]
            ended = await world.outcomes([item["id"] for item in (await world.push(*jobs))["accepted"]])
            chats = (await world.client.call("stats", {}))["destinations"]["mybot"]["chats"]
    assert [(one["state"], one["attempt"], one["result"]["chat_id"]) for one in ended] == [("done", 1, OTHER)] * 4
    assert "message thread not found" in chats[0]["paused"]["reason"]
    assert chats[1]["paused"] is None


@pytest.mark.parametrize("with_another_chat", [False, True])
async def test_a_chat_that_refuses_in_each_of_its_topics_costs_what_one_chat_may(
    with_another_chat: bool, object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {f"w/{number}.bin": b"an object %d" % number for number in range(30)})
    topics = range(2, 12)
    async with running_emulator(chats=(CHAT, OTHER)) as emulator:
        emulator.rights.set_topics(CHAT, list(topics))
        emulator.rights.refuse(ChatRefusal(CHAT, description="Bad Request: SOMETHING_NEW_HAPPENED"))
        chats = [f"{CHAT}/{topic}" for topic in topics] + ([OTHER] if with_another_chat else [])
        table = telegram_table(emulator, chats=chats)
        async with running_service(settings_for(object_store, tmp_path / "s.db", {"mybot": table})) as world:
            jobs = [{"destination": "mybot", "kind": "document", "r2_key": f"w/{number}.bin"} for number in range(30)]
            ids = [item["id"] for item in (await world.push(*jobs))["accepted"]]
            if not with_another_chat:
                with trio.fail_after(DEADLINE_S):
                    while sum(emulator.rights.refused.values()) < 3:
                        await trio.sleep(0.05)
                await trio.sleep(3)  # long enough for every topic to be tried, if they were
                assert sum(emulator.rights.refused.values()) <= 6
                emulator.rights.clear_refusals()
                await world.client.call("resume", {"destination": "mybot"})
            ended = await world.outcomes(ids)
    assert {one["state"] for one in ended} == {"done"}
    assert sum(emulator.rights.refused.values()) <= 6
