"""The Telegram Bot API as values: which method takes which kind, its limits, its replies and its errors. Pure.

Source of names and numbers: https://core.telegram.org/bots/api.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.model import JsonObject, Kind
from streamwarm.redact import Redactor, knows_no_secrets
from streamwarm.send.destination import MAX_REFERENCE_CHARS
from streamwarm.send.telegram.answered import media_of
from streamwarm.send.telegram.chats import chat_of
from streamwarm.send.telegram.refusals import read_error

MB = 1_000_000
"""Telegram writes "50 MB" without saying which kind. With the smaller one, no upload starts that is then refused."""

PHOTO_BYTES = 10 * MB
CLOUD_BYTES = 50 * MB
LOCAL_SERVER_BYTES = 2000 * MB
REPLY_BYTES = 1 << 20
"""More than any `Message` has. A longer answer is not read further."""


@frozen
class Method:
    """One sending method: its name, the field that takes the file, the options it knows that are texts and numbers, and
    those that are files of their own."""

    name: str
    file_field: str
    options: frozenset[str]
    files: tuple[str, ...] = ()


def _method(name: str, file_field: str, *options: str, files: tuple[str, ...] = ()) -> Method:
    return Method(name, file_field, frozenset(options), files)


_THUMBNAIL = ("thumbnail",)


METHODS: Mapping[Kind, Method] = {
    Kind.PHOTO: _method("sendPhoto", "photo", "caption", "has_spoiler"),
    Kind.VIDEO: _method(
        *("sendVideo", "video", "caption", "duration", "width", "height", "supports_streaming", "has_spoiler"),
        files=("thumbnail", "cover"),
    ),
    Kind.AUDIO: _method("sendAudio", "audio", "caption", "duration", "performer", "title", files=_THUMBNAIL),
    Kind.DOCUMENT: _method("sendDocument", "document", "caption", "disable_content_type_detection", files=_THUMBNAIL),
    Kind.ANIMATION: _method(
        "sendAnimation", "animation", "caption", "duration", "width", "height", "has_spoiler", files=_THUMBNAIL
    ),
    Kind.VOICE: _method("sendVoice", "voice", "caption", "duration"),
    Kind.VIDEO_NOTE: _method("sendVideoNote", "video_note", "duration", "length", files=_THUMBNAIL),
}


def max_bytes(kind: Kind, *, local_server: bool) -> int:
    if kind is Kind.PHOTO:
        return PHOTO_BYTES
    return LOCAL_SERVER_BYTES if local_server else CLOUD_BYTES


def form_fields(kind: Kind, lane: int | str, options: JsonObject) -> list[tuple[str, str]]:
    """Return the text fields of a send. Its notification is always off, since nobody reads a warm-up chat."""
    chat = chat_of(lane)
    fields = [("chat_id", chat.chat_id), ("disable_notification", "true")]
    if chat.topic is not None:
        fields.append(("message_thread_id", chat.topic))
    for name in sorted(METHODS[kind].options & options.keys()):
        value = options[name]
        fields.append((name, value if isinstance(value, str) else json.dumps(value)))
    return fields


@frozen
class Reply:
    """The result of a send. `kind` is the one returned: a silent mp4 that was sent as video returns as an animation.

    `media` is what Telegram knows of the file (contract, section 5).
    """

    file_id: str
    file_unique_id: str
    kind: str
    chat_id: int
    message_id: int
    media: JsonObject = field(factory=dict)

    def as_result(self) -> dict[str, Any]:
        return {
            "file_id": self.file_id,
            "file_unique_id": self.file_unique_id,
            "kind": self.kind,
            "chat_id": self.chat_id,
            "message_id": self.message_id,
            "media": self.media,
        }


# The order matters: a Message with `animation` has `document` too, for backward compatibility.
_FILE_KEYS = ("animation", "video", "audio", "voice", "video_note", "photo", "document", "sticker")


def read_reply(
    status: int, body: bytes, *, retry_after: str | None = None, redact: Redactor = knows_no_secrets
) -> Reply:
    """Return the reference in an answer to a send. Raises `DestinationError` if the answer has none.

    The message is sent by then. If its reference cannot be kept, that is `delivery_unknown` and permanent: each further
    attempt would send the file once more, and get the same answer.
    """
    answer = _parse(status, body)
    if answer.get("ok") is not True:
        raise read_error(status, answer, retry_after=retry_after, redact=redact)
    message = answer.get("result")
    if isinstance(message, dict):
        for key in _FILE_KEYS:
            found = message.get(key)
            file = _largest(found) if isinstance(found, list) else found
            file_id = file.get("file_id") if isinstance(file, dict) else None
            if isinstance(file, dict) and isinstance(file_id, str) and file_id:
                return Reply(
                    file_id=_kept("file_id", file_id, redact),
                    file_unique_id=_kept("file_unique_id", file.get("file_unique_id", ""), redact),
                    kind=key,
                    chat_id=_integer(message.get("chat"), "id"),
                    message_id=_integer(message, "message_id"),
                    media=media_of(found, file, redact),
                )
    raise DestinationError(
        ErrorCode.DESTINATION_UNAVAILABLE, "Telegram answered ok, but its message holds no file; it will be tried again"
    )


def _kept(name: str, value: Any, redact: Redactor) -> str:
    """Return a text of the answer as it is stored. Raises `DestinationError` if it cannot be an id."""
    if not isinstance(value, str) or len(value) > MAX_REFERENCE_CHARS or not re.fullmatch(r"[!-~]*", value):
        why = f"is not printable ASCII of at most {MAX_REFERENCE_CHARS} characters"
    elif redact.carries(value):
        why = "quotes a secret"
    else:
        return value
    raise DestinationError(
        ErrorCode.DELIVERY_UNKNOWN,
        f"Telegram has taken the file, but the {name} in its answer {why}, so it is not kept and the file is not sent "
        "again; check the Bot API server, then retry the job",
        permanent=True,
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
        f"the Bot API answered HTTP {status} with something that is not JSON, so a proxy or an outage is likely",
    )


def _largest(sizes: list[Any]) -> Any:
    """Return the largest of a photo's sizes, which is the original."""
    photos = [size for size in sizes if isinstance(size, dict)]
    return max(photos, key=_pixels_and_bytes, default=None)


def _pixels_and_bytes(size: Any) -> tuple[int, int]:
    return _integer(size, "width") * _integer(size, "height"), _integer(size, "file_size")


def _integer(mapping: Any, key: str) -> int:
    value = mapping.get(key) if isinstance(mapping, dict) else None
    return value if isinstance(value, int) and abs(value) < 2**63 else 0
