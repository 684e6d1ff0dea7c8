"""One download of one object into one file, and the readers that follow it.

Theory. The download is a task of its own that belongs to no reader, so a reader that is cancelled, fails or is slow
does not affect the others. Leaving is synchronous, so it cannot be interrupted. The download is cancelled only if its
last reader leaves before it is complete.

Readers and download share three numbers: how much is in the file, how far the fastest reader is, and the object's size.
A reader waits only while it has read all there is. The download waits only while the fastest reader is `AHEAD_BYTES`
behind. Both cannot be true at once, so they never wait for each other. A reader's wait ends with the download's, which
is bounded by the bucket's time-outs.

Failures. The last bytes are announced only once the source has ended cleanly and the digest is known, so no reader gets
the whole of an incomplete object. If the file fails (disk full, a read error, a copy that lost bytes), the download
stops and every reader continues from the bucket at its own offset: a bad disk costs the cache, never a transfer. If the
source fails, it has already used up its own reopens, so readers get its error and their attempts are retried later.

A reader that joined another's download hashes what it reads, because up to `ttl_s` seconds and a disk lie between
writing and reading.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from streamwarm.errors import ErrorCode, SourceError
from streamwarm.fetch.cache.file import READ_BYTES, NamelessFile
from streamwarm.fetch.one_reading import OneReading
from streamwarm.fetch.source import ObjectInfo, Origin, ResumableSource
from streamwarm.threads import RunSync
from streamwarm.watch.observations import Observer, UnexpectedError

AHEAD_BYTES = 8 * 1024 * 1024
"""How far a download may be ahead of its fastest reader: enough to hide disk stalls, but small enough that an upload
that fails early does not cost the download of a whole object."""

BLOCK_BYTES = 1024 * 1024
"""The most that is written at once; `file.py` has the cost of a write."""

GATHER_S = 0.05
"""How long the bytes of a slow source are collected before they are written even if the block is not full."""


@define(eq=False)
class SharedDownload:
    """A download that several readers share. Run `run` in a task.

    `on_closed` is called once, when the file is closed and its room is free. `admit(info)` makes room for the object;
    if it returns False, `info` stays None and nothing is shared. The file stays open while the index keeps it
    (`is_kept`) or `readers` is not empty.
    """

    r2_key: str
    _wanted_sha256: str | None
    _source: ResumableSource
    _folder: Path
    _run_sync: RunSync
    _admit: Callable[[SharedDownload, ObjectInfo], bool]
    _on_closed: Callable[[SharedDownload], None]
    _observe: Observer
    info: ObjectInfo | None = field(default=None, init=False)
    size_bytes: int = field(default=0, init=False)
    filled_bytes: int = field(default=0, init=False)
    sha256: str | None = field(default=None, init=False)
    error: SourceError | None = field(default=None, init=False)
    expires_at: float | None = field(default=None, init=False)
    is_kept: bool = field(default=True, init=False)
    is_broken: bool = field(default=False, init=False)
    opened: trio.Event = field(factory=trio.Event, init=False)
    readers: set[CacheReader] = field(factory=set, init=False)
    _file: NamelessFile | None = field(default=None, init=False)
    _scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _is_running: bool = field(default=True, init=False)
    _is_closed: bool = field(default=False, init=False)
    _starved: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    _ahead: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)

    @property
    def is_complete(self) -> bool:
        return self.sha256 is not None

    @property
    def is_dead(self) -> bool:
        """True if a new reader cannot use it: it ended or is about to end without the whole object, or its file is
        damaged."""
        return self.is_broken or (not self.is_complete and (not self._is_running or self._scope.cancel_called))

    @property
    def is_idle(self) -> bool:
        return self.is_complete and not self._is_running and not self.readers

    async def run(self) -> None:
        """Download until the object is complete, the last reader leaves, or something fails."""
        try:
            with self._scope:
                await self._fill()
        except SourceError as error:
            self.error = error
        except Exception as error:
            # A full disk, or a bug: the object is not cached. Readers continue from the bucket.
            self._observe(UnexpectedError(f"filling the download cache with {self.r2_key!r}", error))
        finally:
            self._is_running = False
            self.opened.set()
            self._starved.unpark_all()
            self._close_if_unused()

    def join(self, *, origin: Origin) -> CacheReader:
        """Return a new reader. `origin` is `stream` for the one that began the download, else `cache`."""
        reader = CacheReader(self, self._source, origin)
        self.readers.add(reader)
        return reader

    def leave(self, reader: CacheReader) -> None:
        """Remove a reader. If it was the last one, an unfinished download is cancelled."""
        self.readers.discard(reader)
        if not self.readers and not self.is_complete:
            self._scope.cancel()
        self._ahead.unpark_all()  # another reader may be the fastest now
        self._close_if_unused()

    def let_go(self) -> None:
        """Called when the index drops it: the file is closed once the last reader has left."""
        self.is_kept = False
        self._close_if_unused()

    def advanced(self) -> None:
        """Called when a reader has read on: the download may be waiting for that."""
        self._ahead.unpark_all()

    async def read_whole(self, offset: int, count: int) -> bytes | None:
        """Return `count` bytes from `offset` on, or None if the file does not have them all or cannot be read."""
        if self._file is None or not self.is_complete:
            return None
        try:
            found = await self._file.read_whole(offset, count)
        except OSError:
            return None
        return found if len(found) == count else None

    async def read(self, offset: int) -> bytes | None:
        """Return bytes from `offset` on, waiting for them if necessary; None if the file will have no more.

        Raises `SourceError` if the source failed before `offset` was reached.
        """
        while offset >= self.filled_bytes and self._is_running:
            await self._starved.park()
        if offset < self.filled_bytes and self._file is not None:
            return await self._read_file(self._file, offset)
        if self.error is not None:
            raise _same_error(self.error)
        return None

    async def _read_file(self, file: NamelessFile, offset: int) -> bytes | None:
        try:
            piece = await file.read(offset, min(READ_BYTES, self.filled_bytes - offset))
        except OSError as error:
            self._observe(UnexpectedError(f"reading {self.r2_key!r} from the download cache", error))
            piece = b""
        self.is_broken = self.is_broken or not piece
        return piece or None

    async def _fill(self) -> None:
        async with self._source.open_object(self.r2_key, sha256=self._wanted_sha256) as opened:
            if not self._admit(self, opened.info):
                return
            file = self._file = await NamelessFile.open(self._folder, self._run_sync)
            self.info = opened.info
            self.opened.set()
            await self._pour(opened.pieces(), file, opened.info.bytes)
        self.sha256 = file.sha256
        self._announce(file.size_bytes)

    async def _pour(self, pieces: AsyncIterator[bytes], file: NamelessFile, total_bytes: int) -> None:
        """Append all the pieces to the file. Every block but the last is announced once it is written."""
        block = bytearray()
        since = trio.current_time()
        async for piece in pieces:
            if block and (len(block) >= BLOCK_BYTES or trio.current_time() - since >= GATHER_S):
                await file.append(block)
                self._announce(file.size_bytes)
                block.clear()
            if not block:
                await self._wait_for_readers()
                since = trio.current_time()
            block += piece
            if file.size_bytes + len(block) > total_bytes:
                raise _wrong_length(self.r2_key, file.size_bytes + len(block), total_bytes)
        await file.append(block)
        if file.size_bytes != total_bytes:
            raise _wrong_length(self.r2_key, file.size_bytes, total_bytes)

    async def _wait_for_readers(self) -> None:
        while self.filled_bytes - max((r.offset for r in self.readers), default=0) >= AHEAD_BYTES:
            await self._ahead.park()

    def _announce(self, filled_bytes: int) -> None:
        self.filled_bytes = filled_bytes
        self._starved.unpark_all()

    def _close_if_unused(self) -> None:
        if self._is_closed or self._is_running or self.readers or self.is_kept:
            return
        self._is_closed = True
        if self._file is not None:
            self._file.close()
        self._on_closed(self)


@define(eq=False)
class CacheReader(OneReading):
    """A `SourceObject` that reads a shared download at its own pace. Call `aclose` after `leave`."""

    download: SharedDownload
    _source: ResumableSource
    _origin: Origin
    offset: int = field(default=0, init=False)
    saved_bytes: int = field(default=0, init=False)
    _digest: Any = field(factory=hashlib.sha256, init=False, repr=False)
    _rest: AsyncIterator[bytes] | None = field(default=None, init=False)
    _connection: AsyncExitStack = field(factory=AsyncExitStack, init=False)

    @property
    def info(self) -> ObjectInfo:
        assert self.download.info is not None, "used before the object was open"  # noqa: S101 - a bug of ours
        return self.download.info

    @property
    def origin(self) -> Origin:
        """`cache` if another reader's download brought all the bytes, else `stream`."""
        return Origin.STREAM if self._rest is not None else self._origin

    async def __anext__(self) -> bytes:
        if self.offset == self.info.bytes and self._rest is None:
            raise StopAsyncIteration
        piece = await self._next_piece()
        self.offset += len(piece)
        self.download.advanced()
        if self._origin is Origin.CACHE:
            self._verify(piece)
        return piece

    async def read_at(self, offset: int, count: int) -> bytes:
        """From the file if it is complete, else from the bucket: the download does not jump."""
        found = await self.download.read_whole(offset, count)
        if found is not None:
            return found
        async with self._source.open_rest(self.info, offset) as rest:
            return await rest.read_at(offset, count)

    async def aclose(self) -> None:
        await self._connection.aclose()

    async def _next_piece(self) -> bytes:
        if self._rest is None:
            piece = await self.download.read(self.offset)
            if piece is not None:
                self.saved_bytes += len(piece) if self._origin is Origin.CACHE else 0
                return piece
            self.download.leave(self)
            rest = self._source.open_rest(self.info, self.offset)
            self._rest = (await self._connection.enter_async_context(rest)).pieces()
        return await anext(self._rest)

    def _verify(self, piece: bytes) -> None:
        self._digest.update(piece)
        expected = self.download.sha256
        if expected is not None and self.offset == self.info.bytes and self._digest.hexdigest() != expected:
            self.download.is_broken = True
            raise _damaged(self.info)


def _same_error(error: SourceError) -> SourceError:
    """Copy the error for one more reader: an exception raised in two tasks would carry the tracebacks of both."""
    return SourceError(
        error.code,
        error.message,
        permanent=error.permanent,
        retry_after_s=error.retry_after_s,
        counts=error.counts,
        blame=error.blame,
    )


def _damaged(info: ObjectInfo) -> SourceError:
    return SourceError(
        ErrorCode.SOURCE_TRUNCATED,
        f"the cached copy of {info.r2_key!r} is not what was downloaded; it was dropped, and the next attempt reads "
        "the bucket. If this happens again, the disk under cache.dir is failing",
    )


def _wrong_length(r2_key: str, got_bytes: int, total_bytes: int) -> SourceError:
    return SourceError(
        ErrorCode.SOURCE_TRUNCATED,
        f"object {r2_key!r} has {total_bytes} bytes but the source sent {got_bytes}; the next attempt reads it afresh",
    )
