"""Asks the bucket for the content type of objects whose name does not show their kind."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Protocol

import trio

from streamwarm.cli.job_input import JsonJob
from streamwarm.cli.kinds import guess_kind, kind_by_name
from streamwarm.errors import SourceError
from streamwarm.fetch.source import ObjectInfo

AT_ONCE = 16
"""HEAD requests at a time: a third of the pool. A library without file extensions takes seconds, not minutes."""

CHUNK_JOBS = 256
"""Jobs that are looked up together, and held in memory meanwhile."""


class Bucket(Protocol):
    """The part of a bucket that is needed here. Raises `SourceError`."""

    async def head_object(self, r2_key: str) -> ObjectInfo: ...


async def with_kinds(jobs: AsyncIterator[JsonJob], bucket: Bucket) -> AsyncGenerator[JsonJob, None]:
    """Yield the jobs in order. If a job has no kind and its name shows none, add the kind of its content type.

    If the bucket cannot answer for an object, its job stays as it is: the job's own error will say why.
    """
    chunk: list[JsonJob] = []
    async for job in jobs:
        chunk.append(job)
        if len(chunk) == CHUNK_JOBS:
            await _fill(chunk, bucket)
            for filled in chunk:
                yield filled
            chunk = []
    await _fill(chunk, bucket)
    for filled in chunk:
        yield filled


async def _fill(jobs: Sequence[JsonJob], bucket: Bucket) -> None:
    room = trio.CapacityLimiter(AT_ONCE)

    async def ask(job: JsonJob) -> None:
        async with room:
            try:
                info = await bucket.head_object(job["r2_key"])
            except SourceError:
                return
        job["kind"] = guess_kind(job["r2_key"], info.content_type).value

    async with trio.open_nursery() as nursery:
        for job in jobs:
            if "kind" not in job and isinstance(job.get("r2_key"), str) and kind_by_name(job["r2_key"]) is None:
                nursery.start_soon(ask, job)
