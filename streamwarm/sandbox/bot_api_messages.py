"""The Bot API's objects as JSON: User, Chat, File, Message and the media inside
(https://core.telegram.org/bots/api)."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from streamwarm.model import Kind
from streamwarm.sandbox.file_ids import Extra, StoredFile, file_id

_PHOTO_SIDES = (1280, 800, 320, 90)
"""The longest sides of the versions that Telegram makes of a photo (types y, x, m and s), largest first."""


@frozen
class Chat:
    """`type`: `private`, `group`, `supergroup` or `channel`. `topics` are ids of topics that it has at the start."""

    type: str
    title: str = "Sandbox"
    topics: tuple[int, ...] = ()


@frozen
class Bot:
    """A bot account. The number at the start of its token is its id."""

    token: str = field(repr=False)

    @property
    def id(self) -> int:
        return int(self.token.partition(":")[0])


@frozen
class MediaDetails:
    """What a message shows of a file beside what its id holds. Empty for a send by `file_id`."""

    file_name: str | None = None
    mime_type: str | None = None
    performer: str | None = None
    title: str | None = None
    cover: StoredFile | None = None


def user_json(bot: Bot) -> dict[str, Any]:
    """Return a `User` as `getMe` answers it."""
    return {
        "id": bot.id,
        "is_bot": True,
        "first_name": "Sandbox",
        "username": f"sandbox{bot.id}_bot",
        "can_join_groups": True,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
    }


def chat_json(chat_id: int, chat: Chat) -> dict[str, Any]:
    """Return a `Chat`. People have a first name, all others a title."""
    name = "first_name" if chat.type == "private" else "title"
    return {"id": chat_id, "type": chat.type, name: chat.title}


def chat_full_info_json(chat_id: int, chat: Chat) -> dict[str, Any]:
    """Return a `ChatFullInfo` as `getChat` answers it, with the members that every chat has."""
    return {
        **chat_json(chat_id, chat),
        "accent_color_id": 0,
        "max_reaction_count": 11,
        "accepted_gift_types": {
            "unlimited_gifts": False,
            "limited_gifts": False,
            "unique_gifts": False,
            "premium_subscription": False,
            "gifts_from_channels": False,
        },
    }


def message_json(
    bot: Bot, chat_id: int, chat: Chat, *, message_id: int, at: float, topic: int | None = None
) -> dict[str, Any]:
    """Return a `Message` without content. In a channel the chat itself is the sender."""
    chat_object = chat_json(chat_id, chat)
    sender = {"sender_chat": chat_object} if chat.type == "channel" else {"from": _sender_json(bot)}
    in_topic = {} if topic is None else {"message_thread_id": topic, "is_topic_message": True}
    return {"message_id": message_id, **in_topic, **sender, "chat": chat_object, "date": int(at)}


def media_json(bot: Bot, file: StoredFile, details: MediaDetails) -> dict[str, Any]:
    """Return the members of a `Message` that show a file. They depend on its kind."""
    if file.kind is Kind.PHOTO:
        return {"photo": _photo_sizes(bot, file)}
    common = {**_file_json(bot, file), **_thumbnail_json(bot, file)}
    named = {**common, **_present(file_name=details.file_name, mime_type=details.mime_type)}
    framed = {"width": file.width, "height": file.height, "duration": file.duration_s}
    match file.kind:
        case Kind.VIDEO:
            cover = {} if details.cover is None else {"cover": _photo_sizes(bot, details.cover)}
            return {"video": {**named, **framed, **cover}}
        case Kind.ANIMATION:
            # Telegram sends `document` beside `animation` for old clients. A reader must check `animation` first.
            return {"animation": {**named, **framed}, "document": named}
        case Kind.AUDIO:
            tags = _present(performer=details.performer, title=details.title)
            return {"audio": {**named, "duration": file.duration_s, **tags}}
        case Kind.VOICE:
            mime_type = details.mime_type or "audio/ogg"
            return {"voice": {**common, "duration": file.duration_s, "mime_type": mime_type}}
        case Kind.VIDEO_NOTE:
            return {"video_note": {**common, "length": file.width, "duration": file.duration_s}}
        case Extra.STICKER:
            return {"sticker": {**common, **_sticker_json(file, details)}}
        case _:
            return {"document": named}


def file_json(bot: Bot, file: StoredFile) -> dict[str, Any]:
    """Return a `File` as `getFile` answers it."""
    return {**_file_json(bot, file), "file_path": f"{file.kind}s/{file.unique_id}"}


def _sender_json(bot: Bot) -> dict[str, Any]:
    user = user_json(bot)
    return {name: user[name] for name in ("id", "is_bot", "first_name", "username")}


def _sticker_json(file: StoredFile, details: MediaDetails) -> dict[str, Any]:
    is_animated = details.mime_type == "application/x-tgsticker"
    size = {"width": file.width, "height": file.height}
    return {"type": "regular", **size, "is_animated": is_animated, "is_video": False}


def _thumbnail_json(bot: Bot, file: StoredFile) -> dict[str, Any]:
    """Return a file's thumbnail under both of its names: the older one still stands in answers, too."""
    small = file.thumbnail_file
    if small is None:
        return {}
    picture = {**_file_json(bot, small), "width": small.width, "height": small.height}
    return {"thumbnail": picture, "thumb": picture}


def _photo_sizes(bot: Bot, file: StoredFile) -> list[dict[str, Any]]:
    """Return the sizes in ascending order, as Telegram does. Only sides smaller than the photo's get a version."""
    longest = max(file.width, file.height)
    versions = [file.scaled(index + 1, side) for index, side in enumerate(_PHOTO_SIDES) if side < longest]
    return [
        {**_file_json(bot, version), "width": version.width, "height": version.height}
        for version in [*reversed(versions), file]
    ]


def _file_json(bot: Bot, file: StoredFile) -> dict[str, Any]:
    return {
        "file_id": file_id(file, bot_id=bot.id, token=bot.token),
        "file_unique_id": file.unique_id,
        "file_size": file.bytes,
    }


def _present(**members: str | None) -> dict[str, str]:
    return {name: value for name, value in members.items() if value is not None}
