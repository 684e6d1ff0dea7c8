"""The reader itself: returns which bytes it wants, is fed, and ends with a result. Pure.

`probe_video` awaits the reads that it is given, and does no I/O of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from attrs import frozen

from streamwarm.video.movie import examine
from streamwarm.video.result import Unreadable, Video
from streamwarm.video.window import MOST_READS, READ_BYTES, Ended, Lacking, TooManySteps, Windows


@frozen
class Wanted:
    """The part of the file that is needed next: `length` bytes from `offset` on, all of them inside the file."""

    offset: int
    length: int


class VideoReader:
    """Reads one file of `size_bytes`.

        reader = VideoReader(size_bytes)
        while (want := reader.next_read()) is not None:
            reader.feed(want.offset, await read(want.offset, want.length))
        reader.result

    If the file's front is at hand anyway, feed it before the first `next_read`; it counts as one of the reads.
    """

    def __init__(self, size_bytes: int) -> None:
        self.reads = 0
        """Windows that were fed, the front included."""

        self.bytes_read = 0
        self._source = Windows(max(0, size_bytes))
        self._wanted: Wanted | None = None
        self._result: Video | Unreadable | None = None

    @property
    def steps(self) -> int:
        """Boxes and fields that were read so far; at most `MOST_STEPS` + 1."""
        return self._source.steps

    @property
    def result(self) -> Video | Unreadable:
        """What was found. Raises RuntimeError while `next_read` still wants bytes."""
        if self._result is None:
            raise RuntimeError("the reader still wants bytes: call next_read and feed until it returns None")
        return self._result

    def next_read(self) -> Wanted | None:
        """Return which bytes to feed next; None when `result` is there. Wants the same until it is fed."""
        if self._wanted is None and self._result is None:
            self._advance()
        return self._wanted

    def feed(self, offset: int, data: bytes) -> None:
        """Take the bytes that `next_read` returned, or before the first one the file's front, in one or more pieces.

        Fewer bytes than were wanted mean that the file ends there. What was not asked for is ignored.
        """
        if self._wanted is None:
            self._feed_front(offset, data)
        elif offset == self._wanted.offset:
            data = data[: self._wanted.length]
            if len(data) < self._wanted.length:
                self._source.size_bytes = offset + len(data)
            self._take(offset, data)
            self.reads += 1
            self._wanted = None

    def _feed_front(self, offset: int, data: bytes) -> None:
        """Keep a piece of the first window, if it follows the one before."""
        if self._result is None and self.reads <= 1 and offset == self.bytes_read < READ_BYTES:
            self._take(offset, data[: READ_BYTES - offset])
            self.reads = 1

    def _take(self, offset: int, data: bytes) -> None:
        data = data[: max(0, self._source.size_bytes - offset)]
        self._source.add(offset, data)
        self.bytes_read += len(data)

    def _advance(self) -> None:
        self._source.is_complete = self.reads >= MOST_READS
        try:
            self._result = examine(self._source)
        except Lacking as lacking:
            length = min(READ_BYTES, self._source.size_bytes - lacking.offset)
            self._wanted = Wanted(lacking.offset, length)
        except Ended:
            self._result = Unreadable("ends inside its movie header (moov)", is_mp4=True)
        except TooManySteps:
            self._result = Unreadable("has more boxes than a video needs", is_mp4=True)


async def probe_video(
    read: Callable[[int, int], Awaitable[bytes]], size_bytes: int, *, front: bytes = b""
) -> Video | Unreadable:
    """Return how the video of `size_bytes` looks, by at most four awaited calls of `read(offset, length)`.

    `front` is what is at hand of its first 64 KiB; with all of them at most three calls are made. What `read` raises
    passes through. A `read` that returns fewer bytes says that the file ends there.
    """
    reader = VideoReader(size_bytes)
    if front:
        reader.feed(0, front)
    while (want := reader.next_read()) is not None:
        reader.feed(want.offset, await read(want.offset, want.length))
    return reader.result
