"""Spools an object of unknown length into a file: a destination must know the length before the first byte leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import define, evolve

from streamwarm.errors import Blame, ErrorCode, SourceError
from streamwarm.fetch.cache.file import READ_BYTES, NamelessFile
from streamwarm.fetch.one_reading import OneReading
from streamwarm.fetch.source import ObjectInfo, Origin, SourceObject
from streamwarm.threads import RunSync

BLOCK_BYTES = 1024 * 1024
"""Bytes that are written at once: a write in a thread costs some 0.1 to 0.5 ms."""


@define(eq=False)
class SpooledObject(OneReading):
    """An object that is whole in a file."""

    info: ObjectInfo
    _file: NamelessFile
    _offset: int = 0

    @property
    def origin(self) -> Origin:
        return Origin.STREAM

    async def read_at(self, offset: int, count: int) -> bytes:
        return await self._file.read_whole(offset, count)

    async def __anext__(self) -> bytes:
        if self._offset == self.info.bytes:
            raise StopAsyncIteration
        piece = await self._file.read(self._offset, min(READ_BYTES, self.info.bytes - self._offset))
        if not piece:
            raise SourceError(ErrorCode.SOURCE_TRUNCATED, f"the spooled copy of {self.info.r2_key!r} is cut off")
        self._offset += len(piece)
        return piece


@asynccontextmanager
async def spooled(
    unsized: SourceObject, folder: Path, run_sync: RunSync, take_room: Callable[[int], bool]
) -> AsyncIterator[SpooledObject]:
    """Read `unsized` to its end, and give it back with its length.

    `take_room(n)` reserves `n` more bytes on the disk, or returns False. Raises `SourceError`.
    """
    try:
        file = await NamelessFile.open(folder, run_sync)
    except OSError as error:
        raise _disk_failed(unsized.info, error) from error
    try:
        try:
            await _fill(file, unsized, take_room)
        except OSError as error:
            raise _disk_failed(unsized.info, error) from error
        yield SpooledObject(evolve(unsized.info, bytes=file.size_bytes), file)
    finally:
        file.close()


async def _fill(file: NamelessFile, unsized: SourceObject, take_room: Callable[[int], bool]) -> None:
    block = bytearray()
    async for piece in unsized.pieces():
        if not take_room(len(piece)):
            raise SourceError(
                ErrorCode.SOURCE_REFUSED,
                f"the server tells the length of {unsized.info.r2_key!r} neither by GET nor by HEAD, and the object "
                "does not fit into the cache to be measured; raise cache.max_bytes, or have the bucket answer HEAD",
                permanent=False,
            )
        block += piece
        if len(block) >= BLOCK_BYTES:
            await file.append(block)
            block.clear()
    await file.append(block)


def _disk_failed(info: ObjectInfo, error: OSError) -> SourceError:
    return SourceError(
        ErrorCode.SOURCE_UNAVAILABLE,
        f"{info.r2_key!r} could not be spooled to the disk under cache.dir: {error.strerror}",
        blame=Blame.OBJECT,
    )
