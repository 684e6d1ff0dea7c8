"""What a refusal of the Bot API means for the job, the chat and the bot: a table, and how it is read. Pure.

The error code alone does not decide: the server rewrites codes that it does not know to 400, so the description does
(telegram-bot-api, `Client::fail_query_with_error`). Rows are tried in order; the first that fits counts. Sources are
https://core.telegram.org/bots/api, and the open server and its library, https://github.com/tdlib/telegram-bot-api and
https://github.com/tdlib/td, by file and function.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from attrs import frozen

from streamwarm.errors import LONGEST_WAIT_S, DestinationError, ErrorCode, LaneMoved
from streamwarm.redact import knows_no_secrets, quote
from streamwarm.send.destination import UNAUTHORIZED_PAUSE_S


class Verdict(StrEnum):
    """What follows a refusal."""

    PERMANENT = "permanent"
    """The job fails: Telegram would refuse it again."""

    RETRY = "retry"
    """Another attempt, with back-off."""

    PAUSE_BOT = "pause_bot"
    """This bot can send nothing until a person fixes it. Its jobs wait, and no attempt is used up."""

    PAUSE_CHAT = "pause_chat"
    """This chat is set aside and the bot's next chat is used. No attempt is used up."""

    COOLDOWN = "cooldown"
    """429: nothing is sent to the chat, or by the bot, until `retry_after` has passed. No attempt is used up."""

    MIGRATE = "migrate"
    """The same attempt is sent to the chat's new id at once."""

    UNKNOWN = "unknown"
    """An error word of Telegram's core that the table lacks. It may be temporary: another attempt, with back-off."""


CHAT_SET_ASIDE_S = 3600.0
"""How often a chat that is set aside is tried again. Each try costs a whole upload; a person who has fixed the chat can
use `streamwarm resume` instead of waiting."""

CHAT_WINDOW_S = 60.0
"""The longest wait that a chat's own rate explains (20 per minute in a group). A longer one is a penalty of unknown
cause, so the whole bot pauses, as python-telegram-bot does after every 429 (`AIORateLimiter`)."""


@frozen
class Row:
    """One rule. It fits an answer with this `code` (None: any) that contains one of `words`, in lower case (empty:
    any)."""

    verdict: Verdict
    error: ErrorCode
    code: int | None
    words: tuple[str, ...]
    source: str
    remedy: str = ""

    def fits(self, code: int, folded: str) -> bool:
        return self.code in {None, code} and (not self.words or any(word in folded for word in self.words))


def _row(verdict: Verdict, error: ErrorCode, code: int | None, words: str, source: str, remedy: str = "") -> Row:
    """`words` are separated by bars."""
    return Row(verdict, error, code, tuple(filter(None, words.split("|"))), source, remedy)


PHOTO_REMEDY = 'send it as kind document, set options.fallback to "document", or resize it'
_SET_TOKEN = "the bot's token is not valid: set a new one from @BotFather and restart"  # noqa: S105
_OTHER_CHAT = "add the bot to the warm-up chat and `streamwarm resume` it, or name another in `chats`"
_GIVE_RIGHT = "give the bot the right to send there and `streamwarm resume` it, or name another chat in `chats`"
_STOP_DELETING = (
    "something there deletes the bot's messages: stop it and `streamwarm resume` the bot, or name another chat"
)

# Rows about the bot come first, then those about the chat, then those about the file.
ROWS: tuple[Row, ...] = (
    _row(
        Verdict.COOLDOWN,
        ErrorCode.RATE_LIMITED,
        429,
        "",
        "bots/api#responseparameters, retry_after; Query.cpp, set_retry_after_error",
    ),
    _row(
        Verdict.PAUSE_BOT,
        ErrorCode.UNAUTHORIZED,
        401,
        "",
        "ClientManager.cpp, send; Client.cpp, get_closing_error",
        _SET_TOKEN,
    ),
    _row(
        Verdict.PAUSE_BOT,
        ErrorCode.UNAUTHORIZED,
        421,
        "",
        "ClientManager.cpp, send: `unallowed token specified`",
        "this Bot API server does not serve that bot (its --filter option)",
    ),
    _row(
        Verdict.PERMANENT,
        ErrorCode.DESTINATION_REFUSED,
        404,
        "method not found",
        "Client.cpp, on_cmd",
        "the Bot API server is too old for this kind",
    ),
    _row(
        Verdict.PAUSE_BOT,
        ErrorCode.UNAUTHORIZED,
        404,
        "",
        "what api.telegram.org answers to a token of the wrong form",
        _SET_TOKEN,
    ),
    _row(
        Verdict.PAUSE_BOT,
        ErrorCode.UNAUTHORIZED,
        406,
        "frozen",
        "Client.cpp, fail_query_with_error: FROZEN_METHOD_INVALID",
        "Telegram has frozen the bot's account; its owner can appeal",
    ),
    _row(
        Verdict.MIGRATE,
        ErrorCode.CHAT_UNAVAILABLE,
        400,
        "group chat was upgraded|group chat was migrated",
        "bots/api#responseparameters, migrate_to_chat_id; Client.cpp, check_chat_access",
        "name the supergroup's id in `chats`",
    ),
    _row(
        Verdict.PAUSE_CHAT,
        ErrorCode.CHAT_UNAVAILABLE,
        403,
        "",
        "Client.cpp, check_chat_access and fail_query_with_error: kicked, left, blocked, deleted",
        _OTHER_CHAT,
    ),
    _row(
        Verdict.PAUSE_CHAT,
        ErrorCode.CHAT_UNAVAILABLE,
        400,
        "chat not found|peer_id_invalid|chat_id is empty|channel_private|chat_id_invalid",
        "Client.cpp, TdOnCheckChatCallback and check_chat_access",
        _OTHER_CHAT,
    ),
    _row(
        Verdict.PAUSE_CHAT,
        ErrorCode.CHAT_UNAVAILABLE,
        400,
        "not enough rights|have no write access|chat_write_forbidden|chat_admin_required|need administrator rights"
        "|chat_restricted|chat_send_|topic_closed|user_is_blocked",
        "td: MessageContent.cpp, can_send_message_content; DialogManager.cpp, can_send_message",
        _GIVE_RIGHT,
    ),
    _row(
        Verdict.PAUSE_CHAT,
        ErrorCode.CHAT_UNAVAILABLE,
        500,
        "sent message was immediately deleted",
        "Client.cpp, delete_message",
        _STOP_DELETING,
    ),
    _row(Verdict.PERMANENT, ErrorCode.TOO_LARGE, 413, "", "HttpConnection.cpp: a body over the server's limit"),
    _row(
        Verdict.PERMANENT,
        ErrorCode.TOO_LARGE,
        None,
        "too big|entity too large",
        "td: files/FileManager.cpp, check_local_location",
    ),
    _row(
        Verdict.PERMANENT,
        ErrorCode.BAD_PHOTO,
        400,
        "photo_invalid_dimensions|image_process_failed|photo_ext_invalid|photo_save_file_invalid"
        "|photo has unsupported extension|photo must be non-empty",
        "td: MessagesManager.cpp, process_send_message_fail_error; Telegram's core",
        PHOTO_REMEDY,
    ),
    _row(
        Verdict.RETRY,
        ErrorCode.DESTINATION_UNAVAILABLE,
        400,
        "internal|timeout|timed out|try again|temporarily|flood|worker_busy|restart|aborted|file_part|failed to upload"
        "|failed to reupload|file size has changed|was modified|can't download or generate",
        "Client.cpp, fail_query_with_error (codes that it does not know become 400); td: files/FileManager.cpp",
    ),
    _row(
        Verdict.PERMANENT,
        ErrorCode.DESTINATION_REFUSED,
        400,
        "wrong file identifier|wrong remote file|caption is too long|caption_too_long|can't parse|must be non-empty"
        "|there is no |video_content_type_invalid|voice_messages_forbidden|wrong type of the web page"
        "|failed to get http url|can't upload file by url|wrong http url",
        "Client.cpp, fail_query_with_error and the process_send_… methods",
    ),
)

UNKNOWN_WORD = _row(
    Verdict.UNKNOWN,
    ErrorCode.DESTINATION_REFUSED,
    400,
    "",
    "an error word of Telegram's core, in capitals (https://core.telegram.org/api/errors), that no row has",
)
REFUSED = _row(
    Verdict.PERMANENT,
    ErrorCode.DESTINATION_REFUSED,
    None,
    "",
    "any other 4xx, in words: the server has read the request and would refuse it again",
)
UNAVAILABLE = _row(
    Verdict.RETRY, ErrorCode.DESTINATION_UNAVAILABLE, None, "", "5xx (RFC 9110, 15.6), or a refusal that names no error"
)
_CORE_WORD = re.compile(r"(?:Bad Request: )?[A-Z0-9]+(?:_[A-Z0-9]+)+")


def row_of(code: int, description: str) -> Row:
    """Return the rule for a refusal."""
    folded = description.lower()
    for row in ROWS:
        if row.fits(code, folded):
            return row
    if not 400 <= code < 500:
        return UNAVAILABLE
    return UNKNOWN_WORD if code == 400 and _CORE_WORD.fullmatch(description) else REFUSED


def read_error(
    status: int,
    answer: Mapping[str, Any],
    *,
    retry_after: str | None = None,
    redact: Callable[[str], str] = knows_no_secrets,
) -> DestinationError:
    """Return the error for a refusal. `retry_after` is that header; `redact` masks the secrets in its words."""
    code = answer.get("error_code")
    code = code if isinstance(code, int) else status
    description = given if isinstance(given := answer.get("description"), str) else ""
    row = row_of(code, description)
    said = f"Telegram answered {code}: {quote(description, redact)}" if description else f"Telegram answered {code}"
    said = f"{said}; {row.remedy}" if row.remedy else said
    parameters = answer.get("parameters")
    parameters = parameters if isinstance(parameters, dict) else {}
    match row.verdict:
        case Verdict.COOLDOWN:
            return _rate_limited(said, parameters.get("retry_after"), retry_after)
        case Verdict.MIGRATE:
            return _moved(said, parameters.get("migrate_to_chat_id"))
        case Verdict.PAUSE_CHAT:
            return _chat_unavailable(said)
        case Verdict.PAUSE_BOT:
            return DestinationError(
                row.error, said, retry_after_s=UNAUTHORIZED_PAUSE_S, counts=False, pauses_destination=True
            )
        case verdict:
            return DestinationError(row.error, said, permanent=verdict is Verdict.PERMANENT)


def _rate_limited(said: str, seconds: Any, header: str | None) -> DestinationError:
    """Return the error for a 429. The dispatcher finds out whose limit it was (`Limits.cool_down_lane`)."""
    is_given = type(seconds) in {int, float} and seconds > 0
    if not is_given and header and header.isascii() and header.isdigit():
        seconds = int(header[:10])
    wait_s = float(min(seconds, LONGEST_WAIT_S)) if type(seconds) in {int, float} and seconds > 0 else 1.0
    is_chat_limit = is_given and wait_s <= CHAT_WINDOW_S  # without `parameters` it is a proxy's
    return DestinationError(
        ErrorCode.RATE_LIMITED,
        said,
        retry_after_s=wait_s,
        counts=False,
        pauses_lane=is_chat_limit,
        pauses_destination=not is_chat_limit,
    )


def _moved(said: str, new_id: Any) -> DestinationError:
    if type(new_id) is int and 0 < abs(new_id) < 2**63:
        return LaneMoved(said, str(new_id), retry_after_s=CHAT_SET_ASIDE_S)
    return _chat_unavailable(said)


def _chat_unavailable(said: str) -> DestinationError:
    return DestinationError(
        ErrorCode.CHAT_UNAVAILABLE, said, retry_after_s=CHAT_SET_ASIDE_S, counts=False, pauses_lane=True
    )
