"""Media that a request names by its address is fetched as Telegram fetches it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from tests.worlds.bot_api import (
    GROUP,
    refusal,
    running_with_client,
)


@asynccontextmanager
async def web_server(head: bytes, body: bytes) -> AsyncIterator[str]:
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
        yield f"http://127.0.0.1:{port}/media/clip%20one.pdf?X-Amz-Signature=canary"
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


async def test_an_address_nobody_can_dial_is_refused_and_never_shown() -> None:
    async with running_with_client() as (_, client):
        for url in ("http://127.0.0.1:1/canary", "http://[canary", "http://ca nary/", "https://\ud800canary"):
            body = json.dumps({"chat_id": GROUP, "video": url})
            headers = {"Content-Type": "application/json"}
            answer = await client.call("sendVideo", content=body, headers=headers)
            assert refusal(answer) == (400, "Bad Request: failed to get HTTP URL content")
