"""The service's transfer engine as one road of the relay: everything an attempt does between claim and settlement."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import random
from typing import Any

import trio

from streamwarm.fetch.credentials import Bucket
from streamwarm.fetch.r2 import R2Source
from streamwarm.model import Claim, Job, Kind, Lease, State
from streamwarm.net.pool import open_client
from streamwarm.s3.sigv4 import SigningKeys
from streamwarm.send.http_destination import HttpDestination
from streamwarm.settings.http import HttpSettings
from streamwarm.stream.attempt import Attempt
from streamwarm.stream.transfer import transfer

BODY_TIMEOUT_S = 60.0


@asynccontextmanager
async def open_engine(job: dict[str, Any]) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Each call makes one attempt at an object of `job["bytes"]` bytes."""
    ca_file = Path(job["ca_file"]) if job["ca_file"] else None
    bucket = Bucket(job["source"], "bucket", "auto", "key-id", "secret")
    async with open_client(ca_file=ca_file) as from_client, open_client(ca_file=ca_file) as to_client:
        source = R2Source(from_client, bucket, signing_keys=SigningKeys(), now=time.time, uniform=random)
        settings = HttpSettings(url=f"{job['sink']}/object", allow_private=True)
        sink = HttpDestination("sink", settings, to_client, now=time.time)

        async def relay() -> None:
            claim = Claim(_job(str(job["bytes"])), Lease("benchmark", ""))
            attempt = Attempt.start(claim, sink, depart=_at_once, note_departure=_noted)
            await transfer(attempt, source, body_timeout_s=BODY_TIMEOUT_S)

        yield relay


async def _at_once(_: Claim, __: int) -> float:
    """No rates: the last bytes of an object leave when they are there."""
    return trio.current_time()


async def _noted(_: Lease, *, departed: bool = True) -> bool:
    """No store."""
    return departed


def _job(r2_key: str) -> Job:
    return Job(
        seq=1,
        id="benchmark",
        destination="sink",
        kind=Kind.DOCUMENT,
        r2_key=r2_key,
        sha256=None,
        bytes=None,
        options={},
        state=State.RUNNING,
        attempt=1,
        created_at=0.0,
        updated_at=0.0,
    )
