"""A checker over a store in memory and a bucket that answers as a test says, in virtual time."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import Factory, define, field

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.memory.store import open_memory_store
from streamwarm.backlog.settlement import Done
from streamwarm.backlog.store import Pushed, Store
from streamwarm.compare.asking import Bucket
from streamwarm.compare.checker import Checker
from streamwarm.errors import Blame, SourceError
from streamwarm.fetch.source import ObjectVersion, Source
from streamwarm.model import Job, Kind, NewJob, QueuedJob, SeenObject, WarmRecord
from streamwarm.watch.observations import Observation

ACCOUNT = "4242"


@define(eq=False)
class AnsweringBucket(Source):
    """Answers after `takes_s`, by `answer` if there is one, else with the ETag in `etags`."""

    etags: dict[str, str] = Factory(dict)
    takes_s: float = 0.05
    answer: Callable[[str], ObjectVersion] | None = None
    asked: list[str] = Factory(list)
    open_now: int = 0
    most_open: int = 0

    async def version_of(self, r2_key: str) -> ObjectVersion:
        self.asked.append(r2_key)
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        etag = self.etags.get(r2_key)  # as the bucket has it when the request arrives
        try:
            await trio.sleep(self.takes_s)
        finally:
            self.open_now -= 1
        return ObjectVersion(etag, None) if self.answer is None else self.answer(r2_key)


@define(eq=False)
class World:
    store: Store
    bucket: AnsweringBucket
    checker: Checker
    released: list[QueuedJob]
    observed: list[Observation]
    blamed: list[SourceError]
    is_paused: list[bool] = field(factory=lambda: [False])
    expected: list[str] = Factory(list)

    async def warm(self, r2_key: str, etag: str, file_id: str, *, destination: str = "bot") -> None:
        """Push the object and take the job to `done`."""
        [pushed] = await self.store.push([NewJob(destination, Kind.VIDEO, r2_key)])
        assert isinstance(pushed, Pushed)
        await self.deliver(pushed.id, etag, file_id)

    async def deliver(self, job_id: str, etag: str, file_id: str) -> None:
        [claim] = await self.store.claim([job_id])
        seen = SeenObject(claim.job.r2_key, 10, etag, None, f"{hash(file_id) & 0xFFFF:064x}")
        result = {"file_id": file_id, "source": "stream", "source_etag": etag}
        assert await self.store.settle([Done(claim.lease, result, seen)]) == [True]

    async def push(self, *r2_keys: str, **more: Any) -> list[str]:
        """Push these objects as the intake does. Returns the jobs' ids."""
        answers = await self.store.push([NewJob("bot", Kind.VIDEO, r2_key, **more) for r2_key in r2_keys])
        pushed = [one for one in answers if isinstance(one, Pushed)]
        self.checker.offer([one for one in pushed if one.to_check is not None])
        return [one.id for one in pushed]

    async def job(self, job_id: str) -> Job:
        job = await self.store.get(job_id)
        assert job is not None
        return job

    async def record(self, r2_key: str) -> WarmRecord:
        record = await self.store.find("bot", Kind.VIDEO, r2_key=r2_key)
        assert record is not None
        return record


@asynccontextmanager
async def open_world(*, trust_s: float = 0.0, at_once: int = 40, runs: bool = True) -> AsyncIterator[World]:
    """`runs` False: the test starts the checker itself."""
    ids = itertools.count(1)
    released, observed, blamed = list[QueuedJob](), list[Observation](), list[SourceError]()
    is_paused, expected = [False], list[str]()

    async def is_of_the_bucket(error: SourceError) -> bool:
        blamed.append(error)
        return is_paused[0] or error.blame in {Blame.BUCKET, Blame.PAUSED}

    async with (
        open_memory_store(
            limits=StoreBounds(trust_s=trust_s),
            now=trio.current_time,
            new_id=lambda: f"job-{next(ids)}",
            new_token=lambda: f"token-{next(ids)}",
            accounts={"bot": ACCOUNT, "other": ACCOUNT},
        ) as store,
        trio.open_nursery() as nursery,
    ):
        bucket = AnsweringBucket()
        checker = Checker(
            store,
            Bucket(bucket, is_of_the_bucket, store.now, lambda: 0.0, observed.append),
            at_once=at_once,
            trust_s=trust_s,
            revalidates=True,
            now=store.now,
            expect=expected.extend,
            release=released.extend,
            observe=observed.append,
        )
        if runs:
            nursery.start_soon(checker.run)
        yield World(store, bucket, checker, released, observed, blamed, is_paused, expected)
        nursery.cancel_scope.cancel()
