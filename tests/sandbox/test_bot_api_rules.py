"""A service that passes here must not fail at Telegram: the emulator refuses what Telegram refuses."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from streamwarm.model import Kind
from streamwarm.sandbox.bot_api import EmulatorSettings
from streamwarm.sandbox.bot_api_methods import MAX_UPLOAD_BYTES
from streamwarm.sandbox.bot_api_pictures import MAX_PHOTO_BYTES
from streamwarm.sandbox.bot_api_rates import RateLimits
from streamwarm.sandbox.image_header import image_size
from tests.worlds.bot_api import (
    CHANNEL,
    CHATS,
    GROUP,
    OTHER_TOKEN,
    PERSON,
    Client,
    connect,
    read_to_end,
    refusal,
    running,
    running_with_client,
    upload_frame,
)


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"pixels"


def jpeg(width: int, height: int) -> bytes:
    exif = b"\xff\xe1" + struct.pack(">H", 3000) + bytes(2998)
    return b"\xff\xd8" + exif + b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"scan"


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"frames"


def webp(width: int, height: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + size


IMAGES = [png, jpeg, gif, webp]


async def test_a_revoked_or_misspelt_token_is_told_apart() -> None:
    async with running_with_client() as (emulator, client):
        stranger = Client(emulator, client.http, "1:unknown")
        assert refusal(await stranger.call("getMe")) == (401, "Unauthorized")
        assert refusal(await Client(emulator, client.http, "no-token").call("getMe"))[0] == 404
        assert refusal(await client.call("sendNothing"))[0] == 404
        status, me = await client.call("getMe")
        assert (status, me["result"]["id"], me["result"]["is_bot"]) == (200, 4242, True)


async def test_parameters_arrive_in_every_way_the_bot_api_takes_them() -> None:
    async with running_with_client() as (_, client):
        text = {"chat_id": GROUP, "text": "hi"}
        for request in ({"json": text}, {"data": text}, {"params": text}, {"files": {"text": (None, "hi")}}):
            params = {"chat_id": str(GROUP)} if "files" in request else request.pop("params", None)
            status, reply = await client.call("SENDmessage", params=params, **request)
            assert (status, reply["result"]["text"], reply["result"]["chat"]["id"]) == (200, "hi", GROUP)


async def test_a_chat_that_is_not_there_takes_no_upload() -> None:
    async with running_with_client() as (emulator, client):
        for chat_id in ("-99", "0", "@name", "--5", "9" * 30):
            answer = await client.call("sendVideo", data={"chat_id": chat_id}, files={"video": b"x"})
            assert refusal(answer) == (400, "Bad Request: chat not found")
        assert refusal(await client.call("sendVideo", files={"video": b"x"}))[1] == "Bad Request: chat_id is empty"
        assert emulator.deliveries == ()


async def test_empty_files_long_captions_and_missing_files_are_refused() -> None:
    async with running_with_client() as (emulator, client):
        assert refusal(await client.upload("video", b""))[1] == "Bad Request: file must be non-empty"
        assert refusal(await client.upload("video", caption="c" * 1025))[1].endswith("caption is too long")
        answer = await client.call("sendVideo", json={"chat_id": GROUP})
        assert refusal(answer)[1] == "Bad Request: there is no video in the request"
        assert emulator.deliveries == ()
        assert (await client.upload("video", caption="c" * 1024))[0] == 200


async def test_a_photo_over_ten_megabytes_is_refused_in_telegrams_words() -> None:
    async with running_with_client(local_server=True) as (_, client):
        status, description = refusal(await client.upload("photo", bytes(MAX_PHOTO_BYTES + 1)))
        assert status == 400
        assert description.startswith(f"Bad Request: file of size {MAX_PHOTO_BYTES + 1} bytes is too big for a photo")
        assert (await client.upload("photo", bytes(MAX_PHOTO_BYTES)))[0] == 200


async def test_an_upload_declared_over_fifty_megabytes_is_refused_before_it_is_read() -> None:
    async with running() as emulator, await connect(emulator) as stream:
        head, _ = upload_frame(MAX_UPLOAD_BYTES + 2**21)
        await stream.send_all(head)
        assert b'"error_code":413' in await read_to_end(stream)
        assert emulator.traffic.upload_bytes == 0


async def test_an_upload_of_unknown_length_is_refused_at_fifty_megabytes() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        head, after = upload_frame(0)
        yield head.partition(b"\r\n\r\n")[2]
        for _ in range(MAX_UPLOAD_BYTES // 2**20 + 1):
            yield bytes(2**20)
        yield after

    async with running_with_client() as (emulator, client):
        headers = {"Content-Type": "multipart/form-data; boundary=B"}
        assert refusal(await client.call("sendVideo", content=chunks(), headers=headers))[0] == 413
        assert emulator.deliveries == ()


@pytest.mark.parametrize("image", IMAGES)
async def test_a_photo_with_impossible_dimensions_is_refused(image: Any) -> None:
    async with running_with_client() as (_, client):
        for width, height in ((9000, 1001), (2100, 100)):
            answer = await client.upload("photo", image(width, height))
            assert refusal(answer) == (400, "Bad Request: PHOTO_INVALID_DIMENSIONS")
        status, reply = await client.upload("photo", image(2000, 100))
        assert status == 200
        sizes = reply["result"]["photo"]
        assert [size["width"] for size in sizes] == sorted(size["width"] for size in sizes)
        assert (sizes[-1]["width"], sizes[-1]["height"]) == (2000, 100)
        assert len({size["file_unique_id"] for size in sizes}) == len(sizes) == 5


async def test_bytes_that_are_no_image_are_a_photo_only_where_the_settings_say_so() -> None:
    async with running_with_client() as (_, client):
        assert (await client.upload("photo", b"no image"))[0] == 200
    async with running_with_client(strict_images=True) as (_, client):
        assert refusal(await client.upload("photo", b"no image"))[1] == "Bad Request: IMAGE_PROCESS_FAILED"
        assert (await client.upload("photo", jpeg(30, 20)))[0] == 200


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_cut_anywhere_is_never_misread(image: Any) -> None:
    whole = image(640, 480)
    assert image_size(whole) == (640, 480)
    assert all(image_size(whole[:end]) in (None, (640, 480)) for end in range(len(whole)))


async def test_a_file_id_serves_one_bot_and_one_kind_while_the_unique_id_is_shared() -> None:
    async with running_with_client() as (emulator, client):
        other = Client(emulator, client.http, OTHER_TOKEN)
        mine = (await client.upload("video"))[1]["result"]["video"]
        theirs = (await other.upload("video"))[1]["result"]["video"]
        assert mine["file_unique_id"] == theirs["file_unique_id"]
        assert mine["file_id"] != theirs["file_id"]
        wrong_bot = await client.call("sendVideo", json={"chat_id": GROUP, "video": theirs["file_id"]})
        assert refusal(wrong_bot) == (400, "Bad Request: wrong file identifier/HTTP URL specified")
        wrong_kind = await client.call("sendPhoto", json={"chat_id": GROUP, "photo": mine["file_id"]})
        assert refusal(wrong_kind) == (400, "Bad Request: can't use file of type Video as Photo")
        with pytest.raises(KeyError):
            emulator.digest_of("AQADnothing")


async def test_a_silent_video_returns_as_an_animation_beside_a_document() -> None:
    async with running_with_client() as (emulator, client):
        message = (await client.upload("video", name="silent.mp4"))[1]["result"]
        assert "video" not in message
        assert message["animation"]["file_id"] == emulator.deliveries[0].file_id
        assert message["document"]["file_id"] == message["animation"]["file_id"]
        assert emulator.deliveries[0].kind is Kind.ANIMATION


async def test_a_channel_speaks_for_itself_and_a_person_has_no_title() -> None:
    async with running_with_client() as (_, client):
        in_channel = (await client.upload("audio", chat_id=CHANNEL))[1]["result"]
        assert "from" not in in_channel
        assert in_channel["sender_chat"]["id"] == CHANNEL
        with_person = (await client.upload("audio", chat_id=PERSON))[1]["result"]
        assert with_person["chat"] == {"id": PERSON, "type": "private", "first_name": "Ann"}
        assert refusal(await client.call("getChat", json={"chat_id": -3}))[1] == "Bad Request: chat not found"


async def test_a_message_is_deleted_once_and_its_file_id_lives_on() -> None:
    async with running_with_client() as (_, client):
        message = (await client.upload("voice"))[1]["result"]
        which = {"chat_id": GROUP, "message_id": message["message_id"]}
        assert (await client.call("deleteMessage", json=which))[1] == {"ok": True, "result": True}
        assert refusal(await client.call("deleteMessage", json=which))[1].endswith("message to delete not found")
        again = {"chat_id": PERSON, "voice": message["voice"]["file_id"]}
        assert (await client.call("sendVoice", json=again))[0] == 200


async def test_get_file_is_limited_to_twenty_megabytes_unless_the_server_is_local() -> None:
    for local_server, status in ((False, 400), (True, 200)):
        async with running_with_client(local_server=local_server) as (_, client):
            video = (await client.upload("video", bytes(21 * 2**20)))[1]["result"]["video"]
            assert (await client.call("getFile", json={"file_id": video["file_id"]}))[0] == status


async def test_telegrams_rates_are_enforced_to_the_letter_where_asked_for(mock_clock: MockClock) -> None:
    async with running_with_client(enforce_rates=True, now=trio.current_time) as (emulator, client):
        assert (await client.upload("photo"))[0] == 200
        status, refused = await client.upload("photo")
        assert (status, refused["parameters"]) == (429, {"retry_after": 1})
        assert (await client.upload("photo", chat_id=CHANNEL))[0] == 200  # another chat has its own second
        statuses = []
        for _ in range(20):
            mock_clock.jump(1.0)
            statuses.append((await client.upload("photo"))[0])
        assert statuses == [200] * 19 + [429]  # a group's minute is full
        assert (await client.upload("photo", chat_id=PERSON))[0] == 200
        mock_clock.jump(40.0)
        assert (await client.upload("photo"))[0] == 200
        mock_clock.jump(0.5)
        assert (await client.upload("photo"))[0] == 429
        assert len(emulator.deliveries) == 23


def test_files_of_one_size_are_held_back_as_the_open_server_does_it() -> None:
    limits = RateLimits()
    assert [limits.equal_size_delay_s(1, 100_000, 0.0) for _ in range(9)] == [0.0] * 9  # small ones never
    held = [limits.equal_size_delay_s(1, 5_000_000, 0.0) for _ in range(15)]
    assert held[:3] == [0.0, 0.0, 0.0]  # half a second each, after a second's worth for free
    assert held[3:13] == [pytest.approx(0.5 * n) for n in range(1, 11)]
    assert held[14] is None  # more than five seconds behind
    assert limits.equal_size_delay_s(1, 5_000_001, 0.0) == 0.0
    assert limits.equal_size_delay_s(2, 5_000_000, 0.0) == 0.0


async def test_latency_passes_before_every_answer(autojump_clock: MockClock) -> None:
    async with running_with_client(latency_s=5) as (_, client):
        started = trio.current_time()
        await client.call("getMe")
        assert trio.current_time() - started >= 5


async def test_old_deliveries_are_dropped_at_the_bound_and_counted_all_the_same() -> None:
    async with running_with_client(keep=2) as (emulator, client):
        messages = [(await client.upload("audio"))[1]["result"] for _ in range(4)]
        assert [delivery.seq for delivery in emulator.deliveries] == [3, 4]
        oldest = {"chat_id": GROUP, "message_id": messages[0]["message_id"]}
        assert refusal(await client.call("deleteMessage", json=oldest))[0] == 400


def test_a_token_of_another_form_is_refused_at_once_and_not_shown() -> None:
    with pytest.raises(ValueError, match="token must be digits") as refused:
        EmulatorSettings(["canary"], CHATS)
    assert "canary" not in str(refused.value)
    assert "canary" not in repr(EmulatorSettings(["1:canary"], CHATS))
