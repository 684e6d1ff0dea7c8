"""What Telegram has made of a file, as it answered, and what a user should know about that. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamwarm.model import JsonObject, Kind, MediaWarning
from streamwarm.redact import Redactor, knows_no_secrets
from streamwarm.send.destination import Media

NAME_CHARACTERS = 255
"""The longest name that is kept of an answer. Telegram cuts names at about 80 characters."""

UNMEASURED_SIDE = 320
"""Both sides of a video that Telegram could not measure, as it stores it: a square of 320 pixels, 0 seconds long
(tdlib/telegram-bot-api, issue 127)."""

_PICTURED = frozenset({Kind.VIDEO.value, Kind.ANIMATION.value})


def media_of(found: Any, file: Mapping[str, Any], redact: Redactor = knows_no_secrets) -> dict[str, Any]:
    """Return a result's `media`: the answered file's size, duration and name, and whether it has a thumbnail.

    `found` is the member of the message, `file` the file in it: the largest of a photo's sizes.
    """
    media: dict[str, Any] = {}
    length = _whole(file.get("length"))  # a video note's diameter
    for name in ("width", "height"):
        side = _whole(file.get(name))
        media |= {name: length if side is None else side}
    media["duration"] = _whole(file.get("duration"))
    media["file_name"] = _name(file.get("file_name"), redact)
    media = {name: value for name, value in media.items() if value is not None}
    has_sizes = isinstance(found, list) and len(found) > 1
    return media | {"has_thumbnail": has_sizes or any(isinstance(file.get(name), dict) for name in _THUMBNAIL_NAMES)}


_THUMBNAIL_NAMES = ("thumbnail", "thumb")
"""The second is the name before Bot API 6.6, which servers still answer beside the first."""


def warnings_of(media: Media, kind: str, answered: JsonObject) -> list[str]:
    """Return a result's `warnings`.

    `media` is what was sent, with all its options; `kind` and `answered` are the kind and the `media` of the answer.
    """
    warnings = []
    if kind in _PICTURED and not _is_measured(media.options, answered):
        warnings.append(MediaWarning.NO_DIMENSIONS)
    if any(one.attachment.name == "thumbnail" for one in media.attached) and not answered.get("has_thumbnail"):
        warnings.append(MediaWarning.NO_THUMBNAIL)
    if media.facts is not None and media.facts.streamable is False:
        warnings.append(MediaWarning.INDEX_AT_END)
    if kind != media.kind:
        warnings.append(MediaWarning.OTHER_KIND)
    return [warning.value for warning in warnings]


def _is_measured(sent: JsonObject, answered: JsonObject) -> bool:
    """Whether the answer has a real width and height, and not those that stand for a video that nobody measured."""
    sides = answered.get("width", 0), answered.get("height", 0)
    if not all(sides):
        return False
    if sides != (UNMEASURED_SIDE, UNMEASURED_SIDE) or (sent.get("width") and sent.get("height")):
        return True
    # A duration that was not sent was measured by Telegram, and then so were the sides.
    return "duration" not in sent and answered.get("duration", 0) > 0


def _whole(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 2**31 else None


def _name(value: Any, redact: Redactor) -> str | None:
    """Return a file's name as it is stored. None if there is none, or it quotes a secret."""
    if not isinstance(value, str) or not value or redact.carries(value):
        return None
    return "".join(c for c in value[:NAME_CHARACTERS].encode("utf-8", "replace").decode() if c.isprintable()) or None
