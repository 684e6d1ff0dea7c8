"""What becomes of a job whose bucket misbehaves at one step of its way.

Everything but the store is real: a worker's attempt, both pools, and sockets over loopback.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import StrEnum, auto
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field

from streamwarm.backlog.settlement import Done, Failed, Retry
from streamwarm.errors import Blame, SourceError
from streamwarm.fetch import resuming
from streamwarm.fetch.bucket import Bucket
from streamwarm.fetch.cache.source import open_cache
from streamwarm.fetch.r2 import R2Source
from streamwarm.net.backend import PlainStream
from streamwarm.net.pool import PooledClient, open_client
from streamwarm.net.stream import TCPBackend
from streamwarm.s3.sigv4 import SigningKeys
from streamwarm.send.s3 import destination as s3_destination
from streamwarm.settings.convert import structure_table
from streamwarm.settings.s3 import S3Settings
from tests.worlds.one_step_bucket import BODY, KEY, MULTIPART, Break, OneStepBucket, Step
from tests.worlds.scripted_bucket import NO_TLS
from tests.worlds.stream import NOW, Worked, work_once
from tests.worlds.stream import job as new_job

PARTS = [1000, 500]
MAX_ATTEMPTS = 5


class Outcome(StrEnum):
    """What becomes of the job after one attempt."""

    DONE = auto()
    FAILED = auto()
    """For good, at once."""

    TRIED_AGAIN = auto()
    """Until its attempts are used up."""

    OUTLASTS = auto()
    """Tried again for 15 minutes, however many attempts that takes."""

    KEPT = auto()
    """No attempt is used: the source or the destination pauses, or the object is left alone for a moment."""


@define(eq=False)
class RefusingBackend(TCPBackend):
    """TCP, whose next connection goes to a port on which nobody listens if `refuses`."""

    refuses: bool = False
    closed_port: int = 0

    async def connect_tcp(self, host: str, port: int, timeout: float | None = None) -> PlainStream:  # noqa: ASYNC109
        refuses, self.refuses = self.refuses, False
        return await super().connect_tcp(host, self.closed_port if refuses else port, timeout)


@define(eq=False)
class OneStepWorld:
    """Each attempt has a pool, a cache and a destination of its own, so that none depends on another."""

    bucket: OneStepBucket
    closed_port: int
    folder: Path
    _made: int = field(default=0, init=False)

    async def attempt(self, fault: int | Break, *, word: str = "", everywhere: bool = False) -> Worked:
        """A job's last attempt while the bucket has this fault."""
        self.bucket.fault, self.bucket.word, self.bucket.everywhere = fault, word, everywhere
        self._made += 1
        folder = self.folder / str(self._made)
        folder.mkdir()
        backend = RefusingBackend(closed_port=self.closed_port)
        async with open_client(connections=8, ssl_context=NO_TLS, network_backend=backend) as pool:
            pool.send = partial(_send, pool.send, self.bucket, backend)  # type: ignore[method-assign]
            source = self._source(pool)
            limits: Any = {"ttl_s": 300.0, "max_entries": 5, "max_bytes": 1 << 20, "eager": False}
            async with open_cache(source, folder=folder, run_sync=_at_once, **limits) as cached:
                return await work_once(
                    new_job(destination="copies", r2_key=KEY, attempt=MAX_ATTEMPTS),
                    cached,
                    self._destination(pool),
                    body_timeout_s=10.0,
                    is_of_the_bucket=partial(_is_of_the_bucket, source),
                )

    def _source(self, pool: PooledClient) -> R2Source:
        bucket = Bucket(f"http://127.0.0.1:{self.bucket.port}", "source", "auto", "id", "secret")
        return R2Source(pool, bucket, signing_keys=SigningKeys(), now=lambda: NOW, uniform=lambda: 0.0)

    def _destination(self, pool: PooledClient) -> s3_destination.S3Destination:
        table = {"type": "s3", "endpoint_url": f"http://127.0.0.1:{self.bucket.port}", "bucket": "copies"}
        keys = {"access_key_id": "id", "secret_access_key": "secret"}
        settings = structure_table(S3Settings, {**table, **keys}, "[destinations.copies]")
        return s3_destination.S3Destination("copies", settings, pool, now=lambda: NOW, new_token=lambda: "t")


async def _is_of_the_bucket(source: R2Source, error: SourceError) -> bool:
    """As the source guard decides it."""
    if error.blame is Blame.OBJECT:
        return False
    try:
        await source.probe()
    except SourceError:
        return True
    return False


async def _at_once(function: Callable[..., Any], *arguments: Any, **_: Any) -> Any:
    await trio.lowlevel.checkpoint()
    return function(*arguments)


async def _send(send: Any, bucket: OneStepBucket, backend: RefusingBackend, request: Any, **how: Any) -> Any:
    method = "RANGE" if "range" in request.headers else request.method
    if bucket.fault is Break.REFUSED and bucket.is_bad(method, request.extensions["target"].decode()):
        backend.refuses = True
    return await send(request, **how)


@asynccontextmanager
async def one_step_world(step: Step, folder: Path) -> AsyncIterator[OneStepWorld]:
    bucket = OneStepBucket(step)
    with pytest.MonkeyPatch.context() as patch, socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and not listening: a connection is refused
        patch.setattr(s3_destination, "part_sizes", lambda *_: PARTS if step in MULTIPART else [len(BODY)])
        patch.setattr(resuming, "reopen_wait_s", lambda *_: 0.0)
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, bucket.serve, 0, host="127.0.0.1"))
            bucket.port = listeners[0].socket.getsockname()[1]
            yield OneStepWorld(bucket, unused.getsockname()[1], folder)
            nursery.cancel_scope.cancel()


def outcome_of(worked: Worked) -> Outcome:
    """What became of a job that made its last attempt."""
    settlement = worked.settlement
    if isinstance(settlement, Done):
        return Outcome.DONE
    if isinstance(settlement, Failed):
        return Outcome.FAILED if settlement.error.permanent else Outcome.TRIED_AGAIN
    assert isinstance(settlement, Retry)
    return Outcome.OUTLASTS if settlement.counts else Outcome.KEPT
