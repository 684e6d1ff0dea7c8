"""What Telegram does with a request whose body has been read: rules, limits, messages. No I/O.

Refusals have the Bot API's own wording where it has one, because clients decide by it.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, evolve, field, frozen

from streamwarm.model import Kind
from streamwarm.sandbox.bot_api_media import Media
from streamwarm.sandbox.bot_api_messages import (
    Bot,
    Chat,
    chat_full_info_json,
    file_json,
    media_json,
    message_json,
    user_json,
)
from streamwarm.sandbox.bot_api_pictures import MIB
from streamwarm.sandbox.bot_api_rates import RateLimits, RateRules
from streamwarm.sandbox.bot_api_replies import BotApiError, bad_request, too_many_requests
from streamwarm.sandbox.bot_api_rights import Rights, Send
from streamwarm.sandbox.file_ids import Extra, FileKind, file_id, read_file_id
from streamwarm.sandbox.form_reader import Form, is_true, number

MAX_UPLOAD_BYTES = 50 * MIB
MAX_LOCAL_UPLOAD_BYTES = 2000 * MIB
MAX_GET_FILE_BYTES = 20 * MIB
MAX_CAPTION_CHARS = 1024
MAX_TEXT_CHARS = 4096

SEND_METHODS: Mapping[str, FileKind] = {f"send{kind.replace('_', '')}": kind for kind in (*Kind, Extra.STICKER)}
"""Method names in lower case, because the Bot API ignores case."""

_WITH_SPOILER = frozenset({Kind.PHOTO, Kind.VIDEO, Kind.ANIMATION})

_CHAT_ID = re.compile(r"-?[0-9]{1,18}")


@frozen
class Delivery:
    """One delivered message with a file. `seq` counts from 1 without gaps; `at` is in Unix seconds.

    `kind` is the one returned, and `width`, `height` and `duration_s` are what the answer says. `origin` is `upload`,
    `file_id` or `url`. `file_name` and `content_type` are what the sender named. `fields` are the request's other
    texts, each cut at `MAX_CAPTION_CHARS`. `thumbnail_sha256` and `cover_sha256` are of pictures that were taken.
    """

    seq: int
    bot_id: int
    chat_id: int
    message_id: int
    method: str
    kind: FileKind
    origin: str
    file_id: str
    file_unique_id: str
    sha256: str
    bytes: int
    file_name: str | None
    content_type: str | None
    caption: str | None
    fields: Mapping[str, str]
    at: float
    width: int = 0
    height: int = 0
    duration_s: int = 0
    thumbnail_sha256: str | None = None
    cover_sha256: str | None = None


@define
class Telegram:
    """Bots, chats, messages and rates of one sandbox. At most `keep` deliveries and undeleted messages are kept."""

    bots: Mapping[str, Bot] = field(repr=False)
    chats: Mapping[int, Chat]
    now: Callable[[], float]
    local_server: bool = False
    strict_images: bool = False
    enforce_rates: bool = False
    rate_rules: RateRules = field(factory=RateRules)
    keep: int = 100_000
    deliveries: deque[Delivery] = field(init=False, repr=False)
    delivered: int = field(init=False, default=0)
    rights: Rights = field(init=False, factory=Rights)
    _rates: RateLimits = field(init=False)
    _last_message_id: int = field(init=False, default=0)
    _messages: OrderedDict[tuple[int, int], None] = field(init=False, factory=OrderedDict, repr=False)

    def __attrs_post_init__(self) -> None:
        self.deliveries = deque(maxlen=self.keep)
        self._rates = RateLimits(self.rate_rules)
        for chat_id, chat in self.chats.items():
            if chat.topics:
                self.rights.set_topics(chat_id, chat.topics)

    @property
    def max_upload_bytes(self) -> int:
        return MAX_LOCAL_UPLOAD_BYTES if self.local_server else MAX_UPLOAD_BYTES

    def call(self, bot: Bot, method: str, form: Form) -> Any:
        """Return the result of a method that sends no media. `method` is in lower case. Raises `BotApiError`."""
        match method:
            case "getme":
                return user_json(bot)
            case "getchat":
                chat_id, chat = self.chat_of(form.fields)
                return chat_full_info_json(chat_id, chat)
            case "getfile":
                return self._get_file(bot, form.fields.get("file_id", ""))
            case "sendmessage":
                self.check_send(bot, None, form)
                return self._send_message(bot, form.fields)
            case "deletemessage":
                return self._delete_message(form.fields)
            case _:
                raise BotApiError(404, "Not Found: method not found")

    def chat_of(self, fields: Mapping[str, str]) -> tuple[int, Chat]:
        """Return the chat that a request names. Raises `BotApiError` if there is no such chat."""
        if not fields.get("chat_id"):
            raise bad_request("chat_id is empty")
        chat_id = chat_id_of(fields)
        if chat_id is None or chat_id not in self.chats:
            raise bad_request("chat not found")
        return chat_id, self.chats[chat_id]

    def check_send(self, bot: Bot, kind: FileKind | None, form: Form) -> None:
        """Raise `BotApiError` if there is no such chat or topic, or if it refuses this file. None: a text."""
        chat_id, chat = self.chat_of(form.fields)
        reference = "" if kind is None else form.fields.get(kind.value, "")
        upload = None if kind is None else form.part(kind.value)
        file = reference.partition("?")[0] if upload is None else upload.sha256
        self.rights.check_send(Send(bot.id, chat_id, topic_of(form.fields), kind, file), chat)

    def equal_size_delay_s(self, bot: Bot, form: Form) -> float:
        """Return how long a request is delayed because of others with files of the same size. Raises `BotApiError`
        (429)."""
        size_bytes = sum(upload.bytes for upload in form.files.values())
        if not self.enforce_rates or self.local_server or not size_bytes:
            return 0.0
        wait_s = self._rates.equal_size_delay_s(bot.id, size_bytes, self.now())
        if wait_s is None:
            raise too_many_requests(60)
        return wait_s

    def send_media(
        self,
        bot: Bot,
        method: str,
        media: Media,
        fields: Mapping[str, str],
        *,
        returned_as: Kind | None = None,
    ) -> dict[str, Any]:
        """Add a message to its chat and return it. Raises `BotApiError`."""
        caption = fields.get("caption")
        if len(caption or "") > MAX_CAPTION_CHARS:
            raise bad_request("message caption is too long")
        file = evolve(media.file, kind=returned_as) if returned_as else media.file
        message = self._new_message(bot, fields)
        message |= media_json(bot, file, media.details)
        if caption:
            message["caption"] = caption
        message |= _shown_as(file.kind, fields)
        self._note_delivery(bot, method, evolve(media, file=file), message, fields)
        return message

    def _note_delivery(
        self, bot: Bot, method: str, media: Media, message: Mapping[str, Any], fields: Mapping[str, str]
    ) -> None:
        file, cover = media.file, media.details.cover
        self.delivered += 1
        self.deliveries.append(
            Delivery(
                seq=self.delivered,
                bot_id=bot.id,
                chat_id=message["chat"]["id"],
                message_id=message["message_id"],
                method=method,
                kind=file.kind,
                origin=media.origin,
                file_id=file_id(file, bot_id=bot.id, token=bot.token),
                file_unique_id=file.unique_id,
                sha256=file.sha256,
                bytes=file.bytes,
                file_name=media.sent_name,
                content_type=media.sent_type,
                caption=fields.get("caption"),
                fields=_other_texts(method, fields),
                at=self.now(),
                width=file.width,
                height=file.height,
                duration_s=file.duration_s,
                thumbnail_sha256=media.thumbnail_sha256,
                cover_sha256=None if cover is None else cover.sha256,
            )
        )

    def _new_message(self, bot: Bot, fields: Mapping[str, str]) -> dict[str, Any]:
        chat_id, chat = self.chat_of(fields)
        now = self.now()
        if self.enforce_rates:
            group = chat.type in ("group", "supergroup")
            wait_s = self._rates.take(bot.id, chat_id, group=group, now=now)
            if wait_s > 0:
                raise too_many_requests(max(1, math.ceil(wait_s)))
        self._last_message_id += 1
        self._messages[chat_id, self._last_message_id] = None
        while len(self._messages) > self.keep:
            self._messages.popitem(last=False)
        return message_json(bot, chat_id, chat, message_id=self._last_message_id, at=now, topic=topic_of(fields))

    def _send_message(self, bot: Bot, fields: Mapping[str, str]) -> dict[str, Any]:
        text = fields.get("text", "")
        if not text:
            raise bad_request("message text is empty")
        if len(text) > MAX_TEXT_CHARS:
            raise bad_request("message is too long")
        return {**self._new_message(bot, fields), "text": text}

    def _delete_message(self, fields: Mapping[str, str]) -> bool:
        chat_id, _ = self.chat_of(fields)
        key = (chat_id, number(fields.get("message_id"), 0))
        if key not in self._messages:
            raise bad_request("message to delete not found")
        del self._messages[key]
        return True

    def _get_file(self, bot: Bot, text: str) -> dict[str, Any]:
        file = read_file_id(text, token=bot.token)
        if file is None:
            raise bad_request("invalid file_id")
        if file.bytes > MAX_GET_FILE_BYTES and not self.local_server:
            raise bad_request("file is too big")
        return file_json(bot, file)


def chat_id_of(fields: Mapping[str, str]) -> int | None:
    """Return the chat id that a request names, whether or not the chat exists, or None if it is not a number."""
    text = fields.get("chat_id", "")
    return int(text) if _CHAT_ID.fullmatch(text) else None


def topic_of(fields: Mapping[str, str]) -> int | None:
    """Return the topic that a request names. The server takes what is not a number for none."""
    return number(fields.get("message_thread_id"), 0) or None


def _shown_as(kind: FileKind, fields: Mapping[str, str]) -> dict[str, bool]:
    """Return the members of a `Message` that say how a picture is shown. They are there only if they are true."""
    spoiler = kind in _WITH_SPOILER and is_true(fields.get("has_spoiler"))
    above = kind in _WITH_SPOILER and is_true(fields.get("show_caption_above_media")) and bool(fields.get("caption"))
    members = {"has_media_spoiler": spoiler, "show_caption_above_media": above}
    return {name: shown for name, shown in members.items() if shown}


def _other_texts(method: str, fields: Mapping[str, str]) -> dict[str, str]:
    shown = {"caption", SEND_METHODS[method].value}
    return {name: text[:MAX_CAPTION_CHARS] for name, text in fields.items() if name not in shown}
