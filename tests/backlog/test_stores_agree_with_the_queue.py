"""However many jobs a store has, the ready queue gives them out in the one right order."""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.core.ordering import fair_shares
from streamwarm.backlog.memory.store import open_memory_store
from streamwarm.backlog.postgres.store import open_postgres_store
from streamwarm.backlog.sqlite.store import open_sqlite_store
from streamwarm.backlog.store import Pushed, Store
from streamwarm.dispatch.ready_queue import ReadyQueue
from streamwarm.model import Kind, NewJob, QueuedJob, Route
from tests.worlds.backlog import OVER_SOCKETS, Clock, numbered, photo
from tests.worlds.naive_queue import NaiveQueue
from tests.worlds.postgres import PostgresServer

MAX_WAIT_S = 700.0
LIMITS = StoreBounds(max_pending=1_000, max_wait_s=MAX_WAIT_S)
BOTS = ["a", "b", "c"]
SMALLEST_QUEUE = len(BOTS)

Arrival = tuple[float, str, Kind, int | None]

arrivals = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 1.0, 59.0, 60.0, 540.0]),  # seconds after the one before
        st.sampled_from(["a", "a", "a", "b", "c"]),
        st.sampled_from([Kind.PHOTO, Kind.VIDEO, Kind.DOCUMENT]),
        st.sampled_from([None, 5, 500_000, 30_000_000]),
    ),
    min_size=1,
    max_size=25,
)
pauses = st.lists(st.sampled_from([0.0, 0.0, 0.0, 1.0, 60.0, 100.0, 540.0]), min_size=25, max_size=25)


def always(_: Route) -> float:
    return 0.0


async def push_all(store: Store, clock: Clock, jobs: list[Arrival]) -> list[QueuedJob]:
    pushed = []
    for number, (after_s, destination, kind, size) in enumerate(jobs, 1):
        clock.at += after_s
        (answer,) = await store.push([NewJob(destination, kind, f"{number}", bytes=size)])
        assert isinstance(answer, Pushed)
        pushed.append(QueuedJob(number, answer.id, destination, kind, size, clock.at, f"{number}"))
    return pushed


async def hand_out_all(store: Store, clock: Clock, jobs: list[Arrival], waits: list[float], max_queue: int) -> None:
    """Push the jobs, then give them out one by one. Each must be the best of all that are left."""
    naive = NaiveQueue(MAX_WAIT_S, await push_all(store, clock, jobs))
    queue = ReadyQueue(max_queue, MAX_WAIT_S)
    for wait_s in waits[: len(jobs)]:
        clock.at += wait_s
        queue.replace(await store.queued(max_queue), clock.at)
        best = queue.pop_best(clock.at, always)
        assert best == naive.pop_best(clock.at, always)
        assert best is not None
        await store.claim([best.id])


def parts(clock: Clock) -> dict[str, Any]:
    return {"limits": LIMITS, "now": clock, "new_id": numbered("job-"), "new_token": numbered("token-")}


@pytest.mark.parametrize("kind_of_store", ["sqlite", "memory"])
@settings(max_examples=25)
@given(jobs=arrivals, waits=pauses, max_queue=st.integers(SMALLEST_QUEUE, 6))
async def test_a_short_queue_hands_out_what_one_with_room_for_all_would(
    kind_of_store: str, jobs: list[Arrival], waits: list[float], max_queue: int
) -> None:
    clock = Clock()
    async with AsyncExitStack() as stack:
        if kind_of_store == "sqlite":
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            opened = open_sqlite_store(f"{folder}/x.db", run_sync=in_place, **parts(clock))
        else:
            opened = open_memory_store(**parts(clock))
        await hand_out_all(await stack.enter_async_context(opened), clock, jobs, waits, max_queue)


@settings(max_examples=10)
@given(jobs=arrivals, waits=pauses, max_queue=st.integers(SMALLEST_QUEUE, 6))
async def test_so_it_does_when_postgres_holds_the_rest(
    postgres_server: PostgresServer, jobs: list[Arrival], waits: list[float], max_queue: int
) -> None:
    clock = Clock()
    async with open_postgres_store(postgres_server.new_schema(), **OVER_SOCKETS, **parts(clock)) as store:
        await hand_out_all(store, clock, jobs, waits, max_queue)


async def in_place(function, *args, **_):  # type: ignore[no-untyped-def]
    return function(*args)


async def test_a_bot_with_thousands_of_better_jobs_leaves_the_others_their_places(store: Store, clock: Clock) -> None:
    for destination, count in (("large", 14), ("small", 2), ("other", 3)):
        kind = Kind.PHOTO if destination == "large" else Kind.VIDEO
        await store.push([NewJob(destination, kind, f"{n}") for n in range(count)])
    read = await store.queued(9)
    assert [job.destination for job in read] == ["large"] * 4 + ["small"] * 2 + ["other"] * 3
    assert [job.destination for job in await store.queued(2, without=["large"])] == ["small", "other"]


async def test_what_waited_too_long_comes_first_the_oldest_of_all_scores(store: Store, clock: Clock) -> None:
    await store.push([NewJob("bot", Kind.VIDEO, "film")])
    clock.at += 1
    await store.push([photo("face")])
    clock.at += StoreBounds().max_wait_s - 1
    assert [job.kind for job in await store.queued(1)] == [Kind.VIDEO]
    clock.at += 1
    await store.push([photo("new")])
    assert [job.kind for job in await store.queued(3)] == [Kind.VIDEO, Kind.PHOTO, Kind.PHOTO]


@given(st.dictionaries(st.text(max_size=2), st.integers(1, 50), min_size=1), st.integers(1, 60))
def test_no_place_stays_empty_and_no_bot_gets_more_than_its_share_while_another_lacks(
    queued: dict[str, int], limit: int
) -> None:
    shares = fair_shares(queued, limit)
    assert all(1 <= shares[name] <= queued[name] for name in queued)
    if len(queued) <= limit:
        assert sum(shares.values()) == min(limit, sum(queued.values()))
        largest = max(shares.values())
        assert all(shares[name] in {queued[name], largest, largest - 1} for name in queued)
