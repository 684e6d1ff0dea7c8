"""Reads from an image's first bytes how large it is, or that the file is not an image. Pure.

Theory. Telegram examines a photo only once it has all of it, and refuses pictures that are too large or too narrow.
Every format has its size near the front: PNG, GIF and WebP within 30 bytes, JPEG in its first start-of-frame segment,
after whatever the camera or editor has put before it (Exif with a thumbnail, a colour profile cut into segments of
64 KB, XMP). So the reader is given the front of the file, and returns how much more it needs.

A file that can't be read here is not refused; Telegram decides then. The exception is a file with the signature of
another well-known format, which no photo has.

No library reads only the size from a prefix. Pillow needs its decoders, and imagesize 2.0.1 reads a wide GIF's size as
a negative number, leaves WebP's scaling bits in the size, and walks hostile input byte by byte.
"""

from __future__ import annotations

from attrs import frozen

FIRST_BYTES = 32
"""Enough for every format but JPEG."""

MOST_BYTES = 1 << 20
"""The longest front that is read. A picture for print has a colour profile of half a megabyte at most. A file whose
size is further back is sent to Telegram unchecked."""

MOST_SEGMENTS = 512
"""The most JPEG segments that are read: a megabyte of real ones has 16, but a crafted file could have 260,000."""

LARGEST_SIDES = 10_000
LARGEST_RATIO = 20
"""https://core.telegram.org/bots/api#sendphoto: "The photo's width and height must not exceed 10000 in total. Width
and height ratio must be at most 20." """


@frozen
class Dimensions:
    """The picture's size as stored, in pixels; neither is 0. Rotating it, as Exif may request, changes no limit."""

    width: int
    height: int


@frozen
class Lacking:
    """The front is too short: the first `bytes` of the file are needed to continue."""

    bytes: int


@frozen
class NoImage:
    """The file has another format; `what` names it."""

    what: str


@frozen
class Unreadable:
    """The size can't be read; the file may be an image or not."""


Finding = Dimensions | Lacking | NoImage | Unreadable


def look_at(front: bytes) -> Finding:
    """Return what a file's first bytes show. `front` has at least `FIRST_BYTES`, or all of a shorter file."""
    if front.startswith(b"\xff\xd8\xff"):
        return _jpeg(front)
    if front.startswith(b"\x89PNG\r\n\x1a\n"):
        return _sized(_big(front[16:20]), _big(front[20:24])) if front[12:16] == b"IHDR" else Unreadable()
    if front[:6] in (b"GIF87a", b"GIF89a"):
        return _sized(_little(front[6:8]), _little(front[8:10]))
    if front[:4] == b"RIFF" and front[8:12] == b"WEBP":
        return _webp(front)
    what = _other_format(front)
    return NoImage(what) if what else Unreadable()


def why_not_a_photo(finding: Finding) -> str | None:
    """Return why Telegram would refuse it, as a phrase that follows the object's name; None if it may be a photo."""
    if isinstance(finding, NoImage):
        return f"is {finding.what}, not a picture"
    if isinstance(finding, Dimensions):
        width, height = finding.width, finding.height
        is_size = f"is {width} × {height} pixels"
        if width + height > LARGEST_SIDES:
            return f"{is_size}; Telegram takes a photo of at most {LARGEST_SIDES} in width and height together"
        if max(width, height) > LARGEST_RATIO * min(width, height):
            return f"{is_size}; Telegram takes a photo whose longer side is at most {LARGEST_RATIO} times the shorter"
    return None


def _jpeg(front: bytes) -> Finding:
    """Read the segments up to the first frame (ITU-T T.81, B.1.1 and B.2.2)."""
    position = 2
    for _ in range(MOST_SEGMENTS):
        if len(front) < position + 9:
            return Lacking(position + 9)
        if front[position] != 0xFF:
            return Unreadable()
        marker = front[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
        elif marker in _FRAMES:
            return _sized(_big(front[position + 7 : position + 9]), _big(front[position + 5 : position + 7]))
        elif marker in _WITHOUT_LENGTH:
            position += 2
        elif marker in _PICTURE_DATA:
            return Unreadable()
        else:
            position += 2 + _big(front[position + 2 : position + 4])
    return Unreadable()


_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Start-of-frame markers; C4, C8 and CC are tables (T.81, table B.1)."""

_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_PICTURE_DATA = frozenset({0xD9, 0xDA})
"""End of image and start of scan. A frame comes before its data, so none follows them."""


def _webp(front: bytes) -> Finding:
    """Read the first chunk (RFC 9649; for `VP8 ` RFC 6386, 9.1). A frame with a wrong start code is `Unreadable`."""
    match front[12:16]:
        case b"VP8X":
            return _sized(_little(front[24:27]) + 1, _little(front[27:30]) + 1)
        case b"VP8L" if front[20:21] == b"\x2f":
            packed = _little(front[21:25])
            return _sized((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1)
        case b"VP8 " if front[23:26] == b"\x9d\x01\x2a":
            # The upper two bits scale it up on the screen.
            return _sized(_little(front[26:28]) & 0x3FFF, _little(front[28:30]) & 0x3FFF)
        case _:
            return Unreadable()


def _sized(width: int, height: int) -> Finding:
    return Dimensions(width, height) if width and height else Unreadable()


_MARKS = (
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"OggS", "an Ogg file"),
    (b"fLaC", "a FLAC file"),
    (b"ID3", "an MP3 file"),
)
_PAGE_MARKS = (b"<!doctype html", b"<html")
_PAGE_MARK_BYTES = max(map(len, _PAGE_MARKS))
_FILM_BRANDS = frozenset({b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"dash", b"qt  "})
_FILM_BRANDS |= frozenset({b"M4A ", b"M4B ", b"M4V ", b"3gp4", b"3gp5", b"3gp6"})
"""MP4's major brands. HEIC and AVIF pictures have the same container and brands of their own."""


def _other_format(front: bytes) -> str | None:
    for mark, what in _MARKS:
        if front.startswith(mark):
            return what
    if front[4:8] == b"ftyp" and front[8:12] in _FILM_BRANDS:
        return "an MP4 or QuickTime file"
    if front[:4] == b"RIFF" and front[8:12] in (b"AVI ", b"WAVE"):
        return "an AVI or WAVE file"
    if front.lstrip()[:_PAGE_MARK_BYTES].lower().startswith(_PAGE_MARKS):
        return "an HTML page"
    return None


def _big(number: bytes) -> int:
    return int.from_bytes(number, "big")


def _little(number: bytes) -> int:
    return int.from_bytes(number, "little")
