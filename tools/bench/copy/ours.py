"""streamwarm's engine as a copy program: `python ours.py JOB`, where JOB is JSON from `run.py`.

The very parts of the service: `R2Source`, `transfer` and `S3Destination`, each side over a pool of its own, several
objects at a time in one process. What the service adds around them (store, dispatcher) is measured elsewhere.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from random import random
from typing import Any

import trio

from streamwarm.fetch.credentials import Bucket
from streamwarm.fetch.r2 import R2Source
from streamwarm.model import Claim, Job, Kind, Lease, State
from streamwarm.net.pool import open_client
from streamwarm.s3.sigv4 import SigningKeys
from streamwarm.send.s3.destination import S3Destination
from streamwarm.settings.s3 import S3Settings
from streamwarm.settings.secret import SecretStr
from streamwarm.stream.attempt import Attempt
from streamwarm.stream.transfer import transfer

BODY_TIMEOUT_S = 60.0


async def copy(job: dict[str, Any]) -> None:
    source_side, sink_side = job["source"], job["sink"]
    ca_file = Path(job["ca_file"]) if job["ca_file"] else None
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(open_client(ca_file=ca_file)) for _ in range(2)]
        bucket = Bucket(source_side["url"], source_side["bucket"], "auto", job["access_key_id"], job["secret"])
        source = R2Source(opened[0], bucket, signing_keys=SigningKeys(), now=time.time, uniform=random)
        settings = S3Settings(
            endpoint_url=sink_side["url"],
            bucket=sink_side["bucket"],
            access_key_id=SecretStr(job["access_key_id"]),
            secret_access_key=SecretStr(job["secret"]),
            **({"part_bytes": job["part_bytes"]} if job["part_bytes"] else {}),
        )
        sink = S3Destination("copy", settings, opened[1], now=time.time, new_token=partial(secrets.token_hex, 8))
        keys = [item.r2_key async for item in source.list_objects()]
        give, take = trio.open_memory_channel[str](0)
        async with trio.open_nursery() as nursery, give:
            for _ in range(job["transfers"]):
                nursery.start_soon(partial(work, take.clone(), source, sink))
            take.close()
            for key in keys:
                await give.send(key)


async def work(keys: trio.MemoryReceiveChannel[str], source: R2Source, sink: S3Destination) -> None:
    async for key in keys:
        now = time.time()
        job = Job(0, key, "copy", Kind.DOCUMENT, key, None, None, {}, State.RUNNING, 1, now, now)
        attempt = Attempt.start(Claim(job, Lease(key, "")), sink, depart=at_once, note_departure=noted)
        await transfer(attempt, source, body_timeout_s=BODY_TIMEOUT_S)


async def at_once(_: Claim, __: int) -> float:
    """No rates: the last bytes of an object leave when they are there."""
    return trio.current_time()


async def noted(_: Lease, *, departed: bool = True) -> bool:
    """No store."""
    return departed


if __name__ == "__main__":
    trio.run(copy, json.loads(sys.argv[1]))
