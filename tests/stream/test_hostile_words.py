"""Whatever stands in a key, a caption or a content type: the object of that name arrives as the file of one message,
and every word in the field that it was meant for."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
import trio
from attrs import define

from streamwarm.model import Kind
from streamwarm.send.telegram import bot_api, names
from tests.worlds.scripted_bucket import ETAG, Asked, head
from tests.worlds.stream import content, job, sha256, world

WORDS = [
    *"ab;=\"'\\\r\n\t\0 &%+?#{}<>./-_éßЖ😀",
    *(
        "\u202e",
        "\u200d",
        "\ufeff",
        "\u2028",
        "\x7f",
        "\x85",
        "\U000e0041",
        "%2e",
        "%0d%0a",
        "--",
        "name=",
        '; name="x"',
    ),
]
TYPES = [
    *["image/jpeg"] * 4,  # of which Telegram fetches a photo whatever its name
    *("image/jpeg", "video/mp4", "audio/mpeg", "application/pdf", 'text/html; charset="x"', "a/b;\tc", "x", ""),
    *('a/b; x="', "a/b" + "c" * 300, "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "a/b; é"),
]
BODY = content(3000)
ROUNDS = 80
FIELDS = {"chat_id", "disable_notification", "performer", "title", "has_spoiler"}


@define
class Bucket:
    content_type: str = ""

    async def answer(self, asked: Asked, stream: trio.SocketStream) -> None:
        line = f"Content-Type: {self.content_type}\r\n".encode("latin-1", "replace") if self.content_type else b""
        front = head(200, content_length=len(BODY), etag=ETAG).removesuffix(b"\r\n")
        await stream.send_all(front + line + b"\r\n" + (b"" if asked.method == "HEAD" else BODY))


@pytest.mark.parametrize("telegram", [{}, {"handoff": "auto"}], ids=["streamed", "handed-over"])
async def test_hostile_words_stay_where_they_belong(telegram: Mapping[str, Any]) -> None:
    chance = random.Random(7)

    def words(most: int) -> str:
        return "".join(chance.choices(WORDS, k=chance.randint(1, most)))[:most]

    bucket = Bucket()
    async with world(bucket.answer, telegram=telegram) as w:
        for number in range(ROUNDS):
            bucket.content_type = chance.choice(TYPES)
            kind, key, name = chance.choice(list(Kind)), words(60), words(40)
            options = {"caption": words(1024), "performer": name, "title": name, "has_spoiler": True}
            await w.send(job(id=f"job-{number}", r2_key=key, kind=kind, options={**options, "fallback": "document"}))
            delivery = w.emulator.deliveries[-1]
            assert len(w.emulator.deliveries) == number + 1
            assert delivery.sha256 == sha256(BODY)
            assert delivery.fields.keys() <= FIELDS
            if "caption" in bot_api.METHODS[kind].options:
                assert delivery.caption == options["caption"]
            if kind is Kind.AUDIO:
                assert (delivery.fields["performer"], delivery.fields["title"]) == (name, name)
            if delivery.origin == "upload":
                assert delivery.file_name == names.file_name(key, kind, content_type=bucket.content_type)
        assert {delivery.origin for delivery in w.emulator.deliveries} == {"upload", *(["url"] if telegram else [])}
