"""What several hosts on one PostgreSQL database guarantee together."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import AsyncExitStack, closing

import pytest
import trio

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.postgres.server import connect, migrate
from streamwarm.backlog.postgres.store import open_postgres_store
from streamwarm.backlog.queries import load_migrations
from streamwarm.backlog.store import Pushed, Store
from streamwarm.errors import StoreUnavailable
from streamwarm.model import State
from tests.worlds.backlog import OVER_SOCKETS, OpenStore, claim_one, done, numbered, photo, push_one, start, view
from tests.worlds.postgres import PostgresServer

ROOMY = StoreBounds(max_pending=50_000)
HOSTS = 3


async def open_hosts(stack: AsyncExitStack, open_postgres: OpenStore) -> list[Store]:
    return [
        await stack.enter_async_context(
            open_postgres(ROOMY, new_id=numbered(f"host{n}-"), new_token=numbered(f"lease{n}-"))
        )
        for n in range(HOSTS)
    ]


async def work_until_empty(host: Store, claimed: list[str]) -> None:
    while queued := await host.queued(8):
        claims = await host.claim([job.id for job in queued])
        claimed += [claim.job.id for claim in claims]
        assert all(await host.settle([done(claim) for claim in claims]))


async def follow(host: Store, until: int, seen: list[int]) -> None:
    """Read events from a cursor as soon as there are any, as the publisher does."""
    while len(seen) < until:
        last = seen[-1] if seen else 0
        seen += [event.seq for event in await host.next_events(last, limit=50)]


async def test_no_job_goes_to_two_hosts_and_no_reader_misses_an_event(open_postgres: OpenStore) -> None:
    jobs = 90
    claimed: list[str] = []
    seen: list[list[int]] = [[] for _ in range(HOSTS)]
    async with AsyncExitStack() as stack:
        hosts = await open_hosts(stack, open_postgres)
        with trio.fail_after(120):
            async with trio.open_nursery() as readers:
                for host, mine in zip(hosts, seen, strict=True):
                    readers.start_soon(follow, host, 3 * jobs, mine)
                async with trio.open_nursery() as nursery:
                    for number, host in enumerate(hosts):
                        mine = [photo(f"{number}-{n}.jpg") for n in range(jobs // HOSTS)]
                        for at in range(0, len(mine), 5):
                            nursery.start_soon(host.push, mine[at : at + 5])
                async with trio.open_nursery() as nursery:
                    for host in hosts:
                        nursery.start_soon(work_until_empty, host, claimed)
        assert (await hosts[0].counts()).by_state[State.DONE] == jobs
    assert max(Counter(claimed).values()) == 1
    assert len(claimed) == jobs
    assert seen == [list(range(1, 3 * jobs + 1))] * HOSTS


async def test_the_same_media_pushed_at_every_host_at_once_is_one_job(open_postgres: OpenStore) -> None:
    answers: list[Pushed] = []

    async def push(host: Store, key: str) -> None:
        answers.append(await push_one(host, photo(key)))

    async with AsyncExitStack() as stack:
        hosts = await open_hosts(stack, open_postgres)
        async with trio.open_nursery() as nursery:
            for key in range(10):
                for host in hosts:
                    nursery.start_soon(push, host, f"{key}.jpg")
        assert len([answer for answer in answers if not answer.duplicate]) == 10
        assert (await hosts[0].counts()).by_state[State.QUEUED] == 10


async def test_a_host_that_starts_leaves_the_running_jobs_of_others_alone(open_postgres: OpenStore, clock) -> None:
    async with open_postgres(new_token=numbered("first-")) as mine:
        claim = await start(mine, photo())
        async with open_postgres(new_token=numbered("second-")) as other:
            assert (await other.rescue()).queued == 0
            assert await mine.settle([done(claim)]) == [True]
            lost = await start(mine, photo("b.jpg"))
            clock.at += 31
            assert (await other.rescue()).queued == 1
            held = await claim_one(other, lost.job.id)
            assert await mine.renew([lost.lease]) == [lost.lease]
            assert await mine.settle([done(lost)]) == [False]
            assert await other.settle([done(held)]) == [True]


async def test_ten_hosts_that_start_at_once_make_one_schema(postgres_server: PostgresServer) -> None:
    url = postgres_server.new_schema()
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(trio.to_thread.run_sync, migrate, url)
    with closing(connect(url)) as connection:
        versions = connection.execute("SELECT version FROM schema_migrations ORDER BY version")
        assert [row["version"] for row in versions] == [number for number, _ in load_migrations("postgres")]
        assert connection.execute("SELECT count(*) FROM counters").fetchone() == {"count": 2}


async def test_a_newer_schema_in_postgres_is_left_alone(postgres_server: PostgresServer) -> None:
    url = postgres_server.new_schema()
    migrate(url)
    with closing(connect(url)) as connection:
        connection.execute("INSERT INTO schema_migrations VALUES (999, 0)")
    with pytest.raises(StoreUnavailable, match="version 999"):
        migrate(url)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://me:hunter22@127.0.0.1:1/jobs", "127.0.0.1:1/jobs.*start it, or correct store.url"),
        ("postgresql://me:hunter22@127.0.0.1:1/jobs?nonsense=1", "not a PostgreSQL address"),
    ],
)
def test_a_server_that_cannot_be_reached_is_named_without_its_password(url: str, told: str) -> None:
    with pytest.raises(StoreUnavailable, match=told) as raised:
        migrate(url)
    assert "hunter22" not in str(raised.value)


async def test_time_is_the_servers_where_no_other_is_given(open_postgres: OpenStore) -> None:
    async with open_postgres(now=None) as store:
        job = await view(store, (await push_one(store, photo())).id)
        assert abs(store.now() - job.created_at) < 60
        claim = await claim_one(store, job.id)
        assert (await store.rescue()).queued == 0
        assert await store.renew([claim.lease]) == []


async def counted(store: Store) -> int:
    return (await store.shared_limits()).processes


async def test_hosts_count_each_other_until_one_falls_silent_or_leaves(open_postgres: OpenStore, clock) -> None:
    async with open_postgres() as one:
        assert await counted(one) == 1
        async with open_postgres() as two:
            assert await counted(two) == 2
            assert await counted(one) == 2
            clock.at += 10
            assert await counted(one) == 2
            clock.at += 10
            assert await counted(one) == 1
            assert await counted(two) == 2
        assert await counted(one) == 1


NEVER = math.inf
"""No polling: it would find the events even if a notification was lost, and these tests are about notifications."""


@pytest.mark.parametrize("cut_off", [False, True])
async def test_a_host_is_told_of_anothers_events_also_of_those_that_came_while_it_was_cut_off(
    open_postgres: OpenStore, postgres_server: PostgresServer, *, cut_off: bool
) -> None:
    seen: list[int] = []
    async with (
        open_postgres(poll_s=NEVER) as following,
        open_postgres(poll_s=NEVER, new_id=numbered("other-")) as working,
    ):
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(follow, following, 5, seen)
                for number in range(5):
                    if cut_off:
                        listeners = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
                        postgres_server.execute(f"SELECT pg_terminate_backend(pid) FROM ({listeners})")
                    await push_one(working, photo(f"{number}.jpg"))
                    while len(seen) <= number:
                        await trio.sleep(0.01)
    assert seen == [1, 2, 3, 4, 5]


async def test_what_a_store_in_another_schema_tells_is_not_taken_for_ones_own(
    open_postgres: OpenStore, postgres_server: PostgresServer
) -> None:
    elsewhere = open_postgres_store(
        postgres_server.new_schema(),
        limits=ROOMY,
        new_id=numbered("job-"),
        new_token=numbered("token-"),
        poll_s=NEVER,
        **OVER_SOCKETS,
    )
    async with (
        open_postgres(poll_s=NEVER) as mine,
        elsewhere as others,
        open_postgres(poll_s=NEVER, new_id=numbered("other-")) as same,
    ):
        await others.push([photo(f"{number}.jpg") for number in range(9)])
        await push_one(same, photo())
        with trio.fail_after(60):
            await mine.next_events(0, limit=1)  # a notification from elsewhere came before this one
        with trio.move_on_after(0) as waiting:
            await mine.next_events(1, limit=1)
        assert waiting.cancelled_caught
