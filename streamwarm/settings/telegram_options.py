"""The options of a Telegram job, and of the `defaults` of a bot: their names, their types and their limits. Pure.

Sources: https://core.telegram.org/bots/api for names and types; tdlib/td, MessageContent.cpp, for a
video note's length.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamwarm.errors import InvalidOptions
from streamwarm.model import MAX_KEY_BYTES, JsonObject

CAPTION_CHARACTERS = 1024
NOTE_LENGTH = 640
"""The largest diameter of a video note, in pixels. Telegram answers a larger one with 400."""

FALLBACK = "document"
"""The only value of `options.fallback`: the kind of a photo that Telegram refuses. The option is ours and never
sent."""

KEYS = ("thumbnail", "cover")
"""Options that name an object of the bucket, which is sent in the same form."""

_TYPES: Mapping[str, type[Any]] = {
    "caption": str,
    "performer": str,
    "title": str,
    "duration": int,
    "width": int,
    "height": int,
    "supports_streaming": bool,
    "has_spoiler": bool,
    "file_name": str,
    "thumbnail": str,
    "cover": str,
    "disable_content_type_detection": bool,
    "length": int,
    "fallback": str,
}

_TYPE_WORDS = {str: "text", int: "a whole number, 0 or more", bool: "true or false"}


def check_options(options: JsonObject, *, prefix: str = "options.") -> None:
    """Raise `InvalidOptions` for an option that Telegram does not have or a value that it would refuse.

    An option that the job's kind does not use (a caption on a video note) is allowed but not sent, as Telegram itself
    ignores it. So a bot may use one set of options for all kinds. `prefix` stands before an option's name in messages.
    """
    for name, value in options.items():
        expected = _TYPES.get(name)
        if expected is None:
            raise InvalidOptions(f"{prefix}{name[:64]}: there is no such option; allowed: {', '.join(_TYPES)}")
        # To Python a bool is an int, but not to Telegram.
        if type(value) is not expected or (expected is int and not 0 <= value < 2**31):
            raise InvalidOptions(f"{prefix}{name}: must be {_TYPE_WORDS[expected]}")
        if expected is str and _has_surrogate(value):
            raise InvalidOptions(f"{prefix}{name}: must be valid Unicode text")
    for name in KEYS:
        if name in options and not _is_key(options[name]):
            raise InvalidOptions(
                f"{prefix}{name}: must be the key of a JPEG object in the bucket: 1 to {MAX_KEY_BYTES} bytes of UTF-8, "
                "without NUL"
            )
    if options.get("fallback", FALLBACK) != FALLBACK:
        raise InvalidOptions(f'{prefix}fallback: must be "{FALLBACK}"')
    if len(options.get("caption", "")) > CAPTION_CHARACTERS:
        raise InvalidOptions(f"{prefix}caption: at most {CAPTION_CHARACTERS} characters")
    if options.get("length", 0) > NOTE_LENGTH:
        raise InvalidOptions(f"{prefix}length: at most {NOTE_LENGTH}, the diameter of a video note in pixels")


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _is_key(text: str) -> bool:
    return 1 <= len(text.encode()) <= MAX_KEY_BYTES and "\0" not in text
