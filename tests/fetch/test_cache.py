"""The download cache: one download for all who want an object, the right bytes for each, and nothing left behind."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from streamwarm.errors import ErrorCode, SourceError
from streamwarm.fetch.cache.download import AHEAD_BYTES, BLOCK_BYTES
from streamwarm.fetch.source import ObjectInfo
from tests.worlds.memory_bucket import CacheRig, MemoryBucket, brisk_clock, cache_rig

BODY = bytes(range(251)) * 100  # a prime: no two blocks are alike
DIGEST = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def clock() -> MockClock:
    return brisk_clock()


def bucket_of(body: bytes = BODY, **more: object) -> MemoryBucket:
    return MemoryBucket({"a": body}, **more)  # type: ignore[arg-type]


async def read_at_once(rig: CacheRig, readers: int, *, piece_s: float = 0.0) -> list[bytes]:
    bodies: list[bytes] = []

    async def one() -> None:
        bodies.append(await rig.read(piece_s=piece_s))

    async with trio.open_nursery() as nursery:
        for _ in range(readers):
            nursery.start_soon(one)
    return bodies


async def test_many_who_want_one_object_cost_one_download(clock: MockClock, tmp_path: Path) -> None:
    async with cache_rig(bucket_of(), tmp_path) as rig:
        assert await read_at_once(rig, 8) == [BODY] * 8
        assert rig.bucket.gets == ["a"]
        assert rig.bucket.bytes_out == len(BODY)
        stats = rig.cache.stats()
        assert (stats.hits, stats.misses, stats.bytes_saved) == (7, 1, 7 * len(BODY))


async def test_the_next_job_for_an_object_costs_no_byte_of_the_bucket(clock: MockClock, tmp_path: Path) -> None:
    async with cache_rig(bucket_of(), tmp_path) as rig:
        assert await rig.read(origin="stream") == BODY
        assert await rig.read(origin="cache") == BODY
        assert rig.bucket.bytes_out == len(BODY)
        assert rig.bucket.heads == ["a"]


async def test_a_job_that_names_the_digest_asks_the_bucket_nothing(clock: MockClock, tmp_path: Path) -> None:
    async with cache_rig(bucket_of(), tmp_path) as rig:
        await rig.read()
        assert await rig.read(sha256=DIGEST, origin="cache") == BODY
        assert rig.bucket.heads == []


@settings(max_examples=15)
@given(
    size_bytes=st.integers(1, 40_000),
    piece_bytes=st.integers(500, 9_000),
    readers=st.lists(
        st.tuples(st.floats(0, 0.5), st.sampled_from([0.0, 0.01, 0.3]), st.one_of(st.none(), st.floats(0.0, 1.0))),
        min_size=1,
        max_size=6,
    ),
    max_bytes=st.sampled_from([1 << 30, 20_000]),
    eager=st.booleans(),
)
def test_every_reader_gets_the_object_whatever_the_others_do(
    size_bytes: int,
    piece_bytes: int,
    readers: list[tuple[float, float, float | None]],
    max_bytes: int,
    eager: bool,
) -> None:
    body = (BODY * 2)[:size_bytes]

    async def one(rig: CacheRig, start_s: float, piece_s: float, cancel_s: float | None) -> None:
        await trio.sleep(start_s)
        with trio.move_on_after(float("inf") if cancel_s is None else cancel_s) as scope:
            assert await rig.read(piece_s=piece_s) == body
        assert cancel_s is not None or not scope.cancelled_caught

    async def main() -> None:
        bucket = bucket_of(body, piece_bytes=piece_bytes)
        with tempfile.TemporaryDirectory() as parent, trio.fail_after(1000):
            async with cache_rig(bucket, Path(parent), max_bytes=max_bytes, eager=eager) as rig:
                async with trio.open_nursery() as nursery:
                    for reader in readers:
                        nursery.start_soon(one, rig, *reader)
                assert await rig.read() == body

    trio.run(main, clock=brisk_clock())


@pytest.mark.parametrize("step", range(1, 12))
async def test_the_first_job_cancelled_at_any_moment_costs_the_others_nothing(
    step: int, clock: MockClock, tmp_path: Path
) -> None:
    followers: list[bytes] = []
    async with cache_rig(bucket_of(), tmp_path) as rig:

        async def follow() -> None:
            followers.append(await rig.read())

        async def lead() -> None:
            with trio.move_on_after(step * 0.01 - 0.005):
                await rig.read()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(lead)
            await wait_all_tasks_blocked()
            nursery.start_soon(follow)
            nursery.start_soon(follow)
        assert followers == [BODY, BODY]
        assert rig.bucket.gets == ["a"]


async def test_a_slow_destination_does_not_slow_the_others(clock: MockClock, tmp_path: Path) -> None:
    body = os.urandom(2 * AHEAD_BYTES)
    async with cache_rig(bucket_of(body, piece_bytes=256 * 1024), tmp_path) as rig:
        async with rig.cache.open_object("a") as slow:
            pieces = slow.pieces()
            received = bytearray(await anext(pieces))
            assert await read_at_once(rig, 2) == [body] * 2
            async for piece in pieces:
                received += piece
        assert received == body
        assert rig.bucket.gets == ["a"]


async def test_an_upload_that_fails_early_has_not_cost_the_whole_object(clock: MockClock, tmp_path: Path) -> None:
    body = bytes(4 * AHEAD_BYTES)
    async with cache_rig(bucket_of(body, piece_bytes=256 * 1024), tmp_path) as rig:
        async with rig.cache.open_object("a") as opened:
            await anext(opened.pieces())
            await trio.sleep(1000)
            assert rig.bucket.open_now == 1
        await trio.sleep(1)
        assert rig.bucket.open_now == 0
        assert rig.bucket.bytes_out <= AHEAD_BYTES + 2 * BLOCK_BYTES
        assert rig.cache.stats().bytes == 0


async def test_a_broken_download_is_not_kept_for_the_next_attempt(clock: MockClock, tmp_path: Path) -> None:
    async with cache_rig(bucket_of(breaks=[5000]), tmp_path) as rig:
        failures: list[ErrorCode] = []

        async def fail() -> None:
            with pytest.raises(SourceError) as caught:
                await rig.read()
            failures.append(caught.value.code)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(fail)
        assert failures == [ErrorCode.SOURCE_UNAVAILABLE] * 3
        assert await rig.read(origin="stream") == BODY
        assert rig.bucket.gets == ["a", "a"]


async def test_an_object_uploaded_a_moment_ago_is_not_called_missing(clock: MockClock, tmp_path: Path) -> None:
    bucket = MemoryBucket({}, piece_s=1.0)
    async with cache_rig(bucket, tmp_path) as rig, trio.open_nursery() as nursery:

        async def too_early() -> None:
            with pytest.raises(SourceError, match="there is no a"):
                await rig.read()
            bucket.objects["a"] = BODY

        nursery.start_soon(too_early)
        await trio.sleep(0.5)
        assert await rig.read() == BODY


async def test_a_source_that_ends_early_is_never_delivered_as_whole(clock: MockClock, tmp_path: Path) -> None:
    async with cache_rig(bucket_of(), tmp_path) as rig:
        for rig.bucket.lies_by in (1, -1):
            with pytest.raises(SourceError) as caught:
                await rig.read()
            assert (caught.value.code, caught.value.permanent) == (ErrorCode.SOURCE_TRUNCATED, False)
            assert rig.cache.stats().entries == 0


async def test_a_replaced_object_is_never_served_as_it_was(clock: MockClock, tmp_path: Path) -> None:
    async with cache_rig(bucket_of(), tmp_path) as rig, trio.open_nursery() as nursery:
        assert await rig.read() == BODY
        rig.bucket.objects["a"] = BODY[::-1]
        assert await rig.read(origin="stream") == BODY[::-1]
        assert await rig.read(origin="cache") == BODY[::-1]
        # The same while the old one is still being downloaded by somebody else.
        rig.bucket.objects["b"] = BODY
        nursery.start_soon(lambda: rig.read("b", piece_s=1.0))
        await trio.sleep(0.1)
        rig.bucket.objects["b"] = BODY[::-1]
        assert await rig.read("b") == BODY[::-1]


async def test_a_job_gets_the_object_its_digest_names_or_the_one_in_the_bucket(
    clock: MockClock, tmp_path: Path
) -> None:
    async with cache_rig(bucket_of(), tmp_path) as rig:
        await rig.read()
        rig.bucket.objects["a"] = BODY[::-1]
        assert await rig.read(sha256="0" * 64) == BODY[::-1]


async def test_nothing_is_served_after_its_time_and_its_disk_is_given_back(clock: MockClock, tmp_path: Path) -> None:
    async with cache_rig(bucket_of(), tmp_path, ttl_s=300) as rig:
        await rig.read()
        await trio.sleep(299)
        assert await rig.read(origin="cache") == BODY
        assert (rig.cache.stats().bytes, len(rig.files())) == (len(BODY), 1)
        await trio.sleep(7)
        assert (rig.cache.stats().entries, rig.cache.stats().bytes, rig.files()) == (0, 0, [])
        assert await rig.read(origin="stream") == BODY


async def test_a_file_that_expires_under_a_reader_is_read_to_its_end(clock: MockClock, tmp_path: Path) -> None:
    async with cache_rig(bucket_of(os.urandom(1_000_000)), tmp_path, ttl_s=10) as rig:
        await rig.read()
        assert await rig.read(piece_s=20, origin="cache") == rig.bucket.objects["a"]
        assert (rig.cache.stats().bytes, rig.files()) == (0, [])


async def test_the_cache_stays_inside_its_bytes_and_entries(clock: MockClock, tmp_path: Path) -> None:
    bucket = MemoryBucket({name: name.encode() * 10_000 for name in "abcdef"})
    async with cache_rig(bucket, tmp_path, max_bytes=30_000, max_entries=2) as rig:
        for name in "abcdef":
            assert await rig.read(name) == bucket.objects[name]
            assert rig.cache.stats().entries <= 2
            assert rig.cache.stats().bytes <= 30_000
        await rig.read("e", origin="cache")
        await rig.read("a", origin="stream")  # makes f, the least recently used, go
        await rig.read("e", origin="cache")
        await rig.read("f", origin="stream")


@pytest.mark.parametrize(("max_bytes", "etag"), [(len(BODY) - 1, '"strong"'), (1 << 30, 'W/"weak"'), (1 << 30, None)])
async def test_what_cannot_be_cached_is_streamed_all_the_same(
    max_bytes: int, etag: str | None, clock: MockClock, tmp_path: Path
) -> None:
    async with cache_rig(bucket_of(etags={"a": etag}), tmp_path, max_bytes=max_bytes) as rig:
        assert await read_at_once(rig, 3) == [BODY] * 3
        assert (rig.cache.stats().bytes, rig.cache.stats().hits) == (0, 0)


async def test_one_destination_pays_for_the_cache_only_once_an_object_comes_again(
    clock: MockClock, tmp_path: Path
) -> None:
    async with cache_rig(bucket_of(), tmp_path, eager=False) as rig:
        await rig.read(origin="stream")
        assert rig.cache.stats().bytes == 0
        await rig.read(origin="stream")
        assert rig.cache.stats().bytes == len(BODY)
        await rig.read(origin="cache")
        await trio.sleep(1000)
        await rig.read(origin="stream")
        assert rig.cache.stats().bytes == 0


@pytest.mark.parametrize("code", [ErrorCode.SOURCE_REFUSED, ErrorCode.SOURCE_UNAVAILABLE, ErrorCode.SOURCE_NOT_FOUND])
async def test_a_bucket_that_answers_no_head_serves_every_destination(
    code: ErrorCode, clock: MockClock, tmp_path: Path
) -> None:
    class Headless(MemoryBucket):
        async def head_object(self, r2_key: str) -> ObjectInfo:
            raise SourceError(code, "405")

    async with cache_rig(Headless({"a": BODY}), tmp_path) as rig:
        assert [await rig.read() for _ in range(3)] == [BODY] * 3
