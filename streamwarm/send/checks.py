"""Checks destinations without sending an object: a bot by `getMe`, its chats by `getChat`, a bucket by a listing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from attrs import frozen

from streamwarm.errors import DestinationError
from streamwarm.send.s3.destination import S3Destination
from streamwarm.send.telegram.bot_api import REPLY_BYTES
from streamwarm.send.telegram.chats import chat_of
from streamwarm.send.telegram.handoff import is_within_reach
from streamwarm.send.telegram.refusals import read_error
from streamwarm.settings.accounts import account_of
from streamwarm.settings.s3 import S3Settings
from streamwarm.settings.telegram import TelegramSettings


@frozen
class Finding:
    """The result of one check. `detail` is what was found or, if the check failed, what to do."""

    what: str
    ok: bool
    detail: str


Report = Callable[[Finding], None]
"""Takes each finding as soon as it is made, so that a slow check does not delay the findings before it."""


async def check_telegram(
    name: str, settings: TelegramSettings, client: httpx.AsyncClient, redact: Callable[[str], str], report: Report
) -> None:
    """Report a finding for the bot and one for each of its chats. Never raises httpx's exceptions.

    `redact` masks the secrets in what the Bot API says.
    """
    what = f"{name}: bot"
    me = await _ask(settings, client, redact, "getMe", {})
    if isinstance(me, str):
        report(Finding(what, False, me))
        for chat in settings.chats:
            report(Finding(f"{name}: chat {chat}", False, "not asked: the bot itself failed, see its line"))
        return
    report(_bot_finding(what, account_of(settings), me))
    known: dict[tuple[object, str | None], int | str] = {}
    for chat in settings.chats:
        found = await _ask(settings, client, redact, "getChat", {"chat_id": chat_of(chat).chat_id})
        if isinstance(found, str):
            report(Finding(f"{name}: chat {chat}", False, found))
        elif (twin := known.setdefault((str(found.get("id")), chat_of(chat).topic), chat)) != chat:
            report(Finding(f"{name}: chat {chat}", False, f"it is the same chat as {twin}: remove one from `chats`"))
        else:
            title = found.get("title") or found.get("username") or found.get("first_name") or ""
            report(Finding(f"{name}: chat {chat}", True, f"{found.get('type', 'chat')} {title}".strip()))


def account_words(account: str) -> str:
    """Say whose references a destination's records are."""
    return f"its records are those of account {account}"


def _bot_finding(what: str, account: str, me: Mapping[str, Any]) -> Finding:
    if str(me.get("id")) != account:
        detail = (
            f"the token names bot {account}, but bot {me.get('id', '?')} answers, whose references are others; "
            "check token and base_url"
        )
        return Finding(what, False, detail)
    return Finding(what, True, f"@{me.get('username', '?')}, id {account}; {account_words(account)}")


def check_handoff(name: str, settings: TelegramSettings, bucket_url: str) -> Finding:
    """Check by the bucket's host name whether Telegram could reach it. Sends nothing."""
    what = f"{name}: hand-off"
    try:
        bucket = httpx.URL(bucket_url).host
    except httpx.InvalidURL:
        bucket = ""  # the bucket's own finding reports this
    if is_within_reach(bucket, asked_at=httpx.URL(settings.base_url).host):
        return Finding(what, True, f"Telegram can fetch small objects from {bucket}")
    return Finding(
        what,
        False,
        f"{bucket or 'the bucket'} is not public, so Telegram cannot fetch from it and everything is streamed; "
        'set handoff = "never", or r2.endpoint_url to a public address',
    )


async def check_s3(name: str, settings: S3Settings, destination: S3Destination, report: Report) -> None:
    """Report a finding for the bucket. Only a write would show whether it can be written to."""
    what = f"{name}: bucket"
    try:
        await destination.check()
    except DestinationError as error:
        report(Finding(what, False, error.message))
    else:
        found = f"{settings.bucket} at {settings.endpoint_url} can be listed; {account_words(account_of(settings))}"
        report(Finding(what, True, found))


async def _ask(
    settings: TelegramSettings,
    client: httpx.AsyncClient,
    redact: Callable[[str], str],
    method: str,
    params: Mapping[str, Any],
) -> Mapping[str, Any] | str:
    """Return the method's result, or the reason why it has none."""
    url = f"{settings.base_url.rstrip('/')}/bot{settings.token}/{method}"
    try:
        status, body = await _post(client, url, params)
        answer = json.loads(body)
    except httpx.HTTPError as exc:
        # Never the exception's text: the URL in it holds the token.
        return f"{settings.base_url} does not answer ({type(exc).__name__}); check base_url and the network"
    except (ValueError, RecursionError):
        return f"{settings.base_url} answered something that is not JSON; check base_url, and any proxy in between"
    if not isinstance(answer, dict) or not isinstance(answer.get("result"), dict):
        return read_error(status, answer if isinstance(answer, dict) else {}, redact=redact).message
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
