"""The main job, end to end, over real servers: what a user came for."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from streamwarm.model import Kind
from streamwarm.sandbox.bot_api import Fault, FaultKind
from streamwarm.sandbox.object_store import ObjectStore
from streamwarm.settings.schema import QueueSettings
from tests.worlds.service import (
    DEADLINE_S,
    OTHER_TOKEN,
    put,
    running_emulator,
    running_service,
    settings_for,
    telegram_table,
)

ANSWER_LOST = {FaultKind.NO_ANSWER, FaultKind.CUT_ANSWER, FaultKind.RAW_ANSWER}
"""The raw one is a gateway's 504 after the last byte: what stands behind it may have delivered."""


def content(name: str, size: int = 50_000) -> bytes:
    return random.Random(name).randbytes(size)


def job(key: str, kind: str = "document", **more: Any) -> dict[str, Any]:
    return {"destination": "mybot", "kind": kind, "r2_key": key, **more}


async def test_every_kind_comes_back_as_a_file_id_of_exactly_the_bytes_in_the_bucket(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    objects = {f"kinds/{kind.value}.bin": content(kind.value, 300_000) for kind in Kind}
    await put(object_store, objects)
    async with running_emulator() as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)})
        async with running_service(settings) as world:
            reply = await world.push(*(job(f"kinds/{kind.value}.bin", kind.value) for kind in Kind))
            assert reply["rejected"] == []
            ended = await world.outcomes([item["id"] for item in reply["accepted"]])
            async with httpx.AsyncClient(base_url=world.endpoints.http) as http:
                for one, (key, body) in zip(ended, objects.items(), strict=True):
                    digest = hashlib.sha256(body).hexdigest()
                    result = one["result"]
                    assert one["state"] == "done"
                    assert emulator.digest_of(result["file_id"]) == digest == result["sha256"]
                    assert (result["bytes"], result["source"]) == (len(body), "stream")
                    assert {"file_unique_id", "chat_id", "message_id", "kind", "elapsed_ms"} <= result.keys()
                    # A bot may ask by key or by digest.
                    for reference in (key, digest):
                        answer = await http.get(f"/v1/media/mybot/{one['kind']}/{reference}")
                        assert answer.status_code == 200
                        assert answer.json()["file_id"] == result["file_id"]


async def test_a_second_push_of_warm_media_is_answered_at_once_and_sends_nothing(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {"again.bin": content("again")})
    async with running_emulator() as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)})
        async with running_service(settings) as world:
            first = (await world.push(job("again.bin")))["accepted"][0]
            done = await world.outcome(first["id"])
            second = (await world.push(job("again.bin")))["accepted"][0]
            assert (second["duplicate"], second["state"]) == (True, "done")
            assert second["result"] == done["result"]
            assert len(emulator.deliveries) == 1


async def test_bad_jobs_fail_with_their_reason_and_cost_their_neighbours_nothing(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    good = content("good")
    await put(object_store, {"good.bin": good, "empty.bin": b"", "big.png": content("big", 10_000_001)})
    async with running_emulator() as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)})
        async with running_service(settings) as world:
            reply = await world.push(
                job("good.bin", sha256=hashlib.sha256(good).hexdigest()),
                job("missing.bin"),
                job("empty.bin"),
                job("big.png", "photo"),
                job("good.bin", sha256="0" * 64),
                {**job("good.bin"), "destination": "nobot"},
                job("good.bin", "poster"),
                job("good.bin", options={"captoin": "x"}),
                job("good.bin", "audio"),
            )
            codes = {item["index"]: item["code"] for item in reply["rejected"]}
            assert set(codes) == {5, 6, 7}
            ended = await world.outcomes([item["id"] for item in reply["accepted"]])
            states = [(one["state"], one.get("error", {}).get("code")) for one in ended]
            assert states == [
                ("done", None),
                ("failed", "source_not_found"),
                ("failed", "source_empty"),
                ("failed", "too_large"),
                ("failed", "sha256_mismatch"),
                ("done", None),
            ]
            assert all(one["error"]["permanent"] for one in ended if one["state"] == "failed")
            # Nothing of a wrong, empty or oversize object became a message.
            assert {d.sha256 for d in emulator.deliveries} == {hashlib.sha256(good).hexdigest()}
            assert len(emulator.deliveries) == 2


async def test_hostile_keys_name_exactly_the_object_of_that_name(object_store: ObjectStore, tmp_path: Path) -> None:
    keys = [
        "h/%2e%2e/a",
        "h/a b+c&d=e?f#g",
        "h/a; name=thumbnail; b",
        "h/naïve-ключ-😀.bin",
        'h/"quoted".bin',
        "h/" + "x" * 200,
    ]
    objects = {key: content(key, 2000) for key in keys}
    await put(object_store, objects)
    async with running_emulator() as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)})
        async with running_service(settings) as world:
            reply = await world.push(*(job(key) for key in keys))
            ended = await world.outcomes([item["id"] for item in reply["accepted"]])
            delivered = [one["result"]["sha256"] for one in ended]
            assert delivered == [hashlib.sha256(objects[key]).hexdigest() for key in keys]


async def test_a_429_silences_its_bot_alone_and_uses_up_no_attempt(object_store: ObjectStore, tmp_path: Path) -> None:
    await put(object_store, {"limited.bin": content("limited")})
    async with running_emulator() as emulator:
        tables = {"mybot": telegram_table(emulator), "other": telegram_table(emulator, OTHER_TOKEN)}
        settings = settings_for(object_store, tmp_path / "s.db", tables, queue=QueueSettings(max_attempts=1))
        async with running_service(settings) as world:
            emulator.inject(Fault(FaultKind.RATE_LIMITED, retry_after=2, bot_id=4242))
            reply = await world.push(job("limited.bin"), {**job("limited.bin"), "destination": "other"})
            limited, other = (item["id"] for item in reply["accepted"])
            assert (await world.outcome(other))["state"] == "done"
            stats = await world.client.call("stats", {})
            assert stats["destinations"]["mybot"]["paused"]["until"]
            assert stats["destinations"]["other"]["paused"] is None
            ended = await world.outcome(limited)
            assert (ended["state"], ended["attempt"]) == ("done", 1)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.REFUSED, status=502, description="Bad Gateway"),
        Fault(FaultKind.RAW_ANSWER, status=504, body="<html>timeout</html>"),
        Fault(FaultKind.CLOSE_UPLOAD, at_byte=200_000),
        Fault(FaultKind.NO_FILE),
        Fault(FaultKind.NO_ANSWER),
        Fault(FaultKind.CUT_ANSWER),
    ],
    ids=lambda fault: fault.fault.value,
)
async def test_a_passing_fault_at_the_destination_is_tried_again_until_the_file_is_there(
    fault: Fault, object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {"retry.bin": content("retry", 8_000_000)})
    async with running_emulator() as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)})
        async with running_service(settings) as world:
            emulator.inject(fault)
            accepted = (await world.push(job("retry.bin")))["accepted"][0]
            ended = await world.outcome(accepted["id"])
            assert (ended["state"], ended["attempt"]) == ("done", 2)
            assert emulator.digest_of(ended["result"]["file_id"]) == ended["result"]["sha256"]
            assert ended.get("possible_duplicate", False) is (fault.fault in ANSWER_LOST)


async def test_ten_thousand_jobs_in_one_push_are_all_taken(object_store: ObjectStore, tmp_path: Path) -> None:
    async with running_emulator() as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)})
        async with running_service(settings) as world:
            reply = await world.push(*(job(f"none/{number}") for number in range(10_000)), watch=False)
            assert reply["rejected"] == []
            assert len({item["id"] for item in reply["accepted"]}) == 10_000
            world.shutdown.signal()
            world.shutdown.signal()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.RAW_ANSWER, status=400, body='{"ok": false, "description": "bad \\ud800 thing"}'),
        Fault(FaultKind.RATE_LIMITED, retry_after=10**12, bot_id=4242),
        Fault(FaultKind.RAW_ANSWER, body='{"ok": true, "result": {"video": {"file_id": "\\ud800"}}}', delivers=True),
    ],
    ids=["half a character in the reason", "a wait of 30,000 years", "half a character in the file_id"],
)
async def test_no_answer_of_telegrams_takes_the_service_down(
    fault: Fault, object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {"absurd.bin": content("absurd")})
    async with running_emulator() as emulator:
        tables = {"mybot": telegram_table(emulator), "other": telegram_table(emulator, OTHER_TOKEN)}
        settings = settings_for(object_store, tmp_path / "s.db", tables)
        async with running_service(settings) as world:
            emulator.inject(fault)
            await world.push(job("absurd.bin"))
            with trio.fail_after(DEADLINE_S):
                while not emulator.traffic.faults:
                    await trio.sleep(0.01)
            # A neighbour is served, and every view of the troubled job can still be rendered.
            other = (await world.push({**job("absurd.bin"), "destination": "other"}))["accepted"][0]
            assert (await world.outcome(other["id"]))["state"] == "done"
            assert len((await world.client.call("list", {}))["jobs"]) == 2
            assert (await world.client.call("stats", {}))["destinations"].keys() == {"mybot", "other"}


async def test_a_paused_bot_with_more_jobs_than_the_queue_holds_starves_nobody(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {"starve.bin": content("starve")})
    async with running_emulator() as emulator:
        tables = {"mybot": telegram_table(emulator), "other": telegram_table(emulator, OTHER_TOKEN)}
        settings = settings_for(object_store, tmp_path / "s.db", tables, queue=QueueSettings(max_queue=5))
        async with running_service(settings) as world:
            emulator.inject(Fault(FaultKind.RATE_LIMITED, retry_after=3600, bot_id=4242, times=None))
            await world.push(*(job(f"starve/{n}.bin", "photo", bytes=10) for n in range(1, 31)), job("starve.bin"))
            other = (await world.push({**job("starve.bin"), "destination": "other"}))["accepted"][0]
            assert (await world.outcome(other["id"]))["state"] == "done"


async def test_a_cancelled_job_stops_streaming_at_once(object_store: ObjectStore, tmp_path: Path) -> None:
    await put(object_store, {"cancel.bin": content("cancel")})
    async with running_emulator() as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)})
        async with running_service(settings) as world:
            emulator.inject(Fault(FaultKind.SLOW_ANSWER, seconds=600))
            first = (await world.push(job("cancel.bin")))["accepted"][0]
            with trio.fail_after(DEADLINE_S):
                while not emulator.traffic.upload_bytes:
                    await trio.sleep(0.01)
            cancelled = await world.client.call("cancel", {"id": first["id"]})
            assert cancelled["state"] == "cancelled"
            with trio.fail_after(5):
                while (await world.client.call("stats", {}))["workers"]["busy"]:
                    await trio.sleep(0.01)
            again = (await world.push(job("cancel.bin")))["accepted"][0]
            assert not again["duplicate"]
            assert (await world.outcome(again["id"]))["state"] == "done"
