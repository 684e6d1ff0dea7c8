"""Guesses an object's kind from its name and content type. Pure. `--kind` overrides it."""

from __future__ import annotations

import mimetypes

from streamwarm.model import Kind

# Telegram shows these as media; every other file is a document. It shows a .gif or a silent .mp4 as an animation. An
# .ogg is a voice message only if it contains Opus, which its name does not show: audio is the safe guess.
_BY_EXTENSION = {
    ".jpg": Kind.PHOTO,
    ".jpeg": Kind.PHOTO,
    ".png": Kind.PHOTO,
    ".webp": Kind.PHOTO,
    ".gif": Kind.ANIMATION,
    ".mp4": Kind.VIDEO,
    ".mov": Kind.VIDEO,
    ".m4v": Kind.VIDEO,
    ".mp3": Kind.AUDIO,
    ".m4a": Kind.AUDIO,
    ".flac": Kind.AUDIO,
    ".oga": Kind.VOICE,
    ".opus": Kind.VOICE,
}
_BY_TYPE = {"image/jpeg": Kind.PHOTO, "image/png": Kind.PHOTO, "image/gif": Kind.ANIMATION, "video/mp4": Kind.VIDEO}
_BY_MAJOR_TYPE = {"video": Kind.VIDEO, "audio": Kind.AUDIO}


def kind_by_name(r2_key: str) -> Kind | None:
    """The kind by the name's extension, None if that is unknown."""
    name = r2_key.rpartition("/")[2]
    dot = name.rfind(".")
    extension = name[dot:].lower() if dot >= 0 else ""
    if extension in _BY_EXTENSION:
        return _BY_EXTENSION[extension]
    content_type = mimetypes.guess_type("x" + extension)[0]
    return None if content_type is None else _by_type(content_type)


def guess_kind(r2_key: str, content_type: str | None = None) -> Kind:
    """The kind by extension, then by content type, else a document, which can be any file."""
    return kind_by_name(r2_key) or _by_type(content_type or "")


def _by_type(content_type: str) -> Kind:
    bare = content_type.partition(";")[0].strip().lower()
    return _BY_TYPE.get(bare) or _BY_MAJOR_TYPE.get(bare.partition("/")[0], Kind.DOCUMENT)
