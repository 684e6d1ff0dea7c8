"""Which kind an object is, guessed from its name. Pure; `--kind` overrides it."""

from __future__ import annotations

import mimetypes

from streamwarm.model import Kind

# Telegram plays these as what they are; every other file is a document. A .gif or silent .mp4 is an animation to it,
# and only .ogg with Opus is a voice message, which a name cannot tell from music: audio is the safe guess.
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


def guess_kind(r2_key: str, content_type: str | None = None) -> Kind:
    """By extension, then by content type, else a document, which takes anything."""
    dot = r2_key.rpartition("/")[2].rfind(".")
    extension = r2_key.rpartition("/")[2][dot:].lower() if dot >= 0 else ""
    if extension in _BY_EXTENSION:
        return _BY_EXTENSION[extension]
    kind = content_type or mimetypes.guess_type("x" + extension)[0] or ""
    return _BY_TYPE.get(kind) or _BY_MAJOR_TYPE.get(kind.partition("/")[0], Kind.DOCUMENT)
