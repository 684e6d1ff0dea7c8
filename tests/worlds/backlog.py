"""Short helpers for what the tests of the backlog do all the time."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import trio
from attrs import define

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.settlement import Done
from streamwarm.backlog.store import Pushed, Store
from streamwarm.errors import ErrorCode, JobError
from streamwarm.model import Claim, Job, Kind, NewJob, SeenObject

LIMITS = StoreBounds(max_pending=20, max_attempts=3)

IN_THREADS = {"run_sync": trio.to_thread.run_sync}
"""A store that blocks does so in real threads."""

OVER_SOCKETS = {**IN_THREADS, "monotonic": time.monotonic, "new_name": secrets.token_hex}
"""What PostgreSQL's store needs, too: it waits for a real server."""


@define
class Clock:
    """Unix time that stands still until a test moves it."""

    at: float = 1_000_000.0

    def __call__(self) -> float:
        return self.at


OpenStore = Callable[..., AbstractAsyncContextManager[Store]]


def numbered(prefix: str) -> Callable[[], str]:
    numbers = itertools.count(1)
    return lambda: f"{prefix}{next(numbers)}"


DIGEST = "ab" * 32
LOST = JobError(ErrorCode.DELIVERY_UNKNOWN, "the answer was lost", permanent=False)
TIMED_OUT = JobError(ErrorCode.TIMEOUT, "no byte for 60 s", permanent=False)


def photo(r2_key: str = "a.jpg", **fields: Any) -> NewJob:
    return NewJob(fields.pop("destination", "bot"), Kind.PHOTO, r2_key, **fields)


async def push_one(store: Store, job: NewJob) -> Pushed:
    (answer,) = await store.push([job])
    assert isinstance(answer, Pushed)
    return answer


async def claim_one(store: Store, job_id: str) -> Claim:
    (claim,) = await store.claim([job_id])
    return claim


async def start(store: Store, job: NewJob) -> Claim:
    """Push a new job and claim it."""
    return await claim_one(store, (await push_one(store, job)).id)


def done(claim: Claim, file_id: str = "file-1", sha256: str | None = DIGEST) -> Done:
    return Done(claim.lease, {"file_id": file_id}, SeenObject(claim.job.r2_key, 1234, '"etag"', None, sha256))


async def warm(store: Store, job: NewJob, file_id: str = "file-1", sha256: str | None = DIGEST) -> Job:
    claim = await start(store, job)
    assert await store.settle([done(claim, file_id, sha256)]) == [True]
    return await view(store, claim.job.id)


async def view(store: Store, job_id: str) -> Job:
    job = await store.get(job_id)
    assert job is not None
    return job
