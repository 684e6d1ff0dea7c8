"""Headers of boxes, and the way from one to the next (ISO/IEC 14496-12, 4.2). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Set

from attrs import frozen

from streamwarm.video.window import Ended, Windows


class Hopeless(Exception):
    """The file will not be understood, however much of it is read; `why` and `is_mp4` are those of `Unreadable`."""

    def __init__(self, why: str, *, is_mp4: bool = True) -> None:
        super().__init__(why)
        self.why = why
        self.is_mp4 = is_mp4


@frozen
class Box:
    """One box; offsets count from the file's start."""

    type: bytes
    start: int
    body: int
    end: int
    """The first byte behind it, never behind the end of what it is in."""

    is_cut: bool = False
    """Whether it claims to go on behind that end."""


def top_boxes(source: Windows, start: int = 0) -> Iterator[Box]:
    """The boxes at the top of the file, from `start` on. Size 0 means up to the file's end.

    Raises Hopeless at a size that leads nowhere, Ended where the file ends inside a box's header, and what
    `Windows.at` raises.
    """
    offset = start
    while offset < source.size_bytes:
        size, box = _header(source, offset, source.size_bytes)
        if box is None:
            name = source.at(offset + 4, 4).decode("latin-1")
            raise Hopeless(f"has a box {name!r} with an impossible size at byte {offset:,}")
        yield box
        offset = source.size_bytes if size == 0 else offset + size


def inner_boxes(source: Windows, start: int, end: int) -> Iterator[Box]:
    """The boxes from `start` to `end` in another one. A box that makes no sense ends them, as QuickTime's 0 does."""
    offset = start
    while end - offset >= 8:
        size, box = _header(source, offset, end)
        if box is None or size == 0:
            return
        yield box
        offset += size


def first_of_each(source: Windows, start: int, end: int, types: Set[bytes]) -> dict[bytes, Box]:
    """The first box of each of these types, by type; what follows the last one that is sought is not looked at."""
    found: dict[bytes, Box] = {}
    for box in inner_boxes(source, start, end):
        if box.type in types:
            found.setdefault(box.type, box)
            if len(found) == len(types):
                break
    return found


def _header(source: Windows, offset: int, limit: int) -> tuple[int, Box | None]:
    """Return the claimed size and the box, None if that size is less than the header's own."""
    head = source.at(offset, 8)
    size, body = int.from_bytes(head[:4], "big"), offset + 8
    if size == 1:
        size, body = source.number(offset + 8, 8), offset + 16
    if size == 0:
        return 0, Box(head[4:], offset, body, limit)
    if size < body - offset:
        return size, None
    return size, Box(head[4:], offset, body, min(offset + size, limit), offset + size > limit)


def field(source: Windows, box: Box, at: int, length: int, *, signed: bool = False) -> int:
    """A number at `at` bytes behind the box's header; raises Ended if the box is too short for it."""
    if box.body + at + length > box.end:
        raise Ended
    return source.number(box.body + at, length, signed=signed)
