"""Proves destinations without sending an object: a bot by `getMe` and its chats by `getChat`, a bucket by a listing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from attrs import frozen

from streamwarm.errors import DestinationError
from streamwarm.send.s3.destination import S3Destination
from streamwarm.send.telegram.bot_api import REPLY_BYTES
from streamwarm.send.telegram.handoff import is_within_reach
from streamwarm.send.telegram.refusals import read_error
from streamwarm.settings.s3 import S3Settings
from streamwarm.settings.telegram import TelegramSettings


@frozen
class Finding:
    """One thing that was looked at. `detail` says what was found or, where it failed, what to do."""

    what: str
    ok: bool
    detail: str


Tell = Callable[[Finding], None]
"""Takes a finding as soon as it is made: what a later one waits for does not hold it back."""


async def prove_telegram(name: str, settings: TelegramSettings, client: httpx.AsyncClient, tell: Tell) -> None:
    """A finding for the bot, and for each of its chats. Raises nothing of httpx's."""
    what = f"{name}: bot"
    me = await _ask(settings, client, "getMe", {})
    if isinstance(me, str):
        tell(Finding(what, False, me))
        for chat in settings.chats:
            tell(Finding(f"{name}: chat {chat}", False, "not asked: the bot itself failed, see its line"))
        return
    tell(Finding(what, True, f"@{me.get('username', '?')}, id {me.get('id', '?')}"))
    for chat in settings.chats:
        found = await _ask(settings, client, "getChat", {"chat_id": chat})
        if isinstance(found, str):
            tell(Finding(f"{name}: chat {chat}", False, found))
        else:
            title = found.get("title") or found.get("username") or found.get("first_name") or ""
            tell(Finding(f"{name}: chat {chat}", True, f"{found.get('type', 'chat')} {title}".strip()))


def prove_handoff(name: str, settings: TelegramSettings, bucket_url: str) -> Finding:
    """Whether Telegram could reach the bucket at all, by its host's name; nothing is asked."""
    what = f"{name}: hand-off"
    try:
        bucket = httpx.URL(bucket_url).host
    except httpx.InvalidURL:
        bucket = ""  # the bucket's own finding says so
    if is_within_reach(bucket, asked_at=httpx.URL(settings.base_url).host):
        return Finding(what, True, f"small objects are for Telegram to fetch from {bucket}")
    return Finding(
        what,
        False,
        f"{bucket or 'the bucket'} is not public, so Telegram can fetch nothing there and everything is streamed; "
        'set handoff = "never", or r2.endpoint_url to a public address',
    )


async def prove_s3(name: str, settings: S3Settings, destination: S3Destination, tell: Tell) -> None:
    """A finding for the bucket. Whether it can be written to only a write would tell."""
    what = f"{name}: bucket"
    try:
        await destination.check()
    except DestinationError as error:
        tell(Finding(what, False, error.message))
    else:
        tell(Finding(what, True, f"{settings.bucket} at {settings.endpoint_url} can be listed"))


async def _ask(
    settings: TelegramSettings, client: httpx.AsyncClient, method: str, params: Mapping[str, Any]
) -> Mapping[str, Any] | str:
    """The method's result, or why there is none."""
    url = f"{settings.base_url.rstrip('/')}/bot{settings.token}/{method}"
    try:
        status, body = await _post(client, url, params)
        answer = json.loads(body)
    except httpx.HTTPError as exc:
        # Never its text: the URL in it holds the token.
        return f"{settings.base_url} does not answer ({type(exc).__name__}); check base_url and the network"
    except (ValueError, RecursionError):
        return f"{settings.base_url} answered something that is not JSON; check base_url, and proxies in the way"
    if not isinstance(answer, dict) or not isinstance(answer.get("result"), dict):
        return read_error(status, answer if isinstance(answer, dict) else {}).message
    result: Mapping[str, Any] = answer["result"]
    return result


async def _post(client: httpx.AsyncClient, url: str, params: Mapping[str, Any]) -> tuple[int, bytes]:
    async with client.stream("POST", url, json=dict(params)) as response:
        body = b""
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > REPLY_BYTES:
                break
        return response.status_code, body
