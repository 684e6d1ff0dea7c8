"""Telegram takes a file's type from its name alone: what has another kind there must have it in the sandbox."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwarm.sandbox.media_names import MAX_EXTENSION_CHARS, MAX_STEM_CHARS, kept_name
from streamwarm.sandbox.media_shapes import MAX_MEASURED_BYTES
from tests.worlds.bot_api import GROUP, Client, running_with_client
from tests.worlds.media_files import gif, jpeg, movie

KINDS = ("animation", "audio", "document", "photo", "sticker", "video", "video_note", "voice")


def kinds_in(message: dict[str, Any]) -> list[str]:
    return [kind for kind in KINDS if kind in message]


async def sent(client: Client, kind: str, name: str, content: bytes = b"content", **fields: str) -> dict[str, Any]:
    status, reply = await client.upload(kind, content, name=name, **fields)
    assert status == 200, reply
    result: dict[str, Any] = reply["result"]
    return result


@pytest.mark.parametrize(
    ("name", "content", "kinds", "mime_type"),
    [
        ("a.webp", b"x", ["sticker"], None),
        ("a.TGS", b"x", ["sticker"], None),
        ("a.mp3", b"x", ["audio"], "audio/mpeg"),
        ("a.m4a", b"x", ["audio"], "audio/mp4"),
        ("a.ogg", b"x", ["voice"], "audio/ogg"),
        ("a.oga", b"x", ["voice"], "audio/ogg"),
        ("a.gif", gif(90, 60), ["animation", "document"], "video/mp4"),
        ("a.mp4", movie(), ["video"], "video/mp4"),
        ("a.MP4", b"x", ["video"], "video/mp4"),
        ("a.mp4", movie(sound=False), ["animation", "document"], "video/mp4"),
        ("a.webm", b"x", ["document"], "video/webm"),
        ("a.jpg", jpeg(), ["document"], "image/jpeg"),
        ("a.pdf", movie(), ["document"], "application/pdf"),
        ("movie", movie(), ["document"], "application/octet-stream"),
        ("sticker", b"RIFF", ["document"], "application/octet-stream"),
        (".mp4", movie(), ["document"], "application/octet-stream"),
        ("a.unheard-of", movie(), ["document"], "application/octet-stream"),
    ],
)
async def test_a_document_comes_back_as_its_name_says(
    name: str, content: bytes, kinds: list[str], mime_type: str | None
) -> None:
    async with running_with_client() as (emulator, client):
        message = await sent(client, "document", name, content)
        assert kinds_in(message) == kinds
        assert message[kinds[0]].get("mime_type") == mime_type
        assert (emulator.deliveries[0].kind, emulator.deliveries[0].file_name) == (kinds[0], name)
        forced = await sent(client, "document", name, content, disable_content_type_detection="true")
        assert kinds_in(forced) == ["document"]
        assert forced["document"]["file_name"] == kept_name(name)


async def test_a_file_that_came_back_as_another_kind_is_sent_by_that_kind() -> None:
    async with running_with_client() as (_, client):
        sticker = (await sent(client, "document", "a.webp", b"x"))["sticker"]
        assert (sticker["type"], sticker["width"], sticker["height"]) == ("regular", 512, 512)
        status, reply = await client.call("sendSticker", json={"chat_id": GROUP, "sticker": sticker["file_id"]})
        assert (status, reply["result"]["sticker"]["file_id"]) == (200, sticker["file_id"])
        status, reply = await client.call("sendDocument", json={"chat_id": GROUP, "document": sticker["file_id"]})
        assert (status, reply["description"]) == (400, "Bad Request: can't use file of type Sticker as Document")


async def test_a_gif_becomes_an_mp4_and_one_without_a_name_a_mere_document() -> None:
    async with running_with_client() as (_, client):
        message = await sent(client, "animation", "wave.gif", gif(246, 120))
        animation = message["animation"]
        assert (animation["file_name"], animation["mime_type"]) == ("wave.gif.mp4", "video/mp4")
        assert (animation["width"], animation["height"]) == (246, 120)
        assert message["document"]["file_id"] == animation["file_id"]
        assert "width" not in message["document"]
        assert kinds_in(await sent(client, "animation", "wave", gif(246, 120))) == ["document"]
        named = await sent(client, "animation", "wave", b"x" * 99, width="246", height="120")
        assert kinds_in(named) == ["animation", "document"]


@pytest.mark.parametrize(
    ("kind", "name", "mime_type"),
    [
        ("video", "clip", "video/mp4"),
        ("video", "a.bin", "video/mp4"),
        ("video", "a.webm", "video/webm"),
        ("video", "a.mov", "video/quicktime"),
        ("audio", "song", "audio/mpeg"),
        ("audio", "a.pdf", "audio/mpeg"),
        ("audio", "a.flac", "audio/flac"),
        ("voice", "memo", "audio/ogg"),
        ("voice", "a.mp3", "audio/mpeg"),
        ("voice", "a.flac", "audio/ogg"),
    ],
)
async def test_other_kinds_stay_what_they_were_sent_as(kind: str, name: str, mime_type: str) -> None:
    async with running_with_client() as (_, client):
        message = await sent(client, kind, name)
        assert kinds_in(message) == [kind]
        assert message[kind]["mime_type"] == mime_type


async def test_a_silent_upload_to_send_video_stays_a_video_unless_its_name_says_silent() -> None:
    async with running_with_client() as (_, client):
        silent = movie(sound=False)
        assert kinds_in(await sent(client, "video", "a.mp4", silent)) == ["video"]
        assert kinds_in(await sent(client, "video", "silent.mp4", silent)) == ["animation", "document"]
        large = movie(sound=False, size_bytes=MAX_MEASURED_BYTES + 1)
        assert kinds_in(await sent(client, "document", "a.mp4", large)) == ["video"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("intro.mp4", "intro.mp4"),
        ("клип 1.mp4", "клип 1.mp4"),
        ("動画.mp4", "動画.mp4"),
        ("cafe\u0301s.mp4", "cafes.mp4"),
        ("a/b\\c.mp4", "c.mp4"),
        ("a:b?.mp4", "a b.mp4"),
        ("x🎬.mp4", "x.mp4"),
        (" .hidden.mp4", "hidden.mp4"),
        ("line\nend.mp4", "line end.mp4"),
        ("l" * 5000 + ".mp4", "l" * 64 + ".mp4"),
        ("a." + "e" * 50, "a." + "e" * 16),
        ("a.tar.gz", "a.tar.gz"),
        ("no extension", "no extension"),
        ("🎬", "file"),
        ("", "file"),
        (None, "file"),
    ],
)
def test_a_name_is_kept_as_the_open_server_keeps_it(given: str | None, kept: str) -> None:
    assert kept_name(given) == kept


@given(st.text(max_size=200))
def test_whatever_a_name_is_the_kept_one_is_short_and_harmless(name: str) -> None:
    kept = kept_name(name)
    assert 0 < len(kept) <= MAX_STEM_CHARS + 1 + MAX_EXTENSION_CHARS
    assert not set("<>:\"/\\|?*&`'\n\r\0") & set(kept)
    assert kept_name(kept) == kept
