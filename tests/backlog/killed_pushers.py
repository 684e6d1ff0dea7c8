"""Run as a program: `killed_pushers.py PATH LIVES`. Forks one pusher after the other on the same store, kills
each with SIGKILL after a random number of acknowledgements, and prints every id that was acknowledged."""

from __future__ import annotations

import os
import signal
import sys
from random import Random

import trio
from backlog_helpers import numbered, photo

from streamwarm.backlog.limits import StoreLimits
from streamwarm.backlog.sqlite import open_sqlite_store
from streamwarm.backlog.store import Store


def push_until_killed(path: str, prefix: str, told: int) -> None:
    """Push from three tasks at once and tell every id once its push has been answered."""

    async def push(store: Store, task: int) -> None:
        for number in range(1_000):
            job_id = f"{prefix}-{task}-{number}"
            await store.push([photo(job_id, id=job_id)])
            os.write(told, f"{job_id}\n".encode())

    async def main() -> None:
        new_id = numbered("unused-")
        limits = StoreLimits()
        async with (
            open_sqlite_store(path, limits=limits, new_id=new_id, new_token=new_id) as store,
            trio.open_nursery() as nursery,
        ):
            for task in range(3):
                nursery.start_soon(push, store, task)

    trio.run(main)


def one_life(path: str, prefix: str, acknowledgements: int) -> None:
    receiver, sender = os.pipe()
    pid = os.fork()
    if pid == 0:
        push_until_killed(path, prefix, sender)
        os._exit(1)
    os.close(sender)
    with os.fdopen(receiver) as told:
        for _ in range(acknowledgements):
            sys.stdout.write(told.readline())
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        sys.stdout.write(told.read())


if __name__ == "__main__":
    random = Random(18)
    for life in range(int(sys.argv[2])):
        one_life(sys.argv[1], f"life{life}", random.randrange(1, 25))
        sys.stdout.flush()
