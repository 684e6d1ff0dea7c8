"""What bots and chats of the emulator refuse, in Telegram's own words: rights by chat and kind, bots that are out, and
topics. No I/O.

Rules can be added and removed while the emulator runs. Words are those of the open server and its library
(https://github.com/tdlib/telegram-bot-api: `Client::get_closing_error`, `TdOnCheckForumTopicCallback`;
https://github.com/tdlib/td: MessageContent.cpp, `can_send_message_content`), or what Telegram's core answers.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from attrs import define, field, frozen

from streamwarm.model import Kind
from streamwarm.sandbox.bot_api_messages import Chat
from streamwarm.sandbox.bot_api_replies import BotApiError, bad_request
from streamwarm.sandbox.file_ids import Extra, FileKind

MAX_REFUSALS = 1000
"""How many rules there may be at once."""

_PLURALS: Mapping[FileKind, str] = {
    Kind.PHOTO: "photos",
    Kind.VIDEO: "videos",
    Kind.AUDIO: "music",
    Kind.DOCUMENT: "documents",
    Kind.ANIMATION: "animations",
    Kind.VOICE: "voice notes",
    Kind.VIDEO_NOTE: "video notes",
    Extra.STICKER: "stickers",
}
_PRIVATE_WORDS: Mapping[FileKind, str] = {
    Kind.VOICE: "VOICE_MESSAGES_FORBIDDEN",
    Kind.VIDEO_NOTE: "user restricted receiving of video messages",
}
_HASH_RANGE = 1 << 32


class BotTrouble(StrEnum):
    """Why a bot cannot be used. Each description has what the server answers."""

    LOGGED_OUT = "logged_out"
    """400 `Logged out` to every method, for ten minutes and more after logOut."""

    FROZEN = "frozen"
    """400 `Bad Request: FROZEN_METHOD_INVALID` to every method that changes something; those that read work."""

    WRONG_API_ID = "wrong_api_id"
    """401 `Unauthorized: invalid api-id/api-hash` to every method: the server was started with a wrong one."""

    REVOKED = "revoked"
    """401 `Unauthorized` to every method."""


_TROUBLES: Mapping[BotTrouble, tuple[int, str]] = {
    BotTrouble.LOGGED_OUT: (400, "Logged out"),
    BotTrouble.FROZEN: (400, "Bad Request: FROZEN_METHOD_INVALID"),
    BotTrouble.WRONG_API_ID: (401, "Unauthorized: invalid api-id/api-hash"),
    BotTrouble.REVOKED: (401, "Unauthorized"),
}


@frozen
class ChatRefusal:
    """One rule: the sends that match it are refused after their upload, with `status` and `description`.

    `bot_id`, `chat_id` and `topic` limit which sends match; None means any. `kinds` empty means every kind, and texts.
    `share` is the share of files that match. A file matches always or never, whichever bot sends it. Other chats refuse
    other files, unless `chat_id` is None: then all chats refuse the same. Without a description, it is the server's own
    for a missing right. Raises `ValueError` if members do not fit together.
    """

    chat_id: int | None = None
    bot_id: int | None = None
    topic: int | None = None
    kinds: tuple[Kind, ...] = ()
    share: float = 1.0
    status: int = 400
    description: str | None = None

    def __attrs_post_init__(self) -> None:
        if self.topic is not None and self.chat_id is None:
            raise ValueError("a topic belongs to a chat: give chat_id, too")
        if not 0 < self.share <= 1:
            raise ValueError("share must be above 0 and at most 1")
        if not 400 <= self.status <= 599:
            raise ValueError(f"status {self.status} is not a refusal: use 400 to 599")

    def hits(self, send: Send) -> bool:
        return (
            self.chat_id in (None, send.chat_id)
            and self.bot_id in (None, send.bot_id)
            and self.topic in (None, send.topic)
            and (not self.kinds or send.kind in self.kinds)
            and (self.share == 1 or _number_of(self.chat_id, send.file) < self.share * _HASH_RANGE)
        )

    def words(self, chat: Chat, kind: FileKind | None) -> str:
        """Return the description of the refusal."""
        if self.description is not None:
            return self.description
        if not self.kinds or kind is None:
            return "Bad Request: have no rights to send a message"
        if chat.type == "private" and kind in _PRIVATE_WORDS:
            return f"Bad Request: {_PRIVATE_WORDS[kind]}"
        return f"Bad Request: not enough rights to send {_PLURALS[kind]} to the chat"


@frozen
class Send:
    """What a rule decides by. `kind` is None for a text. `file` is the digest of an upload, or the `file_id` or address
    without its query."""

    bot_id: int
    chat_id: int
    topic: int | None
    kind: FileKind | None
    file: str


class Refused(NamedTuple):
    """What was refused: the key of a count."""

    bot_id: int
    chat_id: int
    topic: int | None
    kind: FileKind | None
    description: str


@define
class Rights:
    """All rules of one emulator, and how often they refused something. At most `MAX_REFUSALS` rules."""

    refused: Counter[Refused] = field(factory=Counter)
    _refusals: list[ChatRefusal] = field(factory=list)
    _bots: dict[int, BotTrouble] = field(factory=dict)
    _topics: dict[int, frozenset[int]] = field(factory=dict)

    @property
    def refusals(self) -> Sequence[ChatRefusal]:
        return tuple(self._refusals)

    @property
    def bots(self) -> Mapping[int, BotTrouble]:
        """The bots that are out, by id."""
        return dict(self._bots)

    @property
    def topics(self) -> Mapping[int, frozenset[int]]:
        """The topics of each chat that has any."""
        return dict(self._topics)

    def refuse(self, *refusals: ChatRefusal) -> None:
        """Add rules. Of those that match a send, the oldest answers. Raises `ValueError` if there are too many."""
        if len(self._refusals) + len(refusals) > MAX_REFUSALS:
            raise ValueError(f"more than {MAX_REFUSALS} refusals: clear them first")
        self._refusals.extend(refusals)

    def clear_refusals(self) -> None:
        """Remove all rules for chats. The counts stay."""
        self._refusals.clear()

    def set_bot(self, bot_id: int, trouble: BotTrouble | None) -> None:
        """Put a bot out, or with None back in."""
        if trouble is None:
            self._bots.pop(bot_id, None)
        else:
            self._bots[bot_id] = trouble

    def clear_bots(self) -> None:
        self._bots.clear()

    def set_topics(self, chat_id: int, topics: Sequence[int]) -> None:
        """Let a chat have exactly these topics."""
        self._topics[chat_id] = frozenset(topics)

    def check_bot(self, bot_id: int, method: str) -> None:
        """Raise `BotApiError` if the bot is out. `method` is in lower case."""
        trouble = self._bots.get(bot_id)
        if trouble is None or (trouble is BotTrouble.FROZEN and method.startswith("get")):
            return
        raise BotApiError(*_TROUBLES[trouble])

    def check_send(self, send: Send, chat: Chat) -> None:
        """Raise `BotApiError` if the chat has no such topic, or if a rule refuses the send."""
        if send.topic is not None and send.topic not in self._topics.get(send.chat_id, frozenset()):
            raise bad_request("message thread not found")
        for rule in self._refusals:
            if rule.hits(send):
                words = rule.words(chat, send.kind)
                self.refused[Refused(send.bot_id, send.chat_id, send.topic, send.kind, words)] += 1
                raise BotApiError(rule.status, words)


def _number_of(chat_id: int | None, file: str) -> int:
    """Return a number below `_HASH_RANGE` that is always the same for a file, and another for each chat."""
    return int.from_bytes(hashlib.sha256(f"{chat_id}/{file}".encode()).digest()[:4], "big")
