"""The name under which Telegram gets a file: it shows the name, and takes the file's type from its extension. Pure.

The Bot API server keeps what follows the last slash, cleans it, and takes the MIME type from the extension alone: the
part's Content-Type is not read (tdlib/td: filesystem.cpp `clean_filename`, HttpReader.cpp, MessageContent.cpp).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from streamwarm.model import Kind

LONGEST = 200
"""Characters of a name. Telegram cuts a name at about 64 and an extension at 16; a longer one only makes the form
longer."""

_EXTENSION = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9]{1,10}")
"""What counts as an extension. It has a letter, so `2024.01.15` has none."""

_NOT_IN_NAMES = frozenset('"\\;')
"""What a form must escape or servers treat differently. Telegram would show the escape."""

_INVISIBLE = str.maketrans("", "", "\u200c\u200d\ufeff")
"""Joiners and the byte order mark have no width. Telegram drops them; an underscore in their place would be shown."""

_EXTENSIONS: Mapping[str, str] = {
    "video/mp4": "mp4",
    "video/x-m4v": "m4v",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
    "video/matroska": "mkv",
    "video/3gpp": "3gp",
    "video/mpeg": "mpeg",
    "video/x-msvideo": "avi",
    "video/avi": "avi",
    "video/ogg": "ogv",
    "video/mp2t": "ts",
    "video/x-ms-wmv": "wmv",
    "video/x-flv": "flv",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/mp4": "m4a",
    "audio/m4a": "m4a",
    "audio/x-m4a": "m4a",
    "audio/aac": "aac",
    "audio/ogg": "ogg",
    "audio/opus": "opus",
    "audio/flac": "flac",
    "audio/x-flac": "flac",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/webm": "weba",
    "image/jpeg": "jpg",
    "image/jpg": "jpg",
    "image/png": "png",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/tiff": "tif",
    "image/bmp": "bmp",
    "image/heic": "heic",
    "image/avif": "avif",
    "image/svg+xml": "svg",
    "application/pdf": "pdf",
    "application/zip": "zip",
    "application/gzip": "gz",
    "application/x-tar": "tar",
    "application/x-7z-compressed": "7z",
    "application/vnd.rar": "rar",
    "application/x-rar-compressed": "rar",
    "application/epub+zip": "epub",
    "application/json": "json",
    "application/xml": "xml",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.android.package-archive": "apk",
    "application/rtf": "rtf",
    "application/x-tgsticker": "tgs",
    "application/ogg": "ogg",
    "text/plain": "txt",
    "text/html": "html",
    "text/css": "css",
    "text/csv": "csv",
    "text/markdown": "md",
    "text/xml": "xml",
    "text/vtt": "vtt",
}
"""By content type, the usual extension. `mimetypes` is not asked: its answer depends on the machine."""

_MEDIA_EXTENSIONS = frozenset(
    extension for of_type, extension in _EXTENSIONS.items() if of_type.partition("/")[0] in {"video", "audio", "image"}
) | {"jpeg", "jpe", "mpg", "mpeg4", "mpeg3", "oga", "3g2", "tiff", "qt", "heif", "wma", "amr", "divx", "m2ts", "f4v"}

_NAMELESS = frozenset({Kind.PHOTO, Kind.VOICE, Kind.VIDEO_NOTE})
"""Kinds that Telegram stores without a name."""


def file_name(r2_key: str, kind: Kind, *, content_type: str | None = None, named: str | None = None) -> str:
    """Return the name to send: `named` (the option `file_name`) if it holds one, or else the key's last segment.

    Control characters and those that change the direction of writing are replaced, and so are those that a form must
    escape. A name without an extension gets that of `content_type`, if it is known.
    """
    own = _clean((named or "").replace("\\", "/"))
    name = own or _clean(r2_key) or kind.value
    if not _has_extension(name, kind):
        added = _EXTENSIONS.get((content_type or "").partition(";")[0].strip().lower())
        if added is not None:
            return f"{name[: LONGEST - len(added) - 1].rstrip('. ')}.{added}"
    return name


def is_lost_with_an_address(r2_key: str, kind: Kind, name: str) -> bool:
    """Whether a file would get another name than `name` if Telegram fetched it from its address.

    Telegram takes the address's last segment then, and cleans it.
    """
    return kind not in _NAMELESS and name != (_clean(r2_key) or kind.value)


def _clean(path: str) -> str:
    """Return the last segment of a path as a harmless name; empty if it has no name."""
    segment = path.rstrip("/").rpartition("/")[2].translate(_INVISIBLE)
    name = "".join(c if c.isprintable() and c not in _NOT_IN_NAMES else "_" for c in _cut(segment))
    return name if name.strip(". ") else ""


def _cut(name: str) -> str:
    """Return at most `LONGEST` characters: the front of the stem, and the extension if there is one."""
    if len(name) <= LONGEST:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or not _EXTENSION.fullmatch(extension):
        return name[:LONGEST]
    return stem[: LONGEST - len(extension) - 1] + dot + extension


def _has_extension(name: str, kind: Kind) -> bool:
    """Whether the name has an extension; for media, one that says what kind of media it is."""
    stem, _, extension = name.rpartition(".")
    if not stem.strip(". ") or not _EXTENSION.fullmatch(extension):
        return False
    return kind is Kind.DOCUMENT or extension.lower() in _MEDIA_EXTENSIONS
