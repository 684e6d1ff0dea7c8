"""What a refusal of the Bot API means for the job, the chat and the bot: a table. Pure.

The error code alone does not decide: the server rewrites codes that it does not know to 400, so the description does
(telegram-bot-api, `Client::fail_query_with_error`). Rows are tried in order; the first that fits counts. Sources are
https://core.telegram.org/bots/api, and the open server and its library, https://github.com/tdlib/telegram-bot-api and
https://github.com/tdlib/td, by file and function.
"""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen

from streamwarm.errors import ErrorCode


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

    PAUSE_KIND = "pause_kind"
    """The same for jobs of this kind: the chat takes the others. No attempt is used up."""

    COOLDOWN = "cooldown"
    """429: nothing is sent to the chat, or by the bot, until `retry_after` has passed. No attempt is used up."""

    MIGRATE = "migrate"
    """The same attempt is sent to the chat's new id at once."""

    UNKNOWN = "unknown"
    """Words that the table lacks. They do not say whether the file, the chat or the bot is at fault, so what becomes of
    other attempts decides (`dispatch/evidence.py`)."""


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
_SET_API_ID = (
    "the Bot API server was started with a wrong --api-id or --api-hash: take them from https://my.telegram.org, "
    "restart that server, and `streamwarm resume` the bot"
)
_LOGGED_OUT = (
    "the bot was logged out of this Bot API server (logOut): set base_url to the server that it moved to and restart, "
    "or wait ten minutes and `streamwarm resume` the bot"
)
_BODY_LIMIT = (
    "raise the limit for a request's body of the Bot API server or the proxy before it (nginx: client_max_body_size); "
    "a server in local mode takes 2000 MB, any other 50 MB"
)
_OTHER_CHAT = "add the bot to the warm-up chat and `streamwarm resume` it, or name another in `chats`"
_GIVE_RIGHT = "give the bot the right to send there and `streamwarm resume` it, or name another chat in `chats`"
_GIVE_KIND = (
    "give the bot the right to send that kind there and `streamwarm resume` it, or name a chat in `chats` that takes it"
)
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
        None,
        "api-id/api-hash|api_id_invalid|api_id_published_flood",
        "Client.cpp, get_closing_error: a server that Telegram does not know",
        _SET_API_ID,
    ),
    _row(
        Verdict.PAUSE_BOT,
        ErrorCode.UNAUTHORIZED,
        None,
        "logged out",
        "Client.cpp, get_closing_error: 400 `Logged out` for ten minutes and more after logOut",
        _LOGGED_OUT,
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
        None,
        "frozen_",
        "Telegram's core: 406 FROZEN_METHOD_INVALID, which Client.cpp, fail_query_with_error, makes a 400",
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
        None,
        "chat_send_media_forbidden|chat_send_plain_forbidden|rights to send text",
        "Telegram's core: a chat that takes no media at all",
        _GIVE_RIGHT,
    ),
    _row(
        Verdict.PAUSE_KIND,
        ErrorCode.CHAT_UNAVAILABLE,
        None,
        "rights to send animation|rights to send audio|rights to send music|rights to send document|rights to send file"
        "|rights to send photo|rights to send video|rights to send voice|rights to send sticker|rights to send gif"
        "|chat_send_|voice_messages_forbidden|restricted receiving of v|restricts receiving of v",
        "td: MessageContent.cpp, can_send_message_content; DialogManager.cpp; Telegram's core: CHAT_SEND_…_FORBIDDEN",
        _GIVE_KIND,
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
        "not enough rights|have no rights|have no write access|chat_write_forbidden|chat_admin_required"
        "|need administrator rights|chat_restricted|chat_guest_send_forbidden|user_is_blocked|user_banned_in_channel"
        "|topic_closed|topic_deleted|message thread not found",
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
    _row(
        Verdict.PERMANENT,
        ErrorCode.TOO_LARGE,
        413,
        "",
        "HttpConnection.cpp: a body over the server's limit",
        _BODY_LIMIT,
    ),
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
        "|photo has unsupported extension|photo must be non-empty|dimensions of the photo",
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
        "|there is no |video_content_type_invalid|wrong type of the web page|entities_too_long|can't use file of type"
        "|wrong video note length|failed to get http url|can't upload file by url|wrong http url",
        "Client.cpp, fail_query_with_error and the process_send_… methods",
    ),
)

UNKNOWN = _row(
    Verdict.UNKNOWN,
    ErrorCode.DESTINATION_REFUSED,
    None,
    "",
    "any other 4xx: Telegram adds words to its core at any time (https://core.telegram.org/api/errors)",
)
UNAVAILABLE = _row(
    Verdict.RETRY, ErrorCode.DESTINATION_UNAVAILABLE, None, "", "5xx (RFC 9110, 15.6), or a refusal that names no error"
)


def row_of(code: int, description: str) -> Row:
    """Return the rule for a refusal."""
    folded = description.lower()
    for row in ROWS:
        if row.fits(code, folded):
            return row
    return UNKNOWN if 400 <= code < 500 else UNAVAILABLE
