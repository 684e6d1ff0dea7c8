"""The objects of a load run: content that follows from a number, any size, cheap to make.

Sizes. Photos are 20 to 300 KB and videos 5 to 50 MB, the range of the benchmark's workloads; huge ones 100 MB to 1 GB.
A mixed library is nine parts photos and one part videos: most of a bot's media is small, most of its bytes are not.
"""

from __future__ import annotations

import hashlib
import random
import struct
import zlib
from collections.abc import Iterator

from attrs import frozen

from load.options import Mix

PART_BYTES = 8 << 20
"""Content comes in pieces of this size: also a part of a multipart upload, which S3 wants at least 5 MiB large."""

SIZES: dict[str, tuple[int, int]] = {
    "photo": (20_000, 300_000),
    "video": (5_000_000, 50_000_000),
    "document": (100_000_000, 1_000_000_000),
}
VIDEO_SHARE = 0.1

MIN_BYTES = 256
"""Below it a PNG's frame would not fit."""

_CONTENT_TYPES = {"photo": "image/png", "video": "video/mp4", "document": "application/octet-stream"}
_SUFFIXES = {"photo": "png", "video": "mp4", "document": "bin"}
_BLOCK = random.Random(7).randbytes(1 << 20)


@frozen
class LoadObject:
    """One object: its key is unique in its run, and so is its content."""

    key: str
    kind: str
    size_bytes: int
    number: int
    salt: int

    @property
    def content_type(self) -> str:
        return _CONTENT_TYPES[self.kind]

    def parts(self) -> Iterator[bytes]:
        """The content, `PART_BYTES` at a time; the last may be shorter."""
        if self.kind == "photo":
            yield _png(self.size_bytes, self._mark(0))
            return
        for start in range(0, self.size_bytes, PART_BYTES):
            length = min(PART_BYTES, self.size_bytes - start)
            part = bytearray(_BLOCK * (length // len(_BLOCK) + 1))[:length]
            for offset in range(0, length, len(_BLOCK)):
                mark = self._mark(start + offset)[: length - offset]
                part[offset : offset + len(mark)] = mark
            yield bytes(part)

    def sha256(self) -> str:
        digest = hashlib.sha256()
        for part in self.parts():
            digest.update(part)
        return digest.hexdigest()

    def _mark(self, offset: int) -> bytes:
        """What makes a block differ from every other block, of this object or another."""
        return struct.pack(">QQQ", self.salt, self.number, offset)


def make_objects(count: int, mix: Mix, *, size_scale: float, salt: int, prefix: str) -> list[LoadObject]:
    """`count` objects of a mix, the same for the same arguments. `salt` makes the content one run's own."""
    chance = random.Random(f"{salt}/{mix}/{count}")
    return [_make_object(number, mix, size_scale, salt, prefix, chance) for number in range(count)]


def _make_object(number: int, mix: Mix, size_scale: float, salt: int, prefix: str, chance: random.Random) -> LoadObject:
    kind = _kind(mix, number)
    low, high = SIZES[kind]
    size = max(MIN_BYTES, round(chance.uniform(low, high) * size_scale))
    return LoadObject(f"{prefix}/{kind}-{number:06}.{_SUFFIXES[kind]}", kind, size, number, salt)


def _kind(mix: Mix, number: int) -> str:
    if mix is Mix.MIXED:
        return "video" if number % round(1 / VIDEO_SHARE) == 0 else "photo"
    return {Mix.PHOTOS: "photo", Mix.VIDEOS: "video", Mix.HUGE: "document"}[mix]


def _png(size_bytes: int, mark: bytes) -> bytes:
    """A real PNG (https://www.w3.org/TR/png/) of 64 × 64 grey pixels, filled up by an ancillary chunk of its own."""
    rows = zlib.compress(bytes(65 * 64), 9)
    before = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0))
    after = _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")
    padding = size_bytes - len(before) - len(after) - 12
    filling = (mark + _BLOCK * (padding // len(_BLOCK) + 1))[:padding]
    return before + _chunk(b"ldPd", filling) + after


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
