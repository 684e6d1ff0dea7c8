"""Files without a name: no other process can open them, and the kernel removes them however this process ends.

Figures (two cores, ext4, pieces of 256 KiB): writing inline costs 0.3 CPU-s per GB, but one write in a thousand stalled
the event loop for up to 0.5 s, because the kernel made the writer wait for the disk. A thread costs some 0.1 to 0.5 ms
per call, so writes are made there, in blocks of a mebibyte. Reading from the page cache costs 0.1 CPU-s per GB inline.
Only what the kernel would have to fetch from the disk is read in a thread.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from io import FileIO
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from streamwarm.threads import RunSync

READ_BYTES = 256 * 1024
"""The size of a piece, the same as that of a bucket's connection (`net/stream.py`)."""


def make_private_folder(parent: Path | None) -> Path:
    """Make a new folder that only this user can enter, below `parent` or the system's temporary folder.

    Raises `OSError`.
    """
    if parent is not None:
        for folder in reversed((parent, *parent.parents)):  # `parents=True` would let others read those between
            folder.mkdir(mode=0o700, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="streamwarm-cache-", dir=parent))


@define(eq=False)
class NamelessFile:
    """A file that one task appends to and others read at any offset. Every method raises `OSError` if the disk
    fails."""

    _file: FileIO
    _run_sync: RunSync
    size_bytes: int = field(default=0, init=False)
    _digest: Any = field(factory=hashlib.sha256, init=False, repr=False)

    @classmethod
    async def open(cls, folder: Path, run_sync: RunSync) -> NamelessFile:
        return cls(await run_sync(_open_nameless, folder), run_sync)

    @property
    def sha256(self) -> str:
        """The digest of all that was appended, lower-case hex, whatever the disk made of it."""
        return str(self._digest.hexdigest())

    async def append(self, block: bytes | bytearray) -> None:
        await self._run_sync(self._append, block)

    def _append(self, block: bytes | bytearray) -> None:
        with memoryview(block) as view:
            written = 0
            while written < len(view):
                written += os.pwrite(self._file.fileno(), view[written:], self.size_bytes + written)
        self._digest.update(block)
        self.size_bytes += written

    async def read(self, offset: int, max_bytes: int) -> bytes:
        """Return at least one byte from `offset` on, or `b""` if the file ends there."""
        piece = _read_cached(self._file.fileno(), offset, max_bytes)
        if piece is None:
            return await self._run_sync(os.pread, self._file.fileno(), max_bytes, offset)
        await trio.lowlevel.checkpoint()
        return piece

    async def read_whole(self, offset: int, count: int) -> bytes:
        """Return `count` bytes from `offset` on, or fewer if the file ends there."""
        found = bytearray()
        while len(found) < count and (piece := await self.read(offset + len(found), count - len(found))):
            found += piece
        return bytes(found)

    def close(self) -> None:
        self._file.close()


def _open_nameless(folder: Path) -> FileIO:
    """Open with O_TMPFILE if the file system has it; otherwise create a file and unlink it at once."""
    try:
        return tempfile.TemporaryFile(dir=folder, buffering=0)
    except FileNotFoundError:
        # A folder of nameless files looks empty, so a cleaner of temporary folders may have removed it.
        folder.mkdir(mode=0o700)
        return tempfile.TemporaryFile(dir=folder, buffering=0)


def _read_cached(fd: int, offset: int, max_bytes: int) -> bytes | None:
    """Return what the page cache holds, or None if the disk must be read or the system cannot say; then use a
    thread."""
    if sys.platform != "linux":
        return None
    buffer = bytearray(max_bytes)
    try:
        count = os.preadv(fd, [buffer], offset, os.RWF_NOWAIT)
    except OSError:
        # EAGAIN or EOPNOTSUPP. After any other error, the plain read raises it again.
        return None
    del buffer[count:]
    return bytes(buffer)
