"""A small media library for the demo, generated from the keys, so it is the same every time."""

from __future__ import annotations

import hashlib
import random
import struct
import zlib
from collections.abc import AsyncIterator, Iterator

from attrs import frozen

from streamwarm.model import Kind

PIECE_BYTES = 1 << 20


@frozen
class MadeObject:
    """An object whose content is generated from its key. It has exactly `size_bytes`."""

    r2_key: str
    kind: Kind
    content_type: str
    size_bytes: int

    def pieces(self) -> Iterator[bytes]:
        """Return its content in pieces of at most `PIECE_BYTES`. A photo is a real PNG of noise."""
        if self.content_type == "image/png":
            yield _png(self.r2_key)
            return
        source = random.Random(self.r2_key)
        left = self.size_bytes
        while left:
            piece = source.randbytes(min(PIECE_BYTES, left))
            left -= len(piece)
            yield piece

    async def stream(self) -> AsyncIterator[bytes]:
        for piece in self.pieces():
            yield piece

    def sha256(self) -> str:
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece)
        return digest.hexdigest()


def demo_library() -> list[MadeObject]:
    """Return at least one object of every kind, several photos, and one object over 100 MB."""
    photos = [_photo(f"photos/{name}.png", side) for name, side in _PHOTOS]
    return [
        *photos,
        MadeObject("audio/theme.mp3", Kind.AUDIO, "audio/mpeg", 4_200_000),
        MadeObject("voice/greeting.oga", Kind.VOICE, "audio/ogg", 180_000),
        MadeObject("animations/wave.gif", Kind.ANIMATION, "image/gif", 900_000),
        MadeObject("notes/round.mp4", Kind.VIDEO_NOTE, "video/mp4", 2_600_000),
        MadeObject("videos/intro.mp4", Kind.VIDEO, "video/mp4", 24_000_000),
        MadeObject("docs/manual.pdf", Kind.DOCUMENT, "application/pdf", 7_300_000),
        MadeObject("videos/feature.mp4", Kind.VIDEO, "video/mp4", 128_000_000),
    ]


_PHOTOS = (("harbour", 128), ("market", 192), ("bridge", 256), ("night", 320), ("garden", 384))


def _photo(r2_key: str, side: int) -> MadeObject:
    # A square of RGB noise without compression, so its length does not depend on the content.
    size = len(_png_of(side, bytes(side * side * 3)))
    return MadeObject(r2_key, Kind.PHOTO, "image/png", size)


def _png(r2_key: str) -> bytes:
    side = next(side for key, side in _PHOTOS if key in r2_key)
    return _png_of(side, random.Random(r2_key).randbytes(side * side * 3))


def _png_of(side: int, rgb: bytes) -> bytes:
    """Return a PNG of 8-bit RGB pixels (https://www.w3.org/TR/png/) whose data is not compressed."""
    rows = b"".join(b"\0" + rgb[row * side * 3 : (row + 1) * side * 3] for row in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, chunks))


def _chunk(chunk: tuple[bytes, bytes]) -> bytes:
    name, data = chunk
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
