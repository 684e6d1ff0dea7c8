"""What a bot's owner loses without these: the topic that they meant, or jobs to a topic that is not there."""

from __future__ import annotations

from pathlib import Path

from streamwarm.sandbox.object_store import ObjectStore
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
