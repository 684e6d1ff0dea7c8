"""Reads an image's width and height from its first bytes, as far as Telegram's photo rules need them.

Formats: PNG (IHDR), GIF (logical screen), WebP (VP8, VP8L, VP8X) and JPEG (first start-of-frame marker).
"""

from __future__ import annotations

from attrs import frozen

MAX_HEAD_BYTES = 200 * 1024
"""How far a picture's size is searched for. An Exif block and a colour profile may stand before a JPEG's: all of a
thumbnail is searched."""

_FIRST_LOOK_BYTES = 4096

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG markers with dimensions (ITU-T T.81, table B.1). C4, C8 and CC are tables, not frames."""

_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
"""JPEG markers without a length."""


@frozen
class Image:
    """A picture's format (`png`, `gif`, `webp` or `jpeg`) and its size in pixels."""

    format: str
    width: int
    height: int


class ImageReader:
    """Takes a file in pieces, until it has seen a picture's size or that the file is no picture."""

    def __init__(self) -> None:
        self.is_done = False
        self._head = bytearray()
        self._look_at = _FIRST_LOOK_BYTES
        self._found: Image | None = None

    def feed(self, data: bytes | memoryview) -> None:
        """Take the file's next piece. Each look is at twice as many bytes as the one before."""
        position = 0
        while not self.is_done and position < len(data):
            piece = data[position : position + self._look_at - len(self._head)]
            self._head += piece
            position += len(piece)
            if len(self._head) == self._look_at:
                self._look()

    def result(self) -> Image | None:
        """Return what the file is, or None if it is not a picture or ends before its size."""
        if not self.is_done:
            self._look()
        return self._found

    def _look(self) -> None:
        head = bytes(self._head)
        size = image_size(head)
        self._found = None if size is None else Image(image_format(head) or "", *size)
        self.is_done = size is not None or image_format(head) != "jpeg" or self._look_at == MAX_HEAD_BYTES
        self._look_at = min(2 * self._look_at, MAX_HEAD_BYTES)


def image_format(head: bytes) -> str | None:
    """Return what a file's first bytes say that it is, or None if that is no picture."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    return "jpeg" if head.startswith(b"\xff\xd8") else None


def image_size(head: bytes) -> tuple[int, int] | None:
    """Return `(width, height)` in pixels, or None if `head` is not an image whose header can be read."""
    match image_format(head):
        case "png" if len(head) >= 24:
            return _big(head[16:20]), _big(head[20:24])
        case "gif" if len(head) >= 10:
            return _little(head[6:8]), _little(head[8:10])
        case "webp" if len(head) >= 30:
            return _webp_size(head)
        case "jpeg":
            return _jpeg_size(head)
        case _:
            return None


def _webp_size(head: bytes) -> tuple[int, int] | None:
    if head[12:16] == b"VP8X":
        return _little(head[24:27]) + 1, _little(head[27:30]) + 1
    if head[12:16] == b"VP8L":
        packed = _little(head[21:25])
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    if head[12:16] == b"VP8 ":
        return _little(head[26:28]) & 0x3FFF, _little(head[28:30]) & 0x3FFF
    return None


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    position = 2
    while position + 9 <= len(head) and head[position] == 0xFF:
        marker = head[position + 1]
        if marker in _FRAMES:
            return _big(head[position + 7 : position + 9]), _big(head[position + 5 : position + 7])
        if marker == 0xFF:
            position += 1
        elif marker in _STANDALONE:
            position += 2
        else:
            position += 2 + _big(head[position + 2 : position + 4])
    return None


def _big(number: bytes) -> int:
    return int.from_bytes(number, "big")


def _little(number: bytes) -> int:
    return int.from_bytes(number, "little")
