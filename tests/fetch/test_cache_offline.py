"""What a user loses if the cache is wrong while the bucket cannot be asked: the right object, or any at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from trio.testing import MockClock

from tests.worlds.memory_bucket import MemoryBucket, brisk_clock, cache_rig

OLD, NEW = b"old" * 9_000, b"new" * 9_000


@pytest.fixture
def clock() -> MockClock:
    return brisk_clock()


async def test_a_copy_is_sent_without_a_question_while_the_bucket_is_paused(clock: MockClock, tmp_path: Path) -> None:
    async with cache_rig(MemoryBucket({"a": OLD}), tmp_path) as rig:
        await rig.read()
        assert rig.cache.is_cached("a")
        assert not rig.cache.is_cached("b")
        rig.cache.set_offline(True)
        assert await rig.read(origin="cache") == OLD
        assert rig.bucket.heads == []


async def test_a_job_that_names_another_digest_never_gets_the_old_copy(clock: MockClock, tmp_path: Path) -> None:
    async with cache_rig(MemoryBucket({"a": OLD}), tmp_path) as rig:
        await rig.read()
        rig.cache.set_offline(True)
        rig.bucket.objects["a"] = NEW
        assert await rig.read(sha256=hashlib.sha256(NEW).hexdigest()) == NEW
