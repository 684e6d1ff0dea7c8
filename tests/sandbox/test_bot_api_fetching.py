"""Media that a request names by its address is fetched as Telegram fetches it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from tests.worlds.bot_api import (
    GROUP,
    refusal,
    running_with_client,
)
from tests.worlds.media_files import gif, jpeg, movie


@asynccontextmanager
async def web_server(head: bytes, body: bytes, *, name: str = "clip%20one.pdf") -> AsyncIterator[str]:
    """Answers every GET the same; yields its address, with a secret in it."""

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some(65536)
            length = b"Content-Length: %d\r\n\r\n" % len(body)
            with trio.move_on_after(10):
                await stream.send_all(b"HTTP/1.1 " + head + b"\r\n" + length + body)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, answer, 0)
        port = listeners[0].socket.getsockname()[1]
        yield f"http://127.0.0.1:{port}/media/{name}?X-Amz-Signature=canary"
        nursery.cancel_scope.cancel()


async def test_media_named_by_its_address_is_fetched_and_summed_up() -> None:
    page = web_server(b"200 OK\r\nContent-Type: application/pdf", b"%PDF")
    async with page as url, running_with_client() as (emulator, client):
        assert (await client.call("sendDocument", json={"chat_id": GROUP, "document": url}))[0] == 200
        (delivery,) = emulator.deliveries
        assert (delivery.origin, delivery.bytes, delivery.file_name) == ("url", 4, "clip one.pdf")
        assert "canary" not in repr(delivery)


@pytest.mark.parametrize(
    ("kind", "head", "body", "description"),
    [
        ("document", b"200 OK\r\nContent-Type: video/mp4", b"x", "wrong type of the web page content"),
        ("video_note", b"200 OK\r\nContent-Type: video/mp4", b"x", "wrong type of the web page content"),
        (
            "photo",
            b"200 OK\r\nContent-Type: image/png",
            bytes(5 * 2**20 + 1),
            "failed to get HTTP URL content",
        ),
        (
            "video",
            b"200 OK\r\nContent-Type: video/mp4",
            bytes(20 * 2**20 + 1),
            "failed to get HTTP URL content",
        ),
        ("video", b"403 Forbidden\r\nContent-Type: video/mp4", b"x", "failed to get HTTP URL content"),
        ("video", b"no HTTP", b"", "failed to get HTTP URL content"),
    ],
)
async def test_media_telegram_would_not_fetch_is_refused(kind: str, head: bytes, body: bytes, description: str) -> None:
    async with web_server(head, body) as url, running_with_client() as (emulator, client):
        method = f"send{kind.replace('_', '')}"
        answer = await client.call(method, json={"chat_id": GROUP, kind: url})
        assert refusal(answer) == (400, f"Bad Request: {description}")
        assert emulator.deliveries == ()


async def test_a_voice_message_over_a_megabyte_comes_back_as_a_file_when_it_is_fetched() -> None:
    for size_bytes, kind in ((2**20, "voice"), (2**20 + 1, "document")):
        page = web_server(b"200 OK\r\nContent-Type: audio/ogg", bytes(size_bytes))
        async with page as url, running_with_client() as (_, client):
            status, reply = await client.call("sendVoice", json={"chat_id": GROUP, "voice": url})
            assert (status, kind in reply["result"]) == (200, True)


async def fetched(kind: str, content_type: str, body: bytes, name: str = "clip", **fields: str) -> dict[str, Any]:
    """The message of a send by an address under which `body` is, with a small thumbnail as a part beside it."""
    head = b"200 OK\r\nContent-Type: " + content_type.encode()
    async with web_server(head, body, name=name) as url, running_with_client() as (emulator, client):
        data = {"chat_id": str(GROUP), kind: url, "thumbnail": "attach://small", **fields}
        status, reply = await client.call(f"send{kind}", data=data, files={"small": ("a.jpg", jpeg())})
        assert status == 200, reply
        assert emulator.deliveries[0].thumbnail_sha256 is None
        result: dict[str, Any] = reply["result"]
        return result


async def test_what_the_request_says_of_fetched_media_is_lost() -> None:
    named = {"width": "1080", "height": "1920", "duration": "61", "title": "Song", "performer": "Ann"}
    video = (await fetched("video", "video/mp4", bytes(11 * 2**20), **named))["video"]
    assert (video["width"], video["height"], video["duration"]) == (320, 320, 0)
    assert "thumbnail" not in video
    video = (await fetched("video", "video/mp4", movie(360, 640), **named))["video"]
    assert (video["width"], video["height"], video["duration"], "thumbnail" in video) == (360, 640, 3, True)
    audio = (await fetched("audio", "audio/mpeg", b"x", **named))["audio"]
    assert audio["duration"] == 0
    assert not {"title", "performer", "thumbnail"} & audio.keys()


@pytest.mark.parametrize(
    ("kind", "content_type", "body", "returned"),
    [
        ("video", "video/mp4", movie(sound=False), "animation"),
        ("video", "video/mp4", movie(), "video"),
        ("document", "image/gif", gif(30, 20), "animation"),
        ("document", "application/zip", b"x", "document"),
        ("animation", "image/gif", gif(30, 20), "animation"),
        ("animation", "video/mp4", b"x", "animation"),
    ],
)
async def test_fetched_media_comes_back_as_its_type_says(
    kind: str, content_type: str, body: bytes, returned: str
) -> None:
    message = await fetched(kind, content_type, body, "no-extension", disable_content_type_detection="true")
    assert message[returned]["mime_type"] == content_type
    assert {"animation", "video", "sticker", "audio"} & message.keys() == {returned} - {"document"}


async def test_a_cover_is_fetched_and_stays_with_a_fetched_video() -> None:
    page = web_server(b"200 OK\r\nContent-Type: image/jpeg", jpeg(800, 600))
    async with page as cover, running_with_client() as (_, client):
        status, reply = await client.upload("video", b"x", name="a.mp4", cover=cover)
        assert (status, reply["result"]["video"]["cover"][-1]["width"]) == (200, 800)
    picture = {"files": {"front": ("a.jpg", jpeg(1280, 720))}}
    page = web_server(b"200 OK\r\nContent-Type: video/mp4", movie())
    async with page as url, running_with_client() as (_, client):
        data = {"chat_id": str(GROUP), "video": url, "cover": "attach://front"}
        status, reply = await client.call("sendVideo", data=data, **picture)
        assert (status, reply["result"]["video"]["cover"][-1]["width"]) == (200, 1280)


async def test_an_address_nobody_can_dial_is_refused_and_never_shown() -> None:
    async with running_with_client() as (_, client):
        for url in ("http://127.0.0.1:1/canary", "http://[canary", "http://ca nary/", "https://\ud800canary"):
            body = json.dumps({"chat_id": GROUP, "video": url})
            headers = {"Content-Type": "application/json"}
            answer = await client.call("sendVideo", content=body, headers=headers)
            assert refusal(answer) == (400, "Bad Request: failed to get HTTP URL content")
