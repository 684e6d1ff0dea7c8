"""What a bot's owner loses without these: the topic that they meant, or jobs to a topic that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamwarm.sandbox.bot_api import Fault, FaultKind
from streamwarm.sandbox.object_store import ObjectStore
from streamwarm.settings.schema import QueueSettings
from tests.worlds.service import CHAT, put, running_emulator, running_service, settings_for, telegram_table

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
