"""Pre-flight, end to end: what Telegram would refuse costs no upload, or goes as what Telegram takes."""

from __future__ import annotations

import hashlib
import random
import struct
from pathlib import Path
from typing import Any

from streamwarm.sandbox.bot_api import Fault, FaultKind
from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.service import put, running_emulator, running_service, settings_for, telegram_table

FALLBACK = {"fallback": "document"}


def jpeg(width: int, height: int, size_bytes: int = 300_000) -> bytes:
    """Its size stands behind a colour profile of two full segments, as in a picture for print."""
    noise = random.Random(width)
    profile = b"".join(b"\xff\xe2" + struct.pack(">H", 65_002) + noise.randbytes(65_000) for _ in range(2))
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)
    front = b"\xff\xd8" + profile + frame
    return front + noise.randbytes(size_bytes - len(front))


def photo(key: str, **more: Any) -> dict[str, Any]:
    return {"destination": "mybot", "kind": "photo", "r2_key": key, **more}


async def test_a_photo_that_telegram_would_refuse_fails_before_a_byte_of_it_is_uploaded(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    objects = {"p/wide.jpg": jpeg(9000, 400), "p/huge.jpg": jpeg(9000, 1001), "p/film.mp4": b"\0\0\0\x18ftypisom" * 9}
    await put(object_store, objects)
    async with running_emulator() as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)})
        async with running_service(settings) as world:
            reply = await world.push(*(photo(key) for key in objects))
            ended = await world.outcomes([item["id"] for item in reply["accepted"]])
            for one, told in zip(ended, ("9000 × 400", "9000 × 1001", "MP4"), strict=True):
                assert (one["state"], one["error"]["code"], one["error"]["permanent"]) == ("failed", "bad_photo", True)
                assert told in one["error"]["message"]
                assert 'options.fallback to "document"' in one["error"]["message"]
            assert emulator.traffic.upload_bytes == 0


async def test_a_photo_that_telegram_would_refuse_is_warm_as_a_document_where_the_job_allows_it(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    objects = {
        "f/wide.jpg": jpeg(9000, 400),
        "f/heavy.jpg": jpeg(3000, 2000, 10_500_000),
        "f/refused.jpg": jpeg(3001, 2000),
        "f/good.jpg": jpeg(1600, 1200),
    }
    await put(object_store, objects)
    async with running_emulator() as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)})
        async with running_service(settings) as world:
            jobs = {key: photo(key, options={**FALLBACK, "caption": "Hi", "has_spoiler": True}) for key in objects}
            # What no header tells: Telegram looks at the picture itself, and says no.
            emulator.inject(Fault(FaultKind.REFUSED, description="Bad Request: IMAGE_PROCESS_FAILED"))
            refused = (await world.push(jobs.pop("f/refused.jpg")))["accepted"][0]
            first = await world.outcome(refused["id"])
            reply = await world.push(*jobs.values())
            ended = [first, *await world.outcomes([item["id"] for item in reply["accepted"]])]
            kinds = {one["r2_key"]: one["result"]["kind"] for one in ended}
            assert kinds == dict.fromkeys(objects, "document") | {"f/good.jpg": "photo"}
            assert all(one["attempt"] == 1 for one in ended)
            # It is found where it was asked for, with the kind it came back as, whole, and with its caption.
            params = {"destination": "mybot", "kind": "photo", "r2_key": "f/wide.jpg"}
            record = await world.client.call("find", params)
            assert (record["kind"], record["result"]["kind"]) == ("photo", "document")
            for delivery in emulator.deliveries:
                assert delivery.sha256 in {hashlib.sha256(body).hexdigest() for body in objects.values()}
                assert delivery.caption == "Hi"
                assert "fallback" not in delivery.fields


async def test_a_photo_that_telegram_calls_no_media_once_it_is_uploaded_goes_as_a_document_or_says_how(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {"n/allowed.jpg": jpeg(1601, 1200), "n/only.jpg": jpeg(1602, 1200)})
    async with running_emulator() as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)})
        async with running_service(settings) as world:
            words = "Bad Request: wrong file identifier/HTTP URL specified"
            emulator.inject(Fault(FaultKind.REFUSED, method="sendPhoto", description=words, times=2))
            reply = await world.push(photo("n/allowed.jpg", options=FALLBACK), photo("n/only.jpg"))
            allowed, only = await world.outcomes([item["id"] for item in reply["accepted"]])
            assert (allowed["state"], allowed["result"]["kind"], allowed["attempt"]) == ("done", "document", 1)
            assert (only["state"], only["error"]["code"]) == ("failed", "bad_photo")
            assert words in only["error"]["message"]
            assert 'options.fallback to "document"' in only["error"]["message"]


async def test_a_fallback_of_another_kind_is_refused_when_it_is_pushed(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    async with running_emulator() as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)})
        async with running_service(settings) as world:
            reply = await world.push(photo("a", options={"fallback": "video"}), photo("b", options={"fallback": True}))
            assert [item["code"] for item in reply["rejected"]] == ["invalid_options", "invalid_options"]
            assert 'options.fallback: must be "document"' in reply["rejected"][0]["message"]


async def test_a_video_without_sound_is_found_as_a_video_and_says_that_it_came_back_an_animation(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {"v/silent.mp4": b"\0\0\0\x18ftypisom" * 9}, content_type="video/mp4")
    async with running_emulator() as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)})
        async with running_service(settings) as world:
            accepted = (await world.push({**photo("v/silent.mp4"), "kind": "video"}))["accepted"][0]
            assert (await world.outcome(accepted["id"]))["result"]["kind"] == "animation"
            asked = {"destination": "mybot", "kind": "video", "r2_key": "v/silent.mp4"}
            record = await world.client.call("find", asked)
            assert (record["kind"], record["result"]["kind"]) == ("video", "animation")
            assert record["file_id"] == emulator.deliveries[0].file_id
