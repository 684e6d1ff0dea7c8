"""A library whose names have no extensions must not end up as documents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from streamwarm.cli.content_type import CHUNK_JOBS, with_kinds
from streamwarm.errors import ErrorCode, SourceError
from streamwarm.fetch.source import ObjectInfo


class Bucket:
    """Objects by key and content type. It records which keys were asked for."""

    def __init__(self, types: dict[str, str | None]) -> None:
        self.types = types
        self.asked: list[str] = []

    async def head_object(self, r2_key: str) -> ObjectInfo:
        self.asked.append(r2_key)
        if r2_key not in self.types:
            raise SourceError(ErrorCode.SOURCE_NOT_FOUND, "no such object")
        return ObjectInfo(r2_key, 1, '"e"', self.types[r2_key])


async def kinds(jobs: Sequence[dict[str, Any]], bucket: Bucket) -> list[Any]:
    async def given() -> AsyncIterator[dict[str, Any]]:
        for job in jobs:
            yield dict(job)

    async with aclosing(with_kinds(given(), bucket)) as filled:
        return [job.get("kind") async for job in filled]


async def test_the_bucket_is_asked_only_about_names_that_do_not_tell() -> None:
    bucket = Bucket({"a": "image/png", "b": "Video/MP4; codecs=x", "c": None, "d.bin": "audio/mpeg"})
    jobs = [{"r2_key": key} for key in ("a", "b", "c", "gone", "e.jpg")]
    jobs += [{"r2_key": "f", "kind": "voice"}, {"r2_key": 7}]
    assert await kinds(jobs, bucket) == ["photo", "video", "document", None, None, "voice", None]
    assert sorted(bucket.asked) == ["a", "b", "c", "gone"]


async def test_a_large_library_keeps_its_order() -> None:
    names = [f"{n}" for n in range(CHUNK_JOBS + 5)]
    bucket = Bucket({name: "image/jpeg" if int(name) % 2 else "text/plain" for name in names})
    expected = ["photo" if int(name) % 2 else "document" for name in names]
    assert await kinds([{"r2_key": name} for name in names], bucket) == expected
