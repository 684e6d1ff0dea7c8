"""The settings of a Telegram destination. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import Attribute, field, frozen

from streamwarm.errors import InvalidOptions
from streamwarm.settings.checks import BadValue, one_of, split_url
from streamwarm.settings.secret import SecretStr
from streamwarm.settings.telegram_options import check_options

_TOKEN = re.compile(r"[0-9]{1,20}:[A-Za-z0-9_-]{1,256}")
_CHAT = re.compile(r"(-?[1-9][0-9]{0,18}|@[A-Za-z0-9_]{3,64})(/[1-9][0-9]{0,9})?")

_BASE_URL = re.compile(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]*)?")
"""The token is appended to it, so nothing may turn the token into part of another host, a query or a fragment."""


def _check_token(_: object, __: Attribute[Any], value: SecretStr) -> None:
    if not _TOKEN.fullmatch(value):
        raise BadValue("must look like 123456:ABC-DEF, as @BotFather gave it")


def _check_base_url(_: object, __: Attribute[Any], value: str) -> None:
    if not _is_base_url(value):
        raise BadValue("must be a plain URL such as https://api.telegram.org, without credentials or a query")


def _is_base_url(value: str) -> bool:
    try:
        return bool(_BASE_URL.fullmatch(value)) and bool(split_url(value).hostname)
    except ValueError:
        return False


def _check_chats(_: object, __: Attribute[Any], value: tuple[int | str, ...]) -> None:
    if not value:
        raise BadValue("must name at least one warm-up chat")
    chats = [str(chat) for chat in value]
    if not all(_CHAT.fullmatch(chat) for chat in chats):
        raise BadValue(
            "each must be a chat's number, such as -1001234567890, or a public @name; "
            'a topic of it stands behind a slash, such as "-1001234567890/42"'
        )
    if len({chat.lower() for chat in chats}) < len(chats):
        raise BadValue("must not name a chat twice; the case of an @name does not matter")


def _check_defaults(_: object, __: Attribute[Any], value: Mapping[str, Any]) -> None:
    try:
        check_options(value, prefix="")
    except InvalidOptions as error:
        raise BadValue(str(error)) from None


@frozen(kw_only=True)
class TelegramSettings:
    """`[destinations.<name>]` with `type = "telegram"`."""

    type: str = "telegram"
    token: SecretStr = field(validator=_check_token)
    token_file: Path | None = None
    chats: tuple[int | str, ...] = field(validator=_check_chats)
    base_url: str = field(default="https://api.telegram.org", validator=_check_base_url)
    local_server: bool = False
    handoff: str = field(default="never", validator=one_of("never", "auto"))
    handoff_unverified: bool = False
    on_unknown: str = field(default="retry", validator=one_of("retry", "hold"))
    delete_message: bool = False
    probe: str = field(default="auto", validator=one_of("auto", "off"))
    rates: str = field(default="telegram", validator=one_of("telegram", "none"))
    defaults: Mapping[str, Any] = field(factory=dict, validator=_check_defaults)
    """Options for every job; what the job itself names wins."""
