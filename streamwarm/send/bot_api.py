"""The Telegram Bot API as values: which method takes which kind, its limits, its replies and its errors. Pure.

Source of names and numbers: https://core.telegram.org/bots/api.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from streamwarm.errors import DestinationError, ErrorCode, InvalidOptions
from streamwarm.model import JsonObject, Kind

MB = 1_000_000
"""Telegram writes "50 MB" and does not say which; the smaller reading never starts an upload that is refused."""

PHOTO_BYTES = 10 * MB
CLOUD_BYTES = 50 * MB
LOCAL_SERVER_BYTES = 2000 * MB
CAPTION_CHARACTERS = 1024
REPLY_BYTES = 1 << 20
"""More than any `Message`; a longer answer is no answer."""

UNAUTHORIZED_PAUSE_S = 300.0
"""A revoked token is tried again this often: mending it takes a person, and a restart that reads the new one."""


@frozen
class Method:
    """One sending method: its name, the field that takes the file, and the options it knows."""

    name: str
    file_field: str
    options: frozenset[str]


def _method(name: str, file_field: str, *options: str) -> Method:
    return Method(name, file_field, frozenset(options))


METHODS: Mapping[Kind, Method] = {
    Kind.PHOTO: _method("sendPhoto", "photo", "caption", "has_spoiler"),
    Kind.VIDEO: _method(
        "sendVideo", "video", "caption", "duration", "width", "height", "supports_streaming", "has_spoiler"
    ),
    Kind.AUDIO: _method("sendAudio", "audio", "caption", "duration", "performer", "title"),
    Kind.DOCUMENT: _method("sendDocument", "document", "caption"),
    Kind.ANIMATION: _method("sendAnimation", "animation", "caption", "duration", "width", "height", "has_spoiler"),
    Kind.VOICE: _method("sendVoice", "voice", "caption", "duration"),
    Kind.VIDEO_NOTE: _method("sendVideoNote", "video_note", "duration"),
}

_OPTION_TYPES: Mapping[str, type[Any]] = {
    "caption": str,
    "performer": str,
    "title": str,
    "duration": int,
    "width": int,
    "height": int,
    "supports_streaming": bool,
    "has_spoiler": bool,
    "fallback": str,
}

FALLBACK = "document"
"""The only `options.fallback`: how a photo goes that Telegram does not take as one. Ours, and never sent."""

PHOTO_REMEDY = f'send it as kind document, set options.fallback to "{FALLBACK}", or resize it'

_TYPE_WORDS = {str: "text", int: "a whole number, 0 or more", bool: "true or false"}


def check_options(options: JsonObject) -> None:
    """Raise `InvalidOptions` for an option that Telegram does not have or a value it would not take.

    An option that the job's kind has no use for (a caption on a video note) is allowed and not sent, as Telegram
    itself ignores it: a bot may give one set of options to all kinds.
    """
    for name, value in options.items():
        expected = _OPTION_TYPES.get(name)
        if expected is None:
            raise InvalidOptions(f"options.{name[:64]}: there is no such option; allowed: {', '.join(_OPTION_TYPES)}")
        # bool is an int to Python; not to Telegram.
        if type(value) is not expected or (expected is int and not 0 <= value < 2**31):
            raise InvalidOptions(f"options.{name}: must be {_TYPE_WORDS[expected]}")
        if expected is str and _has_surrogate(value):
            raise InvalidOptions(f"options.{name}: must be valid Unicode text")
    if options.get("fallback", FALLBACK) != FALLBACK:
        raise InvalidOptions(f'options.fallback: must be "{FALLBACK}"')
    if len(options.get("caption", "")) > CAPTION_CHARACTERS:
        raise InvalidOptions(f"options.caption: at most {CAPTION_CHARACTERS} characters")


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def max_bytes(kind: Kind, *, local_server: bool) -> int:
    if kind is Kind.PHOTO:
        return PHOTO_BYTES
    return LOCAL_SERVER_BYTES if local_server else CLOUD_BYTES


def form_fields(kind: Kind, chat_id: int | str, options: JsonObject) -> list[tuple[str, str]]:
    """The text fields of a send: silent always, since a warm-up chat is read by nobody."""
    fields = [("chat_id", str(chat_id)), ("disable_notification", "true")]
    for name in sorted(METHODS[kind].options & options.keys()):
        value = options[name]
        fields.append((name, value if isinstance(value, str) else json.dumps(value)))
    return fields


def file_name(r2_key: str, kind: Kind) -> str:
    """The object's last path segment, which Telegram shows and reads the type from.

    Control characters and those that turn the direction of writing are replaced, and so is what a form has to escape or
    servers disagree on: Telegram would show the escape.
    """
    name = r2_key.rstrip("/").rpartition("/")[2][-200:]
    name = "".join(c if c.isprintable() and c not in _NOT_IN_NAMES else "_" for c in name)
    return name if name.strip(". ") else kind.value


_NOT_IN_NAMES = frozenset('"\\')


@frozen
class Reply:
    """What a send brought back. `kind` is as returned: a silent mp4 sent as video comes back an animation."""

    file_id: str
    file_unique_id: str
    kind: str
    chat_id: int
    message_id: int

    def as_result(self) -> dict[str, Any]:
        return {
            "file_id": self.file_id,
            "file_unique_id": self.file_unique_id,
            "kind": self.kind,
            "chat_id": self.chat_id,
            "message_id": self.message_id,
        }


# The order matters: a Message with `animation` has `document` too, for backward compatibility.
_FILE_KEYS = ("animation", "video", "audio", "voice", "video_note", "photo", "document", "sticker")


def read_reply(status: int, body: bytes, *, retry_after: str | None = None) -> Reply:
    """The reference in an answer to a send. Raises `DestinationError` for every answer without one."""
    answer = _parse(status, body)
    if answer.get("ok") is not True:
        raise read_error(status, answer, retry_after=retry_after)
    message = answer.get("result")
    if isinstance(message, dict):
        for key in _FILE_KEYS:
            found = message.get(key)
            file = _largest(found) if isinstance(found, list) else found
            if isinstance(file, dict) and isinstance(file.get("file_id"), str):
                return Reply(
                    file_id=file["file_id"],
                    file_unique_id=str(file.get("file_unique_id", "")),
                    kind=key,
                    chat_id=_integer(message.get("chat"), "id"),
                    message_id=_integer(message, "message_id"),
                )
    raise DestinationError(
        ErrorCode.DESTINATION_UNAVAILABLE, "Telegram answered ok, but its message holds no file; it is tried again"
    )


def _parse(status: int, body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict):
        return answer
    if status in {413, 429}:  # proxies answer these without JSON
        return {}
    raise DestinationError(
        ErrorCode.DESTINATION_UNAVAILABLE,
        f"the Bot API answered HTTP {status} with something that is not JSON; a proxy or an outage is in the way",
    )


def _largest(sizes: list[Any]) -> Any:
    """A photo comes as a list of sizes; the largest is the original."""
    photos = [size for size in sizes if isinstance(size, dict)]
    return max(photos, key=_pixels_and_bytes, default=None)


def _pixels_and_bytes(size: Any) -> tuple[int, int]:
    return _integer(size, "width") * _integer(size, "height"), _integer(size, "file_size")


def _integer(mapping: Any, key: str) -> int:
    value = mapping.get(key) if isinstance(mapping, dict) else None
    return value if isinstance(value, int) else 0


# 400 with one of these in its description will pass: the server rewrites codes that it does not know to 400.
_PASSING = ("internal", "timeout", "timed out", "try again", "temporarily", "flood", "worker_busy", "restart")
_BAD_PHOTO = ("photo_invalid_dimensions", "image_process_failed", "photo_ext_invalid", "photo_save_file_invalid")
_NO_CHAT = ("chat not found", "peer_id_invalid", "chat_write_forbidden", "not enough rights", "chat_admin_required")


def read_error(status: int, answer: Mapping[str, Any], *, retry_after: str | None = None) -> DestinationError:
    """What a refusal means: by its code, and for 400 by its description."""
    code = answer.get("error_code")
    code = code if isinstance(code, int) else status
    said = answer.get("description")
    said = f"Telegram answered {code}: {said[:200]}" if isinstance(said, str) else f"Telegram answered {code}"
    folded = said.lower()
    if code == 429:
        return _rate_limited(said, answer, retry_after)
    if code in {401, 404}:
        return DestinationError(
            ErrorCode.UNAUTHORIZED,
            f"{said}; the bot's token is not valid: set a new one from @BotFather and restart",
            retry_after_s=UNAUTHORIZED_PAUSE_S,
            counts=False,
            pauses_destination=True,
        )
    if code == 413 or "too big" in folded or "entity too large" in folded:
        return DestinationError(ErrorCode.TOO_LARGE, said)
    if code == 403 or any(word in folded for word in _NO_CHAT):
        return DestinationError(
            ErrorCode.CHAT_UNAVAILABLE, f"{said}; add the bot to the warm-up chat, or name another in `chats`"
        )
    if code >= 500 or any(word in folded for word in _PASSING):
        return DestinationError(ErrorCode.DESTINATION_UNAVAILABLE, said)
    if any(word in folded for word in _BAD_PHOTO):
        return DestinationError(ErrorCode.BAD_PHOTO, f"{said}: {PHOTO_REMEDY}")
    return DestinationError(ErrorCode.DESTINATION_REFUSED, said)


def _rate_limited(said: str, answer: Mapping[str, Any], header: str | None) -> DestinationError:
    parameters = answer.get("parameters")
    seconds: float = _integer(parameters, "retry_after")
    if seconds <= 0 and header and header.isascii() and header.isdigit():
        seconds = float(header)
    return DestinationError(
        ErrorCode.RATE_LIMITED, said, retry_after_s=max(seconds, 1.0), counts=False, pauses_destination=True
    )
