"""A disk that fails costs the cache, never a transfer; and nothing of the cache outlives it."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from streamwarm.errors import ErrorCode, SourceError
from streamwarm.fetch.cache.download import BLOCK_BYTES
from streamwarm.fetch.cache.file import make_private_folder
from streamwarm.fetch.cache.source import open_cache
from streamwarm.watch.observations import UnexpectedError
from tests.worlds.backlog import IN_THREADS
from tests.worlds.memory_bucket import MemoryBucket, brisk_clock, cache_rig
from tests.worlds.scripted_bucket import ETAG, holding, rig

BODY = os.urandom(4 * BLOCK_BYTES + 17)


@pytest.fixture
def clock() -> MockClock:
    return brisk_clock()


def bucket_of_body() -> MemoryBucket:
    return MemoryBucket({"a": BODY}, piece_bytes=256 * 1024)


@contextmanager
def disk_full_after(size_bytes: int) -> Iterator[None]:
    """The kernel refuses to let any file of this process grow further."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size_bytes", [0, 100_000, 2 * BLOCK_BYTES, len(BODY) - 1])
async def test_a_full_disk_never_fails_a_transfer(size_bytes: int, clock: MockClock, tmp_path: Path) -> None:
    bodies: list[bytes] = []

    async def read(piece_s: float) -> None:
        bodies.append(await cached.read(piece_s=piece_s))

    async with cache_rig(bucket_of_body(), tmp_path) as cached:
        with disk_full_after(size_bytes):
            async with trio.open_nursery() as nursery:
                for piece_s in (0.0, 0.1, 5.0):
                    nursery.start_soon(read, piece_s)
        assert bodies == [BODY] * 3
        assert any(isinstance(event, UnexpectedError) for event in cached.observed)
        assert (cached.cache.stats().bytes, cached.cache.stats().entries) == (0, 0)
        # The disk has room again, and so has the cache.
        await cached.read(origin="stream")
        assert await cached.read(origin="cache") == BODY


async def test_after_a_full_disk_r2_is_asked_only_for_the_rest(clock: MockClock, tmp_path: Path) -> None:
    body = BODY[: 2 * BLOCK_BYTES]
    async with rig(holding(body, cuts=[])) as honest:
        folder = make_private_folder(tmp_path)
        limits = {"max_entries": 5, "max_bytes": 1 << 30}
        async with open_cache(honest.source, folder=folder, ttl_s=300, eager=True, **IN_THREADS, **limits) as cache:
            with disk_full_after(BLOCK_BYTES + BLOCK_BYTES // 2):
                async with cache.open_object("media/a.mp4") as opened:
                    got = b"".join([bytes(piece) async for piece in opened.pieces()])
        assert got == body
        first, rest = honest.bucket.asked
        assert (first.offset, rest.headers["if-match"]) == (None, ETAG)
        assert 0 < (rest.offset or 0) <= BLOCK_BYTES + BLOCK_BYTES // 2


@pytest.mark.parametrize("kept_bytes", [0, 1, 300_000, len(BODY) - 1])
async def test_a_file_cut_short_is_completed_from_the_bucket_and_dropped(
    kept_bytes: int, clock: MockClock, tmp_path: Path
) -> None:
    async with cache_rig(bucket_of_body(), tmp_path) as cached:
        await cached.read()
        (file,) = cached.files()
        os.truncate(file, kept_bytes)
        assert await cached.read(origin="stream") == BODY
        assert cached.bucket.rests == [("a", kept_bytes)]
        assert cached.files() == []


@pytest.mark.parametrize("offset", [0, 2 * BLOCK_BYTES, len(BODY) - 1])
@pytest.mark.parametrize("also_cut", [False, True])
async def test_a_damaged_copy_is_never_delivered_as_whole(
    offset: int, also_cut: bool, clock: MockClock, tmp_path: Path
) -> None:
    async with cache_rig(bucket_of_body(), tmp_path) as cached:
        await cached.read()
        (file,) = cached.files()
        with file.open("r+b") as damaged:
            damaged.seek(offset)
            damaged.write(bytes([BODY[offset] ^ 1]))
        if also_cut:
            os.truncate(file, offset + 1)
        received = bytearray()

        async def receive() -> None:
            async with cached.cache.open_object("a") as opened:
                async for piece in opened.pieces():
                    received.extend(piece)

        with pytest.raises(SourceError, match="the cached copy of 'a' is not what was downloaded") as caught:
            await receive()
        assert len(received) < len(BODY)
        assert (caught.value.code, caught.value.permanent) == (ErrorCode.SOURCE_TRUNCATED, False)
        assert await cached.read(origin="stream") == BODY


async def test_other_users_cannot_look_into_the_cache(clock: MockClock, tmp_path: Path) -> None:
    async with cache_rig(bucket_of_body(), tmp_path / "given" / "folder") as cached:
        await cached.read()
        assert cached.folder.stat().st_mode & 0o777 == 0o700
        assert cached.files()
        assert list(cached.folder.iterdir()) == []  # no name to open, none for a killed process to leave behind


async def test_a_cleaner_of_temporary_folders_does_not_end_the_cache(clock: MockClock, tmp_path: Path) -> None:
    async with cache_rig(bucket_of_body(), tmp_path) as cached:
        cached.folder.rmdir()
        await cached.read(origin="stream")
        assert await cached.read(origin="cache") == BODY


async def test_a_download_broken_off_is_resumed_under_the_cache(clock: MockClock, tmp_path: Path) -> None:
    body = BODY[:300_000]
    async with rig(holding(body, cuts=[100_000, 50_000])) as broken:
        folder = make_private_folder(tmp_path)
        limits = {"max_entries": 5, "max_bytes": 1 << 30}
        async with open_cache(broken.source, folder=folder, ttl_s=300, eager=True, **IN_THREADS, **limits) as cache:
            for origin in ("stream", "cache"):
                async with cache.open_object("media/a.mp4") as opened:
                    assert b"".join([bytes(piece) async for piece in opened.pieces()]) == body
                    assert opened.origin == origin
        assert broken.reopened_at == [100_000, 150_000]
        assert [asked.method for asked in broken.bucket.asked] == ["GET", "GET", "GET", "HEAD"]
