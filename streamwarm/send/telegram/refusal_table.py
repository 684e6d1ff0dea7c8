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
from streamwarm.send.telegram import remedies


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
    """This chat is set aside for jobs of this kind alone: it takes the others. No attempt is used up."""

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


def _bot(code: int | None, words: str, source: str, remedy: str) -> Row:
    return _row(Verdict.PAUSE_BOT, ErrorCode.UNAUTHORIZED, code, words, source, remedy)


def _chat(code: int | None, words: str, source: str, remedy: str) -> Row:
    return _row(Verdict.PAUSE_CHAT, ErrorCode.CHAT_UNAVAILABLE, code, words, source, remedy)


# Rows about waiting and the bot come first, then those about the chat, then those about the file.
ROWS: tuple[Row, ...] = (
    _row(
        Verdict.COOLDOWN,
        ErrorCode.RATE_LIMITED,
        429,
        "",
        "bots/api#responseparameters, retry_after; Query.cpp, set_retry_after_error",
    ),
    _row(
        Verdict.COOLDOWN,
        ErrorCode.RATE_LIMITED,
        None,
        "flood_wait_|slowmode_wait_|flood_premium_wait_|too many requests: retry after ",
        "td: NetQueryDelayer.cpp; Client.cpp, fail_query_with_error makes a 500 of a 429 in other words",
    ),
    _bot(
        None,
        "api-id/api-hash|api_id_invalid|api_id_published_flood",
        "Client.cpp, get_closing_error: a server that Telegram does not know",
        remedies.SET_API_ID,
    ),
    _bot(
        None,
        "logged out",
        "Client.cpp, get_closing_error: 400 `Logged out` for ten minutes and more after logOut",
        remedies.LOGGED_OUT,
    ),
    _bot(
        401,
        "",
        "ClientManager.cpp, send; Client.cpp, get_closing_error",
        remedies.SET_TOKEN,
    ),
    _bot(
        None,
        "auth_key_|session_revoked|session_expired|access_token_|user_deactivated_ban",
        "https://core.telegram.org/api/errors, 401 and 406, which Client.cpp, fail_query_with_error, makes a 400",
        remedies.SET_TOKEN,
    ),
    _bot(
        421,
        "",
        "ClientManager.cpp, send: `unallowed token specified`",
        remedies.OTHER_SERVER,
    ),
    _bot(
        None,
        "frozen_",
        "Telegram's core: 406 FROZEN_METHOD_INVALID, which Client.cpp, fail_query_with_error, makes a 400",
        remedies.APPEAL,
    ),
    _row(
        Verdict.PAUSE_KIND,
        ErrorCode.DESTINATION_UNAVAILABLE,
        404,
        "method not found",
        "Client.cpp, on_cmd",
        remedies.OLD_SERVER,
    ),
    _row(
        Verdict.MIGRATE,
        ErrorCode.CHAT_UNAVAILABLE,
        None,
        "group chat was upgraded|group chat was migrated",
        "bots/api#responseparameters, migrate_to_chat_id; Client.cpp, check_chat_access",
        remedies.NAME_NEW_ID,
    ),
    _chat(
        None,
        "chat_send_media_forbidden|chat_send_plain_forbidden|rights to send text|rights to send the rich message",
        "Telegram's core: a chat that takes no media at all",
        remedies.GIVE_RIGHT,
    ),
    _row(
        Verdict.PAUSE_KIND,
        ErrorCode.CHAT_UNAVAILABLE,
        None,
        "rights to send animation|rights to send audio|rights to send music|rights to send document|rights to send file"
        "|rights to send photo|rights to send video|rights to send voice|rights to send sticker|rights to send gif"
        "|chat_send_|voice_messages_forbidden|restricted receiving of v|restricts receiving of v",
        "td: MessageContent.cpp, can_send_message_content; DialogManager.cpp; Telegram's core: CHAT_SEND_…_FORBIDDEN",
        remedies.GIVE_KIND,
    ),
    _chat(
        None,
        "payment_required|balance_too_low|premium_account_required|privacy_premium_required",
        "Telegram's core: 403, which Client.cpp, fail_query_with_error, makes a 400; td: MessagesManager.cpp",
        remedies.CHAT_CHARGES,
    ),
    _chat(
        None,
        "topic_closed",
        "Telegram's core: a topic, the General one too, that is closed",
        remedies.OPEN_TOPIC,
    ),
    _chat(
        None,
        "topic_deleted|topic_id_invalid|message thread not found|forum topic identifier|topic identifier specified"
        "|chat doesn't have topics|can't access the topic|threads can't be used",
        "Client.cpp, TdOnCheckForumTopicCallback; td: MessagesManager.cpp, can_use_forum_topic_id",
        remedies.NAME_TOPIC,
    ),
    _chat(
        None,
        "blocked by the user|can't initiate conversation|user_is_blocked|you_blocked_user",
        "Client.cpp, fail_query_with_error; td: MessagesManager.cpp, process_send_message_fail_error",
        remedies.START_BOT,
    ),
    _chat(
        None,
        "group chat was deleted|group chat was deactivated|user is deactivated|input_user_deactivated|user_is_bot"
        "|can't send messages to the bot|can't send messages to bots",
        "Client.cpp, check_chat_access; td: MessagesManager.cpp, process_send_message_fail_error",
        remedies.CHAT_GONE,
    ),
    _chat(
        None,
        "chat not found|peer_id_invalid|chat_id is empty|channel_private|channel_invalid|chat_id_invalid"
        "|chat is not accessible|can't access the chat",
        "Client.cpp, TdOnCheckChatCallback and check_chat_access; td: MessagesManager.cpp",
        remedies.OTHER_CHAT,
    ),
    _chat(
        None,
        "not enough rights|have no rights|have no write access|chat_write_forbidden|chat_admin_required"
        "|need administrator rights|chat_restricted|chat_guest_send_forbidden|user_banned_in_channel"
        "|send_as_peer_invalid",
        "td: MessageContent.cpp, can_send_message_content; DialogManager.cpp, can_send_message",
        remedies.GIVE_RIGHT,
    ),
    _chat(
        403,
        "",
        "Client.cpp, check_chat_access and fail_query_with_error: kicked, left",
        remedies.OTHER_CHAT,
    ),
    _bot(
        404,
        "",
        "what api.telegram.org answers to a token of the wrong form",
        remedies.SET_TOKEN,
    ),
    _chat(
        500,
        "sent message was immediately deleted",
        "Client.cpp, delete_message",
        remedies.STOP_DELETING,
    ),
    _row(
        Verdict.PERMANENT,
        ErrorCode.BAD_PHOTO,
        400,
        "photo_invalid_dimensions|image_process_failed|photo_ext_invalid|photo_save_file_invalid"
        "|photo has unsupported extension|photo must be non-empty|dimensions of the photo",
        "td: Photo.cpp; MessagesManager.cpp, process_send_message_fail_error; Telegram's core",
        remedies.PHOTO_REMEDY,
    ),
    _row(
        Verdict.PERMANENT,
        ErrorCode.TOO_LARGE,
        413,
        "",
        "HttpConnection.cpp: a body over the server's limit",
        remedies.BODY_LIMIT,
    ),
    _row(
        Verdict.PERMANENT,
        ErrorCode.TOO_LARGE,
        None,
        "too big|entity too large",
        "td: files/FileManager.cpp, check_local_location",
        remedies.SMALLER_FILE,
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
    "that does not say what is at fault: check the file, and the bot's rights in the chat",
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
