"""What a bot's owner loses without these: a chat that refuses voice messages stays in use for all else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from streamwarm.model import Kind
from streamwarm.sandbox.bot_api import ChatRefusal
from streamwarm.sandbox.object_store import ObjectStore
from streamwarm.settings.schema import QueueSettings
from streamwarm.watch.observations import DestinationPaused
from tests.send.test_photo import png
from tests.worlds.service import (
    CHAT,
    DEADLINE_S,
    put,
    running_emulator,
    running_service,
    settings_for,
    telegram_table,
)

OTHER = CHAT - 1
ONE_ATTEMPT = QueueSettings(max_attempts=1)


def jobs_of(folder: str, kinds: list[Kind]) -> list[dict[str, Any]]:
    return [
        {"destination": "mybot", "kind": kind.value, "r2_key": f"{folder}/{number}"}
        for number, kind in enumerate(kinds)
    ]


@pytest.mark.parametrize(
    "words", [None, "Bad Request: VOICE_MESSAGES_FORBIDDEN", "Bad Request: CHAT_SEND_VOICES_FORBIDDEN"]
)
async def test_a_kind_that_one_chat_refuses_goes_to_the_next_and_the_rest_to_both(
    words: str | None, object_store: ObjectStore, tmp_path: Path
) -> None:
    kinds = [Kind.VOICE, Kind.DOCUMENT] * 6
    await put(object_store, {f"k/{number}": b"an object %d" % number for number in range(len(kinds))})
    async with running_emulator(chats=(CHAT, OTHER)) as emulator:
        emulator.rights.refuse(ChatRefusal(CHAT, kinds=(Kind.VOICE,), description=words))
        tables = {"mybot": telegram_table(emulator, chats=[CHAT, OTHER])}
        async with running_service(settings_for(object_store, tmp_path / "s.db", tables, queue=ONE_ATTEMPT)) as world:
            accepted = (await world.push(*jobs_of("k", kinds)))["accepted"]
            ended = await world.outcomes([item["id"] for item in accepted])
    assert [(one["state"], one["attempt"]) for one in ended] == [("done", 1)] * len(kinds)
    chats = {kind: {one.chat_id for one in emulator.deliveries if one.kind is kind} for kind in kinds}
    assert chats == {Kind.VOICE: {OTHER}, Kind.DOCUMENT: {CHAT, OTHER}}
    assert sum(emulator.rights.refused.values()) <= 6
    logged = {(one.lane, one.kind) for one in world.observed if isinstance(one, DestinationPaused)}
    assert logged == {(str(CHAT), Kind.VOICE)}


@pytest.mark.parametrize("words", [None, "Bad Request: CHAT_SEND_DOCS_FORBIDDEN"])
async def test_a_photo_that_goes_as_a_document_closes_no_chat_for_photos(
    words: str | None, object_store: ObjectStore, tmp_path: Path
) -> None:
    """A chat that takes no documents refuses the photo that is sent as one: it is documents that it does not take."""
    photos = {f"p/{n}": png(100, 100) + b"%d" % n for n in range(4)}
    await put(object_store, {"p/odd": png(6000, 6000), **photos})
    async with running_emulator(chats=(CHAT, OTHER)) as emulator:
        emulator.rights.refuse(ChatRefusal(CHAT, kinds=(Kind.DOCUMENT,), description=words))
        tables = {"mybot": telegram_table(emulator)}
        async with running_service(settings_for(object_store, tmp_path / "s.db", tables, queue=ONE_ATTEMPT)) as world:
            odd = {"destination": "mybot", "kind": "photo", "r2_key": "p/odd", "options": {"fallback": "document"}}
            waiting = [item["id"] for item in (await world.push(odd))["accepted"]]
            with trio.fail_after(DEADLINE_S):
                while not emulator.rights.refused:
                    await trio.sleep(0.05)
            jobs = [{"destination": "mybot", "kind": "photo", "r2_key": key} for key in photos]
            ended = await world.outcomes([item["id"] for item in (await world.push(*jobs))["accepted"]])
            assert {(one["state"], one["attempt"]) for one in ended} == {("done", 1)}
            about = (await world.client.call("stats", {}))["destinations"]["mybot"]
            assert set(about["paused_kinds"]) == {"document"}
            assert sum(emulator.rights.refused.values()) == 1
            emulator.rights.clear_refusals()
            await world.client.call("resume", {"destination": "mybot"})
            [ended_odd] = await world.outcomes(waiting)
    assert (ended_odd["state"], ended_odd["attempt"], ended_odd["result"]["kind"]) == ("done", 1, "document")


async def test_a_photo_that_one_chat_refuses_as_a_document_goes_to_the_next(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {f"q/{n}": png(6000, 6000) + b"%d" % n for n in range(6)})
    async with running_emulator(chats=(CHAT, OTHER)) as emulator:
        emulator.rights.refuse(ChatRefusal(CHAT, kinds=(Kind.DOCUMENT,)))
        tables = {"mybot": telegram_table(emulator, chats=[CHAT, OTHER])}
        async with running_service(settings_for(object_store, tmp_path / "s.db", tables, queue=ONE_ATTEMPT)) as world:
            options = {"fallback": "document"}
            jobs = [{"destination": "mybot", "kind": "photo", "r2_key": f"q/{n}", "options": options} for n in range(6)]
            ended = await world.outcomes([item["id"] for item in (await world.push(*jobs))["accepted"]])
    assert {(one["state"], one["attempt"], one["result"]["chat_id"]) for one in ended} == {("done", 1, OTHER)}
    assert sum(emulator.rights.refused.values()) <= 6


async def test_a_kind_that_the_only_chat_refuses_waits_and_all_others_go_on_until_it_is_allowed(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    kinds = [Kind.VOICE, Kind.VOICE, *[Kind.DOCUMENT] * 4]
    await put(object_store, {f"o/{number}": b"an object %d" % number for number in range(len(kinds))})
    voices, documents = jobs_of("o", kinds)[:2], jobs_of("o", kinds)[2:]
    async with running_emulator() as emulator:
        emulator.rights.refuse(ChatRefusal(CHAT, kinds=(Kind.VOICE,)))
        tables = {"mybot": telegram_table(emulator)}
        async with running_service(settings_for(object_store, tmp_path / "s.db", tables, queue=ONE_ATTEMPT)) as world:
            waiting = [item["id"] for item in (await world.push(*voices))["accepted"]]
            with trio.fail_after(DEADLINE_S):
                while not emulator.rights.refused:
                    await trio.sleep(0.05)
            accepted = (await world.push(*documents))["accepted"]
            ended = await world.outcomes([item["id"] for item in accepted])
            assert {(one["state"], one["attempt"]) for one in ended} == {("done", 1)}
            held = [await world.client.call("get", {"id": job_id}) for job_id in waiting]
            assert {one["state"] for one in held} <= {"queued", "waiting"}
            reasons = [one["error"]["message"] for one in held if one.get("error")]
            assert any("not enough rights to send voice notes to the chat" in reason for reason in reasons)
            emulator.rights.clear_refusals()
            await world.client.call("resume", {"destination": "mybot"})
            ended = await world.outcomes(waiting)
            assert {(one["state"], one["attempt"]) for one in ended} == {("done", 1)}
    assert sum(emulator.rights.refused.values()) <= 6
