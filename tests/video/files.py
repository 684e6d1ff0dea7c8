"""Reads files and byte strings as a caller of the reader does, and keeps within its promise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from streamwarm.video import MOST_READS, MOST_STEPS, READ_BYTES, Unreadable, Video, VideoReader


def read_all(reader: VideoReader, read: Callable[[int, int], bytes], size_bytes: int) -> Video | Unreadable:
    """Feed what the reader wants until it has a result; fails if that costs more than promised."""
    wanted = []
    while (want := reader.next_read()) is not None:
        assert 0 <= want.offset < want.offset + want.length <= size_bytes
        assert want.length <= READ_BYTES
        wanted.append(want)
        reader.feed(want.offset, read(want.offset, want.length))
    assert len(wanted) <= reader.reads <= MOST_READS
    assert reader.bytes_read <= MOST_READS * READ_BYTES
    assert reader.steps <= MOST_STEPS + 1
    assert reader.next_read() is None
    return reader.result


def read_bytes(content: bytes, size_bytes: int | None = None) -> Video | Unreadable:
    """Read a file with this content; if `size_bytes` says so, with zeros behind it."""
    size = len(content) if size_bytes is None else size_bytes

    def read(offset: int, length: int) -> bytes:
        return content[offset : offset + length].ljust(length, b"\0")

    return read_all(VideoReader(size), read, size)


def read_path(path: Path) -> tuple[Video | Unreadable, VideoReader]:
    """Read a file on disk; returns the reader too, for its counts."""
    size = path.stat().st_size
    reader = VideoReader(size)
    with path.open("rb") as file:

        def read(offset: int, length: int) -> bytes:
            file.seek(offset)
            return file.read(length)

        return read_all(reader, read, size), reader
