"""Small media files made by hand: movies with the boxes that say their size and length, and JPEGs of any size."""

from __future__ import annotations

import struct

UPRIGHT = (0, 0x10000, 0, -0x10000 & 0xFFFFFFFF, 0, 0, 0, 0, 0x40000000)
"""The matrix of a phone that was held upright."""

LEVEL = (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def track(handler: bytes, width: int = 0, height: int = 0, matrix: tuple[int, ...] = LEVEL, version: int = 0) -> bytes:
    times = bytes(32 if version else 20)
    shown = struct.pack(">9I2I", *matrix, width << 16, height << 16)
    tkhd = box(b"tkhd", struct.pack(">I", version << 24), times, bytes(16), shown)
    return box(b"trak", tkhd, box(b"mdia", box(b"hdlr", bytes(8), handler, bytes(13))))


def moov(*tracks: bytes, seconds: float = 2.5, version: int = 0) -> bytes:
    length = struct.pack(">16xIQ" if version else ">8xII", 600, round(seconds * 600))
    return box(b"moov", box(b"mvhd", struct.pack(">I", version << 24), length, bytes(80)), *tracks)


def movie(
    width: int = 640,
    height: int = 360,
    *,
    seconds: float = 2.5,
    sound: bool = True,
    size_bytes: int = 0,
    upright: bool = False,
) -> bytes:
    """An MP4 whose `moov` is at its start, padded to `size_bytes`."""
    picture = track(b"vide", width, height, UPRIGHT if upright else LEVEL)
    start = box(b"ftyp", b"isom", bytes(4)) + moov(picture, *[track(b"soun")] * sound, seconds=seconds)
    return start + box(b"mdat", bytes(max(0, size_bytes - len(start) - 8)))


def jpeg(width: int = 320, height: int = 180, *, size_bytes: int = 0, exif_bytes: int = 3000) -> bytes:
    """A JPEG's header, with Exif before the size, padded to `size_bytes`."""
    exif = b"".join(
        b"\xff\xe1" + struct.pack(">H", min(65_000, exif_bytes - at) + 2) + bytes(min(65_000, exif_bytes - at))
        for at in range(0, exif_bytes, 65_000)
    )
    start = b"\xff\xd8" + exif + b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"scan"
    return start + bytes(max(0, size_bytes - len(start)))


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"pixels"


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"frames"
