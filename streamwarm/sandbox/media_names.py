"""What Telegram reads from a file's name: the name that it keeps, the MIME type, and the kind of a document. No I/O.

The open server names its copy of an upload after the part's `filename` and takes the MIME type from that extension; the
part's own `Content-Type` is not looked at. Sources (https://github.com/tdlib/td): `clean_filename` in
tdutils/td/utils/filesystem.cpp, `create_input_message_content` in MessageContent.cpp, and `get_input_media` in the
managers of each kind.
"""

from __future__ import annotations

import mimetypes
import unicodedata
from collections.abc import Mapping

from streamwarm.model import Kind
from streamwarm.sandbox.file_ids import Extra, FileKind

MAX_STEM_CHARS = 64
MAX_EXTENSION_CHARS = 16
NO_NAME = "file"
"""What a file is called whose name has no character that is kept."""

UNKNOWN_TYPE = "application/octet-stream"

_DROPPED = frozenset("<>:\"/\\|?*&`'\x7f")
_TYPES: Mapping[str, str] = {
    "flac": "audio/flac",
    "gz": "application/gzip",
    "m4a": "audio/mp4",
    "m4v": "video/x-m4v",
    "mkv": "video/x-matroska",
    "mpeg4": "video/mp4",
    "oga": "audio/ogg",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "tgs": "application/x-tgsticker",
    "webp": "image/webp",
}
_OTHER_TYPES = mimetypes.MimeTypes()
"""Python's own table, without this machine's files."""

_DOCUMENTS: Mapping[str, FileKind] = {
    "application/x-tgsticker": Extra.STICKER,
    "image/webp": Extra.STICKER,
    "image/gif": Kind.ANIMATION,
    "video/mp4": Kind.VIDEO,
    "video/quicktime": Kind.VIDEO,
    "audio/mpeg": Kind.AUDIO,
    "audio/mp4": Kind.AUDIO,
    "audio/ogg": Kind.VOICE,
}
"""As what a document comes back whose content type Telegram may detect: WebP as a sticker
(https://github.com/telegramdesktop/tdesktop/issues/6276), a GIF as an animation
(https://github.com/eternnoir/pyTelegramBotAPI/issues/672), MP4 as a video, while WebM stays a document
(https://github.com/tdlib/telegram-bot-api/issues/315)."""


def kept_name(given: str | None) -> str:
    """Return the name that Telegram keeps: letters, digits and most of ASCII stay, other characters become spaces."""
    name = (given or "").replace("\\", "/").rpartition("/")[2]
    extension = name[name.rindex(".") + 1 :] if "." in name[1:] else ""
    stem = name.removesuffix(f".{extension}")
    parts = (_cleaned(stem, MAX_STEM_CHARS), _cleaned(extension, MAX_EXTENSION_CHARS))
    return ".".join(part for part in parts if part) or NO_NAME


def extension_of(name: str) -> str:
    """Return a name's extension in lower case, without its dot, or "" if it has none."""
    stem, _, extension = name.rpartition(".")
    return extension.lower() if stem else ""


def mime_type_of(name: str) -> str:
    """Return the MIME type of a name's extension, or "" if the name has none or an unknown one."""
    extension = extension_of(name)
    return _TYPES.get(extension) or _OTHER_TYPES.guess_type(f"a.{extension}")[0] or ""


def mime_type_as(kind: FileKind, named: str) -> str:
    """Return the MIME type under which Telegram keeps a file of `kind`, given that of its name."""
    match kind:
        case Kind.VIDEO if not named.startswith("video/"):
            return "video/mp4"
        case Kind.AUDIO if not named.startswith("audio/"):
            return "audio/mpeg"
        case Kind.VOICE if named not in ("audio/ogg", "audio/mpeg", "audio/mp4"):
            return "audio/ogg"
        case _:
            return named or UNKNOWN_TYPE


def kind_of_document(mime_type: str) -> FileKind:
    """Return as what a document of this type comes back where content types are detected."""
    return _DOCUMENTS.get(mime_type, Kind.DOCUMENT)


def _cleaned(part: str, max_chars: int) -> str:
    kept: list[str] = []
    for given in part:
        character = given if _is_kept(given) else _instead_of(given)
        if character and (kept or character not in " ."):
            kept.append(character)
        if len(kept) == max_chars:
            break
    return "".join(kept).rstrip(" .")


def _instead_of(character: str) -> str:
    """Return what stands for a character that is not kept: nothing for a mark above a letter, else a space."""
    return "" if unicodedata.category(character).startswith("M") else " "


def _is_kept(character: str) -> bool:
    if character < "\x7f":
        return character >= " " and character not in _DROPPED
    return unicodedata.category(character)[0] in "LN"
