"""Run as a program: `killed_lives.py PATH LIVES`. Forks one small service after the other on the same store (pushers,
and a worker that claims and settles), kills each with SIGKILL after a random number of acknowledgements, and prints
everything that was acknowledged: `pushed ID`, `done ID FILE_ID`."""

from __future__ import annotations

import os
import signal
import sys
import time
from random import Random

import trio

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.settlement import Release, Retry, Settlement
from streamwarm.backlog.sqlite.store import open_sqlite_store
from streamwarm.backlog.store import Pushed, Store
from streamwarm.model import Claim
from tests.worlds.backlog import IN_THREADS, TIMED_OUT, done, numbered, photo

LIMITS = StoreBounds(max_attempts=1_000_000)  # what kills these processes is no fault of the jobs
OBJECTS = 2_000
"""Few enough that lives push what others have pushed, and warmed, before."""


def live_until_killed(path: str, life: str, told: int) -> None:
    random = Random(life)

    def tell(*words: str) -> None:
        os.write(told, f"{' '.join(words)}\n".encode())

    async def push(store: Store) -> None:
        while True:
            answers = await store.push([photo(f"{random.randrange(OBJECTS)}.jpg") for _ in range(3)])
            for answer in answers:
                assert isinstance(answer, Pushed)
                tell("pushed", answer.id)

    async def work(store: Store) -> None:
        while True:
            claims = await store.claim([job.id for job in await store.queued(5)])
            endings = [ending_of(claim, life, random) for claim in claims]
            assert all(await store.settle(endings))
            for claim in claims:
                if claim.job.seq % 4:
                    tell("done", claim.job.id, file_id(claim, life))
            await store.wake_due()

    async def main() -> None:
        async with (
            open_sqlite_store(
                path,
                limits=LIMITS,
                now=time.time,
                new_id=numbered(f"{life}-"),
                new_token=numbered(f"{life}-t"),
                **IN_THREADS,
            ) as store,
            trio.open_nursery() as nursery,
        ):
            await store.rescue(everything=True)
            for task in (push, push, work):
                nursery.start_soon(task, store)

    trio.run(main)


def file_id(claim: Claim, life: str) -> str:
    return f"{claim.job.id}-by-{life}"


def ending_of(claim: Claim, life: str, random: Random) -> Settlement:
    if claim.job.seq % 4:
        return done(claim, file_id(claim, life))
    return random.choice([Retry(claim.lease, TIMED_OUT, 0.0), Release(claim.lease)])


def one_life(path: str, life: str, acknowledgements: int) -> None:
    receiver, sender = os.pipe()
    pid = os.fork()
    if pid == 0:
        live_until_killed(path, life, sender)
        os._exit(1)
    os.close(sender)
    with os.fdopen(receiver) as told:
        for _ in range(acknowledgements):
            sys.stdout.write(told.readline())
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(told.read())
    if status != signal.SIGKILL:
        raise SystemExit(f"{life} ended by itself, with status {status}: what it wrote to its standard error says why")


if __name__ == "__main__":
    chance = Random(18)
    for number in range(int(sys.argv[2])):
        one_life(sys.argv[1], f"life{number}", chance.randrange(1, 40))
        sys.stdout.flush()
