"""The parts of a file that are at hand, and what is raised if a byte outside them is needed. Pure."""

from __future__ import annotations

READ_BYTES = 64 * 1024
"""Bytes per window. In files of ffmpeg, `moov` up to its first sample table takes under 2 KB. What follows `moov` in a
fragmented file, an index of up to 5,000 fragments, fits as well."""

MOST_READS = 4
"""Windows per file, the first one included. The worst real file needs all: front, `moov` behind the media, and two
tracks behind the long sample tables of others. More would be spent on crafted files alone."""

MOST_STEPS = 2_000
"""Boxes and fields that are read per file, over all its windows. Real files need 30 to 160. 2,000 take up to 10 ms of a
slow processor, for which the event loop stands still; a window of empty boxes has 8,192."""


class Lacking(Exception):
    """Bytes from `offset` on are needed to continue."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


class Ended(Exception):
    """What is needed lies behind the file's end, or more windows would be needed than one file gets."""


class TooManySteps(Exception):
    """The file has more boxes than are read."""


class Windows:
    """The bytes at hand of a file of `size_bytes`."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.steps = 0
        self.is_complete = False
        """Whether no further window will come: what is not at hand then ends the reading instead of asking for it."""
        self._parts: list[tuple[int, bytearray]] = []

    def add(self, offset: int, data: bytes) -> None:
        """Keep `data`, joined to the part that ends where it begins."""
        for start, part in self._parts:
            if start + len(part) == offset:
                part.extend(data)
                return
        self._parts.append((offset, bytearray(data)))

    def at(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` on; `length` is at most `READ_BYTES`, so that one window is enough.

        Raises Lacking if they are not at hand, Ended if they never will be, TooManySteps after `MOST_STEPS` calls.
        """
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise TooManySteps
        if offset + length > self.size_bytes:
            raise Ended
        for start, part in self._parts:
            if start <= offset and offset + length <= start + len(part):
                return bytes(part[offset - start : offset - start + length])
        raise Ended if self.is_complete else Lacking(self._first_missing(offset))

    def has(self, offset: int, length: int) -> bool:
        """Whether `at` would return these bytes."""
        return offset + length <= min(self.size_bytes, self._first_missing(offset))

    def number(self, offset: int, length: int, *, signed: bool = False) -> int:
        """Return a big-endian number; raises as `at` does."""
        return int.from_bytes(self.at(offset, length), "big", signed=signed)

    def _first_missing(self, offset: int) -> int:
        """The first byte from `offset` on that is not at hand."""
        ends = [start + len(part) for start, part in self._parts if start <= offset < start + len(part)]
        return max(ends, default=offset)
