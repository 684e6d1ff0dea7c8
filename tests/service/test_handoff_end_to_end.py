"""Hand-off, end to end: Telegram's stand-in fetches the objects from a real bucket by their signed addresses."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import httpx

from streamwarm.sandbox.bot_api import Fault, FaultKind
from streamwarm.sandbox.object_store import ObjectStore
from streamwarm.watch.observations import BytesMoved, HandoffRefused, RetryScheduled
from tests.worlds.service import OTHER_TOKEN, put, running_emulator, running_service, settings_for, telegram_table

KEYS = [
    "h/plain.pdf",
    "h/a b+c&d=e?f#g.pdf",
    "h/naïve-ключ-😀.pdf",
    "h/%2e%2e%2fa.pdf",
    'h/"q".pdf',
    "h/" + "/".join(["x" * 220] * 4) + ".pdf",
]


def content(name: str, size: int = 60_000) -> bytes:
    return random.Random(name).randbytes(size)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def document(key: str, **more: Any) -> dict[str, Any]:
    return {"destination": "mybot", "kind": "document", "r2_key": key, **more}


async def test_telegram_fetches_the_object_of_exactly_that_name_and_no_byte_passes_the_service(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    objects = {key: content(key) for key in KEYS}
    await put(object_store, objects, content_type="application/pdf")
    async with running_emulator() as emulator:
        table = telegram_table(emulator, handoff="auto")
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": table})
        async with running_service(settings) as world:
            reply = await world.push(*(document(key, options={"caption": 'a&b="c"\n'}) for key in KEYS))
            ended = await world.outcomes([item["id"] for item in reply["accepted"]])
            for one in ended:
                result = one["result"]
                assert (result["source"], result["sha256"]) == ("handoff", None)
                assert emulator.digest_of(result["file_id"]) == sha256(objects[one["r2_key"]])
                assert result["bytes"] == 60_000
            assert {(d.origin, d.caption) for d in emulator.deliveries} == {("url", 'a&b="c"\n')}
            assert not any(isinstance(seen, BytesMoved) for seen in world.observed)
            # A bot finds them by key, and a second push is answered at once.
            async with httpx.AsyncClient(base_url=world.endpoints.http) as http:
                answer = await http.get("/v1/media/mybot/document/h/plain.pdf")
                assert (answer.status_code, answer.json()["sha256"]) == (200, None)
            again = (await world.push(document("h/plain.pdf")))["accepted"][0]
            assert (again["duplicate"], again["state"]) == (True, "done")
            # The addresses were good for anybody: they are told to nobody.
            seen = repr((world.observed, ended, await world.client.call("stats", {})))
    written = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert "X-Amz" not in seen
    assert b"X-Amz" not in written


async def test_what_cannot_be_handed_over_is_streamed_in_the_same_attempt(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    body = content("named")
    await put(object_store, {"s/named.pdf": body, "s/refused.pdf": body}, content_type="application/pdf")
    await put(object_store, {"s/mistyped.pdf": body, "s/note.mp4": body}, content_type="text/plain")
    async with running_emulator() as emulator:
        table = telegram_table(emulator, handoff="auto")
        trusting = telegram_table(emulator, OTHER_TOKEN, handoff="auto", handoff_unverified=True)
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": table, "trusting": trusting})
        async with running_service(settings) as world:
            emulator.inject(Fault(FaultKind.REFUSED, description="Bad Request: failed to get HTTP URL content"))
            first = (await world.push(document("s/refused.pdf")))["accepted"][0]
            ended = [await world.outcome(first["id"])]
            named = document("s/named.pdf", sha256=sha256(body))
            reply = await world.push(
                named,
                document("s/mistyped.pdf"),
                {**document("s/note.mp4"), "kind": "video_note"},
                {**named, "destination": "trusting"},
            )
            ended += await world.outcomes([item["id"] for item in reply["accepted"]])
            assert [one["state"] for one in ended] == ["done"] * 5
            assert [one["attempt"] for one in ended] == [1] * 5
            assert [one["result"]["source"] == "handoff" for one in ended] == [*[False] * 4, True]
            assert all(one["result"]["sha256"] == sha256(body) for one in ended[:4])
            whys = {seen.r2_key: seen.why for seen in world.observed if isinstance(seen, HandoffRefused)}
            assert whys.keys() == {"s/refused.pdf", "s/mistyped.pdf"}
            assert "text/plain" in whys["s/mistyped.pdf"]
            found = await world.client.call(
                "find", {"destination": "trusting", "kind": "document", "sha256": sha256(body)}
            )
            assert found["file_id"] == ended[4]["result"]["file_id"]


async def test_a_photo_that_telegram_refuses_when_it_fetches_it_goes_as_a_document(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {"p/noise.jpg": content("noise"), "p/none.jpg": content("none")}, content_type="image/jpeg")
    async with running_emulator(strict_images=True) as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator, handoff="auto")})
        async with running_service(settings) as world:
            noise = {"destination": "mybot", "kind": "photo", "r2_key": "p/noise.jpg"}
            reply = await world.push({**noise, "options": {"fallback": "document"}}, {**noise, "r2_key": "p/none.jpg"})
            fell_back, failed = await world.outcomes([item["id"] for item in reply["accepted"]])
            assert (fell_back["state"], fell_back["result"]["kind"]) == ("done", "document")
            assert fell_back["result"]["source"] == "stream"
            assert fell_back["attempt"] == 1
            # The picture was looked at once by Telegram; only the job without a fallback is sent as a photo again.
            assert not [seen for seen in world.observed if isinstance(seen, RetryScheduled)]
            assert (failed["state"], failed["error"]["code"]) == ("failed", "bad_photo")


async def test_a_photo_whose_address_telegram_takes_for_none_is_streamed_as_the_photo_that_it_is(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {"p/good.jpg": content("good")}, content_type="image/jpeg")
    async with running_emulator() as emulator:
        words = "Bad Request: wrong file identifier/HTTP URL specified"
        emulator.inject(Fault(FaultKind.REFUSED, method="sendPhoto", description=words))
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator, handoff="auto")})
        async with running_service(settings) as world:
            job = {"destination": "mybot", "kind": "photo", "r2_key": "p/good.jpg", "options": {"fallback": "document"}}
            done = await world.outcome((await world.push(job))["accepted"][0]["id"])
            assert (done["state"], done["attempt"]) == ("done", 1)
            assert (done["result"]["kind"], done["result"]["source"]) == ("photo", "stream")
            assert not [seen for seen in world.observed if isinstance(seen, RetryScheduled)]
