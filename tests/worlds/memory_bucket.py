"""A bucket in memory that counts what it is asked for, gives pieces at a chosen pace, and breaks at a chosen byte."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from attrs import Factory, define, frozen
from trio.testing import MockClock

from streamwarm.errors import ErrorCode, SourceError
from streamwarm.fetch.cache.file import make_private_folder
from streamwarm.fetch.cache.source import CachedSource, open_cache
from streamwarm.fetch.source import ObjectInfo, Origin, ResumableSource, SourceObject
from streamwarm.watch.observations import Observation


@define
class MemoryBucket(ResumableSource):
    """`breaks` holds, a download at a time, after how many bytes it fails; without an entry it is whole. It
    claims that objects are `lies_by` bytes longer than they are."""

    objects: dict[str, bytes]
    piece_bytes: int = 5000
    piece_s: float = 0.01
    lies_by: int = 0
    breaks: list[int] = Factory(list)
    etags: dict[str, str | None] = Factory(dict)
    gets: list[str] = Factory(list)
    heads: list[str] = Factory(list)
    rests: list[tuple[str, int]] = Factory(list)
    open_now: int = 0
    bytes_out: int = 0

    def info(self, r2_key: str) -> ObjectInfo:
        if r2_key not in self.objects:
            raise SourceError(ErrorCode.SOURCE_NOT_FOUND, f"there is no {r2_key}")
        body = self.objects[r2_key]
        etag, seen_at = self.etags.get(r2_key, f'"{hash(body)}"'), trio.current_time()
        return ObjectInfo(r2_key, len(body) + self.lies_by, etag, "video/mp4", seen_at=seen_at)

    async def head_object(self, r2_key: str) -> ObjectInfo:
        self.heads.append(r2_key)
        await trio.sleep(self.piece_s)
        return self.info(r2_key)

    @asynccontextmanager
    async def open_object(self, r2_key: str, *, sha256: str | None = None) -> AsyncIterator[SourceObject]:
        self.gets.append(r2_key)
        await trio.sleep(self.piece_s)
        info = self.info(r2_key)
        async with self._reading(info, self.objects[r2_key], self.breaks.pop(0) if self.breaks else None) as opened:
            yield opened

    @asynccontextmanager
    async def open_rest(self, info: ObjectInfo, offset: int) -> AsyncIterator[SourceObject]:
        self.rests.append((info.r2_key, offset))
        await trio.sleep(self.piece_s)
        if self.info(info.r2_key).etag != info.etag:
            raise SourceError(ErrorCode.SOURCE_CHANGED, f"{info.r2_key} was replaced")
        async with self._reading(info, self.objects[info.r2_key][offset:], None) as opened:
            yield opened

    @asynccontextmanager
    async def _reading(self, info: ObjectInfo, body: bytes, breaks_at: int | None) -> AsyncIterator[SourceObject]:
        self.open_now += 1
        try:
            yield _Object(info, self, body, breaks_at)
        finally:
            self.open_now -= 1
            await trio.lowlevel.checkpoint()


@define
class _Object:
    info: ObjectInfo
    _bucket: MemoryBucket
    _body: bytes
    _breaks_at: int | None
    _offset: int = 0
    origin: Origin = Origin.STREAM

    def pieces(self) -> AsyncIterator[bytes]:
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await trio.sleep(self._bucket.piece_s)
        if self._breaks_at is not None and self._offset >= self._breaks_at:
            raise SourceError(ErrorCode.SOURCE_UNAVAILABLE, "the connection broke")
        piece = self._body[self._offset : self._offset + self._bucket.piece_bytes]
        if not piece:
            raise StopAsyncIteration
        self._offset += len(piece)
        self._bucket.bytes_out += len(piece)
        return piece


@frozen
class CacheRig:
    cache: CachedSource
    bucket: MemoryBucket
    folder: Path
    observed: list[Observation]

    async def read(
        self, r2_key: str = "a", *, piece_s: float = 0.0, sha256: str | None = None, origin: str | None = None
    ) -> bytes:
        """Read it all, with `piece_s` between pieces; `origin` is where the bytes must have come from."""
        async with self.cache.open_object(r2_key, sha256=sha256) as opened:
            body = bytearray()
            async for piece in opened.pieces():
                body += piece
                await trio.sleep(piece_s)
            assert opened.info.bytes == len(body)
            assert origin in {None, opened.origin}
            return bytes(body)

    def files(self) -> list[Path]:
        """The cache's files that are open now, as this process's own descriptors name them."""
        return [fd for fd in _descriptors() if str(self.folder) in _target(fd)]


@asynccontextmanager
async def cache_rig(
    bucket: MemoryBucket,
    parent: Path,
    *,
    ttl_s: float = 300.0,
    max_entries: int = 50,
    max_bytes: int = 1 << 30,
    eager: bool = True,
) -> AsyncIterator[CacheRig]:
    """A cache over a bucket; at the end nothing of it may be left: no connection, no file, no folder."""
    folder, observed = make_private_folder(parent), list[Observation]()
    limits = {"max_entries": max_entries, "max_bytes": max_bytes, "run_sync": trio.to_thread.run_sync}
    async with open_cache(bucket, folder=folder, ttl_s=ttl_s, eager=eager, observe=observed.append, **limits) as cache:
        rig = CacheRig(cache, bucket, folder, observed)
        yield rig
        assert list(folder.iterdir()) == [] if folder.exists() else True, "a file of the cache has a name"
    assert not folder.exists()
    assert rig.files() == []
    assert bucket.open_now == 0
    assert cache.stats().bytes == cache.stats().entries == 0


def brisk_clock() -> MockClock:
    """Virtual time that leaps once the file threads have been quiet for a moment of real time."""
    return MockClock(autojump_threshold=0.002)


def _descriptors() -> list[Path]:
    return list(Path("/proc/self/fd").iterdir())


def _target(fd: Path) -> str:
    try:
        return os.readlink(fd)
    except FileNotFoundError:
        return ""
