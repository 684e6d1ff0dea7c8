"""A video that would look wrong at Telegram must look wrong in the sandbox: sizes, lengths, thumbnails and covers."""

from __future__ import annotations

from typing import Any

import pytest

from streamwarm.sandbox.bot_api_pictures import MAX_PHOTO_BYTES, MAX_THUMBNAIL_BYTES
from streamwarm.sandbox.media_shapes import MAX_MEASURED_BYTES
from tests.worlds.bot_api import GROUP, Client, refusal, running_with_client
from tests.worlds.media_files import jpeg, movie, png

LARGE = bytes(MAX_MEASURED_BYTES + 1)
NAMED = {"width": "1080", "height": "1920", "duration": "61"}


async def sent(
    client: Client, kind: str, content: bytes, *, name: str = "a.mp4", pictures: Any = None, **fields: str
) -> dict[str, Any]:
    """The message of an upload, with further files by their part's name."""
    files = {part: (f"{part}.jpg", picture, "image/jpeg") for part, picture in (pictures or {}).items()}
    files[kind] = (name, content, "application/octet-stream")
    data = {"chat_id": str(GROUP), **fields}
    status, reply = await client.call("send" + kind.replace("_", ""), data=data, files=files)
    assert status == 200, reply
    result: dict[str, Any] = reply["result"]
    return result


def shape(video: dict[str, Any]) -> tuple[int, int, int, bool]:
    return video["width"], video["height"], video["duration"], "thumbnail" in video


@pytest.mark.parametrize("kind", ["video", "animation"])
async def test_a_large_video_without_named_sizes_is_a_square_of_no_length(kind: str) -> None:
    content = movie(1080, 1920, size_bytes=MAX_MEASURED_BYTES + 1)
    async with running_with_client() as (_, client):
        assert shape((await sent(client, kind, content))[kind]) == (320, 320, 0, False)
        assert shape((await sent(client, kind, content, width="1080", duration="9"))[kind]) == (320, 320, 9, False)


@pytest.mark.parametrize("kind", ["video", "animation"])
async def test_a_large_video_has_exactly_what_its_upload_named(kind: str) -> None:
    content = movie(64, 48, size_bytes=MAX_MEASURED_BYTES + 1)
    async with running_with_client() as (emulator, client):
        assert shape((await sent(client, kind, content, **NAMED))[kind]) == (1080, 1920, 61, False)
        pictures = {"thumbnail": jpeg(180, 320)}
        message = await sent(client, kind, content, pictures=pictures, thumbnail="attach://thumbnail", **NAMED)
        assert shape(message[kind]) == (1080, 1920, 61, True)
        assert (emulator.deliveries[-1].width, emulator.deliveries[-1].height) == (1080, 1920)
        assert emulator.deliveries[-1].duration_s == 61


async def test_a_video_of_ten_megabytes_is_measured_whatever_its_upload_named() -> None:
    content = movie(1920, 1080, seconds=6.02, upright=True, size_bytes=MAX_MEASURED_BYTES)
    assert len(content) == MAX_MEASURED_BYTES
    async with running_with_client() as (_, client):
        for named in ({}, {"width": "64", "height": "48", "duration": "1"}):
            video = (await sent(client, "video", content, **named))["video"]
            assert shape(video) == (1080, 1920, 7, True)
            assert (video["thumbnail"]["width"], video["thumbnail"]["height"]) == (180, 320)


async def test_a_small_video_that_cannot_be_measured_has_what_its_upload_named() -> None:
    async with running_with_client() as (_, client):
        assert shape((await sent(client, "video", b"no movie", **NAMED))["video"]) == (1080, 1920, 61, False)
        assert shape((await sent(client, "video", b"no movie"))["video"]) == (320, 320, 0, False)


async def test_sizes_beyond_the_servers_bounds_are_cut_in_silence() -> None:
    async with running_with_client() as (_, client):
        named = {"width": "70000", "height": "12", "duration": "9999999"}
        assert shape((await sent(client, "video", b"x", **named))["video"]) == (10_000, 12, 86_400, False)
        for odd in ("-5", "x", ""):
            video = (await sent(client, "video", b"x", width=odd, height="5", duration=odd))["video"]
            assert shape(video) == (320, 320, 0, False)


async def test_a_video_note_has_its_length_for_both_sides() -> None:
    async with running_with_client() as (_, client):
        note = (await sent(client, "video_note", b"x", length="480", duration="9"))["video_note"]
        assert (note["length"], note["duration"]) == (480, 9)
        assert (await sent(client, "video_note", b"x"))["video_note"]["length"] == 384
        assert not {"file_name", "mime_type", "width"} & note.keys()
        measured = (await sent(client, "video_note", movie(320, 240, seconds=3)))["video_note"]
        assert (measured["length"], measured["duration"], "thumbnail" in measured) == (240, 3, True)
        assert refusal(await client.upload("video_note", b"x", length="641"))[1].endswith("wrong video note length")
        too_big = await client.upload("video_note", bytes(12 * 2**20 + 1))
        assert refusal(too_big)[1].startswith("Bad Request: file of size 12582913 bytes is too big for a video note")


async def test_an_audio_file_has_its_tags_and_a_document_has_none() -> None:
    tags = {"title": "Song", "performer": "Ann", "duration": "200"}
    async with running_with_client() as (_, client):
        pictures = {"thumbnail": jpeg(300, 300)}
        audio = (await sent(client, "audio", b"x", name="a.mp3", pictures=pictures, **tags))["audio"]
        assert (audio["title"], audio["performer"], audio["duration"]) == ("Song", "Ann", 200)
        assert (audio["mime_type"], audio["thumbnail"]["width"]) == ("audio/mpeg", 300)
        document = (await sent(client, "document", b"x", name="a.pdf", pictures=pictures, **{**tags, **NAMED}))[
            "document"
        ]
        assert not {"title", "performer", "duration", "width", "height"} & document.keys()
        assert document["thumbnail"]["height"] == 300
        as_video = (await sent(client, "document", b"x", name="a.mp4", **NAMED))["video"]
        assert shape(as_video) == (320, 320, 0, False)  # sendDocument has no sizes
        voice = (await sent(client, "voice", b"x", name="a.ogg", pictures=pictures, **tags))["voice"]
        assert (voice["duration"], voice["mime_type"]) == (200, "audio/ogg")
        assert not {"title", "thumbnail", "file_name"} & voice.keys()


@pytest.mark.parametrize("reference", ["attach://small", "", None])
async def test_a_thumbnail_comes_back_with_its_own_size(reference: str | None) -> None:
    async with running_with_client() as (emulator, client):
        small = jpeg(320, 200, size_bytes=MAX_THUMBNAIL_BYTES)
        part = "small" if reference else "thumbnail"
        fields = {} if reference is None else {"thumbnail": reference}
        message = await sent(client, "video", LARGE, pictures={part: small}, **fields, **NAMED)
        thumbnail = message["video"]["thumbnail"]
        assert (thumbnail["width"], thumbnail["height"], thumbnail["file_size"]) == (320, 200, len(small))
        assert message["video"]["thumb"] == thumbnail
        assert emulator.deliveries[0].thumbnail_sha256 is not None
        again = await client.call("sendVideo", json={"chat_id": GROUP, "video": message["video"]["file_id"]})
        assert again[1]["result"]["video"]["thumbnail"] == thumbnail
        stolen = await client.call("sendPhoto", json={"chat_id": GROUP, "photo": thumbnail["file_id"]})
        assert refusal(stolen)[1] == "Bad Request: can't use file of type Thumbnail as Photo"


@pytest.mark.parametrize(
    "picture",
    [
        png(320, 180),
        jpeg(321, 180),
        jpeg(180, 4000),
        jpeg(0, 0),
        jpeg(320, 180, size_bytes=MAX_THUMBNAIL_BYTES + 1),
        b"",
        b"\xff\xd8\xff",
        b"no picture",
    ],
    ids=["png", "too wide", "too high", "no size", "too large", "empty", "cut", "text"],
)
@pytest.mark.parametrize("kind", ["video", "document", "audio", "animation", "video_note"])
async def test_a_wrong_thumbnail_is_dropped_without_a_word(kind: str, picture: bytes) -> None:
    async with running_with_client() as (emulator, client):
        name = "a.pdf" if kind == "document" else "a.mp4"
        fields = {"thumbnail": "attach://thumbnail", **NAMED}
        message = await sent(client, kind, b"x", name=name, pictures={"thumbnail": picture}, **fields)
        assert "thumbnail" not in message[kind]
        assert emulator.deliveries[0].thumbnail_sha256 is None


async def test_a_thumbnail_that_is_no_part_of_the_form_is_ignored() -> None:
    async with running_with_client() as (_, client):
        photo = (await sent(client, "photo", jpeg(300, 300)))["photo"][0]["file_id"]
        for reference in (photo, "http://127.0.0.1:1/a.jpg", "attach://missing", "small"):
            message = await sent(client, "video", b"x", pictures={"small": jpeg()}, thumbnail=reference)
            assert "thumbnail" not in message["video"]


async def test_telegrams_own_thumbnail_of_a_small_video_wins() -> None:
    async with running_with_client() as (emulator, client):
        message = await sent(client, "video", movie(360, 640), pictures={"thumbnail": jpeg(300, 300)})
        assert (message["video"]["thumbnail"]["width"], message["video"]["thumbnail"]["height"]) == (180, 320)
        assert emulator.deliveries[0].thumbnail_sha256 is None


async def cover_of(client: Client, cover: str, pictures: Any = None, **fields: str) -> Any:
    message = await sent(client, "video", LARGE, pictures=pictures, cover=cover, **{**NAMED, **fields})
    return message["video"].get("cover")


async def test_a_cover_comes_back_with_the_video_it_was_sent_with() -> None:
    async with running_with_client() as (emulator, client):
        sizes = await cover_of(client, "attach://front", {"front": jpeg(1280, 720)})
        assert (sizes[-1]["width"], sizes[-1]["height"]) == (1280, 720)
        assert emulator.deliveries[0].cover_sha256 == emulator.digest_of(sizes[-1]["file_id"])
        assert await cover_of(client, sizes[-1]["file_id"]) == sizes
        assert await cover_of(client, "attach://missing") is None
        video = emulator.deliveries[0].file_id
        again = {"chat_id": GROUP, "video": video, "cover": sizes[-1]["file_id"]}
        assert (await client.call("sendVideo", json=again))[1]["result"]["video"]["cover"] == sizes


async def test_a_cover_that_is_no_photo_is_refused() -> None:
    async def refused(client: Client, picture: bytes, **fields: str) -> str:
        data = {"chat_id": str(GROUP), "cover": "attach://front", **fields}
        answer = await client.call("sendVideo", data=data, files={"video": b"x", "front": ("a.jpg", picture)})
        return refusal(answer)[1].removeprefix("Bad Request: ")

    async with running_with_client() as (emulator, client):
        assert (await refused(client, bytes(MAX_PHOTO_BYTES + 1))).startswith("file of size 10485761 bytes is too big")
        assert await refused(client, jpeg(9000, 1001)) == "PHOTO_INVALID_DIMENSIONS"
        too_large = {"width": "9000", "height": "1001"}
        assert await refused(client, jpeg(), **too_large) == "dimensions of the photo are too big"
        wrong_kind = await sent(client, "audio", b"x", name="a.mp3")
        answer = await client.upload("video", cover=wrong_kind["audio"]["file_id"])
        assert refusal(answer)[1] == "Bad Request: can't use file of type Audio as Photo"
        assert len(emulator.deliveries) == 1
    async with running_with_client(strict_images=True) as (_, client):
        assert await refused(client, b"no picture") == "IMAGE_PROCESS_FAILED"


async def test_a_spoiler_shows_in_the_message_and_streaming_does_not() -> None:
    async with running_with_client() as (_, client):
        fields = {"has_spoiler": "True", "supports_streaming": "true", "caption": "c"}
        for kind, has_one in (("video", True), ("photo", True), ("animation", True), ("document", False)):
            message = await sent(client, kind, b"x", name="a.mp4" if kind != "document" else "a.pdf", **fields)
            assert message.get("has_media_spoiler", False) is has_one
            assert "supports_streaming" not in message
        above = await sent(client, "video", b"x", show_caption_above_media="true", has_spoiler="false", caption="c")
        assert above["show_caption_above_media"] is True
        assert "has_media_spoiler" not in above


async def test_what_the_request_says_of_a_file_that_telegram_has_is_ignored() -> None:
    async def again(client: Client, kind: str, message: dict[str, Any]) -> dict[str, Any]:
        named = {"chat_id": GROUP, kind: message[kind]["file_id"], "title": "New", **NAMED}
        result: dict[str, Any] = (await client.call(f"send{kind}", json=named))[1]["result"][kind]
        return result

    async with running_with_client() as (_, client):
        video = await again(client, "video", await sent(client, "video", LARGE))
        assert shape(video) == (320, 320, 0, False)  # for ever: no later send repairs it
        audio = await again(client, "audio", await sent(client, "audio", b"x", name="a.mp3", duration="5"))
        assert audio["duration"] == 5
        assert "title" not in audio


async def test_a_part_that_is_named_but_missing_is_no_file() -> None:
    async with running_with_client() as (emulator, client):
        answer = await client.call("sendVideo", json={"chat_id": GROUP, "video": "attach://missing"})
        assert refusal(answer)[1] == "Bad Request: there is no video in the request"
        assert emulator.deliveries == ()


async def test_a_topic_shows_in_a_message_with_a_thumbnail() -> None:
    async with running_with_client() as (emulator, client):
        emulator.rights.set_topics(GROUP, [42])
        fields = {"message_thread_id": "42", "thumbnail": "attach://thumbnail"}
        message = await sent(client, "document", b"x", name="a.pdf", pictures={"thumbnail": jpeg()}, **fields)
        assert (message["message_thread_id"], message["document"]["thumbnail"]["width"]) == (42, 320)
