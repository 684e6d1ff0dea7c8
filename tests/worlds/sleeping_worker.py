"""Run as a program: `sleeping_worker.py PATH JOB_ID`. Claims the job and says so; once it is told to go on, renews its
lease, delivers, and prints what the store thought of either."""

from __future__ import annotations

import json
import sys
import time

import trio

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.sqlite.store import open_sqlite_store
from tests.worlds.backlog import IN_THREADS, claim_one, done, numbered

LIMITS = StoreBounds(lease_s=0.2)


async def main(path: str, job_id: str) -> None:
    token = numbered("sleeper-")
    async with open_sqlite_store(
        path, limits=LIMITS, now=time.time, new_id=token, new_token=token, **IN_THREADS
    ) as store:
        claim = await claim_one(store, job_id)
        print("claimed", flush=True)  # noqa: T201
        await trio.to_thread.run_sync(sys.stdin.readline)
        lost = await store.renew([claim.lease])
        kept = await store.settle([done(claim, "the sleeper's")])
        print(json.dumps({"lost": len(lost), "kept": kept}), flush=True)  # noqa: T201


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
