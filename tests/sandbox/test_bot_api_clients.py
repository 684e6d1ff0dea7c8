"""The bot libraries people use must find in the sandbox what they find at Telegram."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from typing import Any

import aiogram
import pytest
import telegram
import trio
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramBadRequest, TelegramForbiddenError, TelegramRetryAfter
from aiogram.types import BufferedInputFile

from streamwarm.model import Kind
from streamwarm.sandbox.bot_api import BotApiEmulator, Fault, FaultKind
from tests.worlds.bot_api import CHANNEL, GROUP, PERSON, TOKEN, running

Sent = dict[Kind, tuple[str, str]]
"""For each kind the `file_id` of an upload and that of a send by it."""


def content_of(kind: Kind) -> bytes:
    return f"content of a {kind}\r\n--".encode() * 50


async def in_asyncio(run: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Both libraries need asyncio: a thread of its own has it."""
    return await trio.to_thread.run_sync(lambda: asyncio.run(run()))


def file_id_in(message: Any, kind: Kind) -> str:
    media = getattr(message, kind)
    file_id = (media[-1] if kind is Kind.PHOTO else media).file_id
    assert isinstance(file_id, str)
    return file_id


async def send_with_aiogram(base_url: str) -> Sent:
    session = AiohttpSession(api=TelegramAPIServer.from_base(base_url))
    sent: Sent = {}
    async with aiogram.Bot(TOKEN, session=session) as bot:
        for kind in Kind:
            send = getattr(bot, f"send_{kind}")
            upload = BufferedInputFile(content_of(kind), filename=f"clip «{kind}».bin")
            first = await send(GROUP, upload, disable_notification=True)
            again = await send(PERSON, file_id_in(first, kind))
            sent[kind] = (file_id_in(first, kind), file_id_in(again, kind))
        file = await bot.get_file(sent[Kind.VIDEO][0])
        assert file.file_size == len(content_of(Kind.VIDEO))
        assert await bot.delete_message(GROUP, first.message_id) is True
    return sent


async def send_with_telegram(base_url: str) -> Sent:
    sent: Sent = {}
    async with telegram.Bot(TOKEN, base_url=f"{base_url}/bot") as bot:
        for kind in Kind:
            send = getattr(bot, f"send_{kind}")
            first = await send(GROUP, content_of(kind), filename=f"clip «{kind}».bin")
            again = await send(CHANNEL, file_id_in(first, kind))
            sent[kind] = (file_id_in(first, kind), file_id_in(again, kind))
        assert (await bot.get_chat(CHANNEL)).title == "News"
    return sent


def check_deliveries(emulator: BotApiEmulator, sent: Sent) -> None:
    for kind, (uploaded, resent) in sent.items():
        digest = hashlib.sha256(content_of(kind)).hexdigest()
        assert uploaded == resent
        assert emulator.digest_of(uploaded) == digest
        first, again = (delivery for delivery in emulator.deliveries if delivery.kind is kind)
        assert (first.sha256, first.bytes, first.origin) == (digest, len(content_of(kind)), "upload")
        assert first.file_name == f"clip «{kind}».bin"
        assert (again.sha256, again.origin) == (digest, "file_id")


async def test_aiogram_uploads_every_kind_and_sends_it_again_by_its_file_id() -> None:
    async with running() as emulator:
        check_deliveries(emulator, await in_asyncio(lambda: send_with_aiogram(emulator.base_url)))


async def test_python_telegram_bot_uploads_every_kind_and_sends_it_again_by_its_file_id() -> None:
    async with running() as emulator:
        check_deliveries(emulator, await in_asyncio(lambda: send_with_telegram(emulator.base_url)))


async def test_aiogram_raises_its_own_errors_for_the_emulators_refusals() -> None:
    async def refused(base_url: str) -> None:
        session = AiohttpSession(api=TelegramAPIServer.from_base(base_url))
        async with aiogram.Bot(TOKEN, session=session) as bot:
            with pytest.raises(TelegramRetryAfter) as limited:
                await bot.send_video(GROUP, BufferedInputFile(b"x", "x.mp4"))
            assert limited.value.retry_after == 7
            with pytest.raises(TelegramForbiddenError):
                await bot.send_video(GROUP, BufferedInputFile(b"x", "x.mp4"))
            with pytest.raises(TelegramBadRequest, match="chat not found"):
                await bot.send_video(-5, BufferedInputFile(b"x", "x.mp4"))
            with pytest.raises(TelegramBadRequest, match="file must be non-empty"):
                await bot.send_video(GROUP, BufferedInputFile(b"", "x.mp4"))

    async with running() as emulator:
        emulator.inject(
            Fault(FaultKind.RATE_LIMITED, retry_after=7),
            Fault(
                FaultKind.REFUSED,
                status=403,
                description="Forbidden: bot was kicked from the supergroup chat",
            ),
        )
        await in_asyncio(lambda: refused(emulator.base_url))
        assert emulator.deliveries == ()


async def test_python_telegram_bot_raises_its_own_errors_for_the_emulators_refusals() -> None:
    async def refused(base_url: str) -> None:
        async with telegram.Bot(TOKEN, base_url=f"{base_url}/bot") as bot:
            with pytest.raises(telegram.error.ChatMigrated) as moved:
                await bot.send_document(GROUP, b"x")
            assert moved.value.new_chat_id == -1009
            with pytest.raises(telegram.error.BadRequest, match="caption is too long"):
                await bot.send_document(GROUP, b"x", caption="c" * 1025)

    async with running() as emulator:
        emulator.inject(Fault(FaultKind.MIGRATED, migrate_to_chat_id=-1009))
        await in_asyncio(lambda: refused(emulator.base_url))
        assert emulator.deliveries == ()
