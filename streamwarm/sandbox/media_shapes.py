"""Width, height, length and thumbnail that Telegram gives to a file: measured, named by the upload, or neither. No I/O.

Telegram measures files of up to 10 MB by itself, and makes their thumbnails. Of larger ones it keeps what the upload
named; without that, the answer has 320 x 320 pixels, 0 seconds and no thumbnail. Sources: a measured series of one clip
(https://github.com/NousResearch/hermes-agent/issues/116131: 9.8 MB measured, 14.8 MB not, its 6 s rounded up to 7);
https://github.com/tdlib/telegram-bot-api/issues/127 and 442; the limit is that of td's `is_file_big` (FileType.cpp).
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from streamwarm.model import Kind
from streamwarm.sandbox.file_ids import NO_THUMBNAIL, Extra, FileKind, Thumbnail
from streamwarm.sandbox.form_reader import UploadedFile, number

MAX_MEASURED_BYTES = 10 * 1024 * 1024
UNKNOWN_SIDE = 320
STICKER_SIDE = 512
VIDEO_NOTE_SIDE = 384
"""What the open server names for a video note whose length the request does not (VideoNotesManager.cpp)."""

MAX_SIDE = 10_000
MAX_DURATION_S = 86_400
"""The open server's bounds for what a request names; more counts as this much (telegram-bot-api/Client.h)."""

_THUMBNAIL_SIDE = 320
_BYTES_PER_PIXEL = 0.2
"""What a small JPEG takes: the size of a thumbnail that Telegram made is only estimated."""

_MOVING = frozenset({Kind.VIDEO, Kind.ANIMATION, Kind.VIDEO_NOTE})
_LASTING = frozenset({Kind.AUDIO, Kind.VOICE, *_MOVING})


@frozen
class Shape:
    """Pixels and seconds, 0 if the kind has none; `thumbnail` is the one that Telegram makes. `is_named`: the request
    names width and height. `is_silent`: a movie that was measured has no sound."""

    width: int = 0
    height: int = 0
    duration_s: int = 0
    thumbnail: Thumbnail = NO_THUMBNAIL
    is_named: bool = False
    is_silent: bool = False


def shape_of(kind: FileKind, upload: UploadedFile, fields: Mapping[str, str]) -> Shape:
    """Return what Telegram says of an upload of `kind` whose request has these fields."""
    movie = upload.movie if upload.bytes <= MAX_MEASURED_BYTES else None
    named = _named_size(kind, fields)
    shown = _measured_size(kind, upload)
    duration_s = min(number(fields.get("duration"), 0), MAX_DURATION_S) if kind in _LASTING else 0
    if movie and movie.duration_s and kind in _LASTING:
        duration_s = min(movie.duration_s, MAX_DURATION_S)
    is_silent = movie is not None and movie.width > 0 and not movie.has_sound
    if kind is Extra.STICKER:
        return Shape(*(shown if all(shown) else (STICKER_SIDE, STICKER_SIDE)))
    if kind not in _MOVING:
        return Shape(duration_s=duration_s, is_named=named is not None, is_silent=is_silent)
    size = _bounded(shown) if all(shown) else named or _unknown_size(kind)
    if kind is Kind.VIDEO_NOTE:
        size = (min(size), min(size))
    small = _made_thumbnail(size) if all(shown) else NO_THUMBNAIL
    return Shape(*size, duration_s, small, is_named=named is not None, is_silent=is_silent)


def _measured_size(kind: FileKind, upload: UploadedFile) -> tuple[int, int]:
    """Return the size that Telegram measures, or zeros if it does not."""
    image = upload.image
    if upload.bytes > MAX_MEASURED_BYTES:
        return 0, 0
    if upload.movie is not None:
        return upload.movie.width, upload.movie.height
    is_shown = image is not None and (kind is Extra.STICKER or (kind is Kind.ANIMATION and image.format == "gif"))
    return (image.width, image.height) if image is not None and is_shown else (0, 0)


def _named_size(kind: FileKind, fields: Mapping[str, str]) -> tuple[int, int] | None:
    """Return the size that a request names, or None. One side alone is none (td's `Dimensions`)."""
    names = ("length", "length") if kind is Kind.VIDEO_NOTE else ("width", "height")
    size = _bounded((number(fields.get(names[0]), 0), number(fields.get(names[1]), 0)))
    return size if all(size) else None


def _unknown_size(kind: FileKind) -> tuple[int, int]:
    side = VIDEO_NOTE_SIDE if kind is Kind.VIDEO_NOTE else UNKNOWN_SIDE
    return side, side


def _bounded(size: tuple[int, int]) -> tuple[int, int]:
    return min(size[0], MAX_SIDE), min(size[1], MAX_SIDE)


def _made_thumbnail(size: tuple[int, int]) -> Thumbnail:
    scale = min(1.0, _THUMBNAIL_SIDE / max(size))
    width, height = (max(1, round(side * scale)) for side in size)
    return Thumbnail(width, height, max(1, round(width * height * _BYTES_PER_PIXEL)))
