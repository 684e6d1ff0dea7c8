"""What the emulator's tests share: a running emulator, a client, and uploads made by hand."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx
import trio

from streamwarm.sandbox.bot_api import BotApiEmulator, Chat, EmulatorSettings, serve_bot_api

TOKEN = "4242:AA-first_bot"
OTHER_TOKEN = "5151:AA-other_bot"
GROUP = -1001
CHANNEL = -1002
PERSON = 77
CHATS = {GROUP: Chat("supergroup"), CHANNEL: Chat("channel", "News"), PERSON: Chat("private", "Ann")}


@asynccontextmanager
async def running(*, now: Callable[[], float] = time.time, **settings: Any) -> AsyncIterator[BotApiEmulator]:
    """An emulator with two bots and three chats, gone at the end of the block."""
    async with trio.open_nursery() as nursery:
        serve = partial(serve_bot_api, EmulatorSettings([TOKEN, OTHER_TOKEN], CHATS, **settings), now=now)
        yield await nursery.start(serve)
        nursery.cancel_scope.cancel()


class Client:
    """A bot as plain HTTP requests; every call answers `(status, JSON)`."""

    def __init__(self, emulator: BotApiEmulator, http: httpx.AsyncClient, token: str = TOKEN) -> None:
        self.url = f"{emulator.base_url}/bot{token}"
        self.http = http

    async def call(self, method: str, **request: Any) -> tuple[int, dict[str, Any]]:
        answer = await self.http.post(f"{self.url}/{method}", **request)
        return answer.status_code, answer.json()

    async def upload(
        self,
        kind: str,
        content: bytes = b"content",
        *,
        name: str = "file.bin",
        chat_id: int = GROUP,
        **fields: str,
    ) -> tuple[int, dict[str, Any]]:
        method = "send" + kind.title().replace("_", "")
        files = {kind: (name, content, "application/octet-stream")}
        return await self.call(method, data={"chat_id": str(chat_id), **fields}, files=files)


@asynccontextmanager
async def running_with_client(**settings: Any) -> AsyncIterator[tuple[BotApiEmulator, Client]]:
    async with running(**settings) as emulator, httpx.AsyncClient(timeout=30) as http:
        yield emulator, Client(emulator, http)


async def connect(emulator: BotApiEmulator) -> trio.SocketStream:
    """A bare connection, for what no well-behaved client does."""
    address = urlsplit(emulator.base_url)
    return await trio.open_tcp_stream(address.hostname or "", address.port or 0)


async def read_to_end(stream: trio.SocketStream) -> bytes:
    """Everything that comes until the peer closes, cleanly or not."""
    received = bytearray()
    try:
        async for piece in stream:
            received += piece
    except trio.BrokenResourceError:
        pass
    return bytes(received)


def upload_frame(content_bytes: int, *, kind: str = "video", chat_id: int = GROUP) -> tuple[bytes, bytes]:
    """What stands before and after the content of an upload of that length: request head and form."""
    before = (
        f'--B\r\nContent-Disposition: form-data; name="chat_id"\r\n\r\n{chat_id}\r\n'
        f'--B\r\nContent-Disposition: form-data; name="{kind}"; filename="a.bin"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    after = b"\r\n--B--\r\n"
    head = (
        f"POST /bot{TOKEN}/send{kind.title().replace('_', '')} HTTP/1.1\r\nHost: sandbox\r\n"
        f"Content-Type: multipart/form-data; boundary=B\r\n"
        f"Content-Length: {len(before) + content_bytes + len(after)}\r\n\r\n"
    ).encode()
    return head + before, after


def refusal(answer: tuple[int, dict[str, Any]]) -> tuple[int, str]:
    """Status and description of an answer that must be a refusal."""
    status, reply = answer
    assert reply["ok"] is False
    assert reply["error_code"] == status
    return status, reply["description"]
