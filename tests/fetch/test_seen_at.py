"""What a user loses if a version counts as newer than it is: the look-up answers an object that was replaced."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.worlds.memory_bucket import CacheRig, MemoryBucket, brisk_clock, cache_rig
from tests.worlds.scripted_bucket import Asked, answering, rig

SHA256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # of b"hello"


@pytest.fixture
def autojump_clock() -> MockClock:
    return brisk_clock()


async def seen_at(r: CacheRig, **more: str) -> float:
    async with r.cache.open_object("a", **more) as opened:
        async for _ in opened.pieces():
            pass
        assert opened.info.seen_at is not None
        return opened.info.seen_at


async def test_a_copy_is_as_old_as_the_last_answer_of_the_bucket_about_it(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with cache_rig(MemoryBucket({"a": b"hello"}), tmp_path) as r:
        downloaded = await seen_at(r)
        await trio.sleep(10)
        assert await seen_at(r, sha256=SHA256) == downloaded  # the bucket was not asked
        confirmed = await seen_at(r)
        assert confirmed >= downloaded + 10
        await trio.sleep(10)
        r.cache.set_offline(True)
        assert await seen_at(r) == confirmed


async def test_an_object_counts_as_seen_when_it_was_asked_for_and_not_when_it_came(
    autojump_clock: MockClock,
) -> None:
    async def slow(asked: Asked, stream: trio.SocketStream) -> None:
        await trio.sleep(3)
        await answering(200, b"hello", etag='W/"e"')(asked, stream)

    async with rig(slow) as r:
        began = trio.current_time()
        async with r.source.open_object("a") as opened:
            assert opened.info.seen_at == began
            assert opened.info.source_etag == "e"
        began = trio.current_time()
        assert (await r.source.head_object("a")).seen_at == began
