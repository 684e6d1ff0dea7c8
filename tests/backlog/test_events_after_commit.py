"""Followers get every event, in order and as it was stored, although nothing is read back after a commit."""

from __future__ import annotations

import random
import time
from contextlib import AsyncExitStack

import pytest
import trio

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.settlement import Failed, Retry
from streamwarm.backlog.sqlite.store import open_sqlite_store
from streamwarm.backlog.store import Store
from streamwarm.model import Claim, Event
from tests.worlds.backlog import LOST, OpenStore, done, photo

ROOMY = StoreBounds(max_pending=10_000)


async def change(store: Store, claims: list[Claim], step: int, chance: random.Random) -> None:
    """A write that appends a few events, or none."""
    match chance.randrange(4):
        case 0:
            jobs = [photo(f"{step}-{n}.jpg", options={"caption": "é"}) for n in range(chance.randint(1, 4))]
            await store.push(jobs)
        case 1:
            claims += await store.claim([job.id for job in await store.queued(chance.randint(1, 3))])
        case 2:
            for job in await store.queued(1):
                await store.cancel(job.id)
        case _ if claims:
            claim = claims.pop()
            ends = [done(claim), Failed(claim.lease, LOST), Retry(claim.lease, LOST, 2_000_000.5)]
            await store.settle([chance.choice(ends), Failed(claim.lease, LOST)])  # by then the lease is gone


async def follow(store: Store, told: list[Event], limit: int) -> None:
    while events := await store.events_after(told[-1].seq if told else 0, limit=limit):
        told += events


@pytest.mark.parametrize("writers", [1, 2])
async def test_followers_are_told_what_is_kept_whoever_else_writes(
    writers: int, path: str, open_sqlite: OpenStore
) -> None:
    chance = random.Random(writers)
    async with AsyncExitStack() as stack:
        stores = [
            await stack.enter_async_context(
                open_sqlite_store(
                    path,
                    limits=ROOMY,
                    now=time.time,
                    run_sync=trio.to_thread.run_sync,
                    new_id=lambda: f"job-{chance.getrandbits(64)}",
                    new_token=lambda: f"token-{chance.getrandbits(64)}",
                )
            )
            for _ in range(writers)
        ]
        told: list[list[Event]] = [[] for _ in stores]
        claims: list[Claim] = []
        for step in range(150):
            await change(chance.choice(stores), claims, step, chance)
            if chance.random() < 0.5:
                follower = chance.randrange(writers)
                await follow(stores[follower], told[follower], chance.randint(1, 9))
        for store, events in zip(stores, told, strict=True):
            await follow(store, events, 100)
    async with open_sqlite(limits=ROOMY) as reader:
        kept = await reader.events_after(0, limit=10_000)
    assert len(kept) > 150
    assert [event.seq for event in kept] == list(range(1, len(kept) + 1))
    assert told == [kept] * writers


async def test_a_push_of_thousands_is_told_to_a_follower_without_a_gap(open_sqlite: OpenStore) -> None:
    async with open_sqlite(limits=ROOMY) as store:
        told: list[Event] = []
        await store.push([photo("first.jpg")])
        await follow(store, told, 100)
        await store.push([photo(f"{number}.jpg") for number in range(3_000)])
        await follow(store, told, 100)
        assert [event.seq for event in told] == list(range(1, 3_002))
