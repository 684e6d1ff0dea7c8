"""Reads an MP4's or MOV's size, length and tracks while its bytes pass. No I/O.

It follows the top-level boxes by their sizes and keeps only `moov`, wherever that stands. Inside, it needs `mvhd`, and
of each track `tkhd` and `hdlr` (ISO/IEC 14496-12, sections 6.2, 8.2.2, 8.3.2 and 8.4.3). The service has a reader of
its own for what it sends: that the two agree is what the sandbox is for, so they share no code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from attrs import field, frozen

MAX_MOOV_BYTES = 1024 * 1024
"""How much of `moov` is kept. A file of 10 MB has some 100 KB; tracks behind more than this are not seen."""

MAX_OFFSET_BYTES = 10 * 1024 * 1024
"""Where reading ends: Telegram measures no larger file."""

MAX_BOXES = 1000
"""The most boxes that are read on each level. Real files have some ten."""

_FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_LONG_HEADER_BYTES = 16
_UNKNOWN_DURATIONS = frozenset({0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF})


@frozen
class Movie:
    """What a movie says of itself. Sizes are as shown, in pixels, and 0 without a picture; `duration_s` is rounded up,
    and 0 if it is not known."""

    width: int
    height: int
    duration_s: int
    has_sound: bool


class MovieReader:
    """Takes a file in pieces. Once `is_done`, further pieces change nothing."""

    def __init__(self) -> None:
        self.is_done = False
        self._position = 0
        self._box_at = 0
        self._boxes = 0
        self._next_at = 0
        self._wanted = _LONG_HEADER_BYTES
        self._kept = bytearray()
        self._in_moov = False

    def feed(self, data: bytes | memoryview) -> None:
        """Take the file's next piece."""
        start = self._position
        self._position += len(data)
        while not self.is_done and self._next_at < self._position:
            offset = self._next_at - start
            piece = data[offset : offset + self._wanted - len(self._kept)]
            self._kept += piece
            self._next_at += len(piece)
            if len(self._kept) == self._wanted:
                self._take_header()

    def result(self) -> Movie | None:
        """Return what was found, or None if there was no `moov` with a track."""
        return _movie(bytes(self._kept)) if self._in_moov else None

    def _take_header(self) -> None:
        """Decide by a box's header what to read next. Called once more when all of `moov` is kept."""
        if self._in_moov:
            self.is_done = True
            return
        size, kind, header_bytes = _header(self._kept, 0)
        self._boxes += 1
        if (self._boxes == 1 and kind not in _FIRST_BOXES) or self._boxes > MAX_BOXES:
            self.is_done = True
        elif kind == b"moov":
            self._in_moov = True
            self._wanted = min(size or MAX_MOOV_BYTES, MAX_MOOV_BYTES)
            self.is_done = self._wanted <= len(self._kept)
        elif size < header_bytes or self._box_at + size > MAX_OFFSET_BYTES:
            self.is_done = True
        else:
            # A box may be shorter than the bytes that were read for a long header: the rest is the next one's.
            del self._kept[:size]
            self._box_at += size
            self._next_at = self._box_at + len(self._kept)


@frozen
class _Box:
    kind: bytes
    body: memoryview = field(repr=False)


def _header(data: bytes | bytearray | memoryview, at: int) -> tuple[int, bytes, int]:
    """Return a box's whole size (0: to the end), its type, and the length of its header."""
    size, kind = _number(data, at, 4), bytes(data[at + 4 : at + 8])
    return (_number(data, at + 8, 8), kind, _LONG_HEADER_BYTES) if size == 1 else (size, kind, 8)


def _boxes(data: memoryview) -> Iterator[_Box]:
    """Yield the boxes inside a box, the last one cut where `data` ends."""
    at = 0
    for _ in range(MAX_BOXES):
        if at + 8 > len(data):
            return
        size, kind, header_bytes = _header(data, at)
        end = len(data) if size == 0 else at + size
        if end < at + header_bytes:
            return
        yield _Box(kind, data[at + header_bytes : end])
        at = end


def _movie(moov: bytes) -> Movie | None:
    outer = next(_boxes(memoryview(moov)), None)
    if outer is None:
        return None
    size, seconds, tracks = (0, 0), 0, set()
    for box in _boxes(outer.body):
        if box.kind == b"mvhd":
            seconds = _seconds(box.body)
        elif box.kind == b"trak":
            handler, shown = _track(box.body)
            tracks.add(handler)
            if handler == b"vide" and not all(size):
                size = shown
    return Movie(*size, seconds, b"soun" in tracks) if tracks else None


def _seconds(mvhd: memoryview) -> int:
    is_long = _number(mvhd, 0, 1) == 1
    scale = _number(mvhd, 20 if is_long else 12, 4)
    duration = _number(mvhd, 24, 8) if is_long else _number(mvhd, 16, 4)
    return 0 if not scale or duration in _UNKNOWN_DURATIONS else math.ceil(duration / scale)


def _track(trak: memoryview) -> tuple[bytes, tuple[int, int]]:
    """Return a track's handler type and its size as shown."""
    handler, shown = b"", (0, 0)
    for box in _boxes(trak):
        if box.kind == b"tkhd":
            shown = _shown(box.body)
        elif box.kind == b"mdia":
            found = (bytes(inner.body[8:12]) for inner in _boxes(box.body) if inner.kind == b"hdlr")
            handler = next(found, b"")
    return handler, shown


def _shown(tkhd: memoryview) -> tuple[int, int]:
    """Return the size in `tkhd`, which holds the pixel aspect already, turned by the matrix."""
    matrix = 52 if _number(tkhd, 0, 1) == 1 else 40
    width, height = (_number(tkhd, matrix + 36 + offset, 4) + 0x8000 >> 16 for offset in (0, 4))
    across, down = _number(tkhd, matrix, 4), _number(tkhd, matrix + 4, 4)
    return (height, width) if across == 0 and down != 0 else (width, height)


def _number(data: bytes | bytearray | memoryview, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big")
