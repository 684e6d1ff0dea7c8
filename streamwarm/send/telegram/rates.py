"""The rates at which Telegram takes a bot's messages. Pure.

"Avoid sending more than one message per second" in a chat, "20 messages per minute to the same group", "about 30
messages per second" in all: https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this. Telegram
calls its figures approximate and enforces them at its core, not in the open Bot API server.
"""

from __future__ import annotations

from collections.abc import Iterable

from streamwarm.send.destination import LaneRates, Quota, Rates
from streamwarm.send.telegram.chats import chat_id_of

BOT = Quota(30, 1.0)
GROUP = Quota(20, 60.0)
CHAT_SPACING_S = 1.0

_SPACED_BYTES = 100_000
_SPACING_S_PER_BYTE = 1e-7
_LEAST_SPACING_S, _MOST_SPACING_S = 0.2, 0.9


def telegram_rates(chats: Iterable[int | str], *, local_server: bool) -> Rates:
    """Return the rates of a bot with these warm-up chats. A server in local mode does not space equal sizes.

    Telegram counts a chat's messages, so the topics of one chat share its budget.
    """
    lanes = {
        str(chat): LaneRates(CHAT_SPACING_S, (GROUP,) if is_group(chat) else (), budget=chat_id_of(chat))
        for chat in chats
    }
    spacing = _no_spacing if local_server else equal_size_spacing_s
    return Rates((BOT,), lanes, spacing, budget_at=chat_id_of)


def unlimited_rates(chats: Iterable[int | str]) -> Rates:
    """Return rates without limits: the chats take turns, as fast as they take messages. Topics of one chat share its
    cooldown."""
    return Rates(lanes={str(chat): LaneRates(budget=chat_id_of(chat)) for chat in chats}, budget_at=chat_id_of)


def _no_spacing(_: int) -> float:
    return 0.0


def is_group(chat: int | str) -> bool:
    """Whether a chat has a group's rate.

    Groups, supergroups and channels have negative ids or @names; a person's id is positive. python-telegram-bot found
    that channels count as groups (`AIORateLimiter`). An @name does not show which it is.
    """
    return str(chat).startswith(("-", "@"))


def equal_size_spacing_s(size_bytes: int) -> float:
    """Return the seconds between two files of this exact size from one bot (telegram-bot-api, `Client::on_cmd`).

    The server itself delays requests that come sooner, and refuses them once they are five seconds behind.
    """
    if size_bytes <= _SPACED_BYTES:
        return 0.0
    return min(max(size_bytes * _SPACING_S_PER_BYTE, _LEAST_SPACING_S), _MOST_SPACING_S)
