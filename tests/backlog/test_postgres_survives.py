"""What a PostgreSQL backlog survives: a server that restarts, and connections that break during a commit (fault 23)."""

from __future__ import annotations

from contextlib import closing
from random import Random

import psycopg
import pytest
import trio

from streamwarm.backlog.postgres.server import connect
from streamwarm.backlog.postgres.store import open_postgres_store
from streamwarm.backlog.store import Pushed, Store
from streamwarm.errors import StoreUnavailable
from streamwarm.model import Event, State
from tests.worlds.backlog import (
    LIMITS,
    OVER_SOCKETS,
    OpenStore,
    claim_one,
    done,
    numbered,
    photo,
    push_one,
    start,
    view,
)
from tests.worlds.cutting_proxy import Cut, cutting_proxy
from tests.worlds.postgres import PostgresServer

DEADLINE_S = 60


async def until_it_answers(store: Store) -> None:
    with trio.fail_after(DEADLINE_S):
        while True:
            try:
                return await store.check_writable()
            except StoreUnavailable:
                await trio.sleep(0.05)


async def until_told(store: Store, seq: int) -> list[Event]:
    """Wait for an event as the publisher does."""
    while True:
        try:
            return await store.next_events(seq, limit=1)
        except StoreUnavailable:
            await trio.sleep(0.05)


async def test_a_server_that_restarts_loses_nothing_and_work_resumes_by_itself(
    open_postgres: OpenStore, postgres_server: PostgresServer
) -> None:
    async with open_postgres() as store, trio.open_nursery() as nursery:
        claim = await start(store, photo("running.jpg"))
        await push_one(store, photo("queued.jpg"))
        for _ in range(3):  # so that several connections are there to be broken
            await store.counts()
        nursery.start_soon(until_told, store, await store.last_seq())
        postgres_server.stop()
        try:
            for refused in (store.push([photo("late.jpg")]), store.queued(1)):
                with trio.fail_after(DEADLINE_S), pytest.raises(StoreUnavailable, match="work then resumes by itself"):
                    await refused
        finally:
            postgres_server.start()
        await until_it_answers(store)
        assert [job.id for job in await store.queued(9)] == ["job-2"]
        assert await store.settle([done(claim)]) == [True]
        assert (await view(store, claim.job.id)).state is State.DONE


async def test_connections_that_the_server_closed_while_idle_cost_nobody_a_write(
    open_postgres: OpenStore, postgres_server: PostgresServer
) -> None:
    async with open_postgres() as store:
        await push_one(store, photo("a.jpg"))
        postgres_server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'streamwarm'"
        )
        assert not (await push_one(store, photo("b.jpg"))).duplicate
        assert len(await store.queued(9)) == 2


@pytest.mark.parametrize("cut", list(Cut))
async def test_a_write_whose_commit_was_not_answered_takes_place_once(
    postgres_server: PostgresServer, cut: Cut
) -> None:
    url = postgres_server.new_schema()
    more = {**OVER_SOCKETS, "limits": LIMITS, "new_id": numbered("job-"), "new_token": numbered("token-")}
    with trio.fail_after(DEADLINE_S):
        async with cutting_proxy(postgres_server, url) as proxy, open_postgres_store(proxy.url, **more) as store:
            proxy.cut = cut
            answers = await store.push([photo("a.jpg"), photo("b.jpg", id="mine")])
            assert answers == [Pushed("job-1", State.QUEUED, False), Pushed("mine", State.QUEUED, False)]
            proxy.cut = cut
            claim = await claim_one(store, "mine")
            assert claim.job.attempt == 1
            proxy.cut = cut
            assert await store.settle([done(claim)]) == [True]
            assert proxy.cuts == 3
            events = [event for event in await store.events_after(0, limit=99) if event.id == "mine"]
            assert [event.state for event in events] == [State.QUEUED, State.RUNNING, State.DONE]
            assert (await store.counts()).by_state[State.QUEUED] == 1


async def test_a_commit_that_is_never_answered_is_refused_in_time_and_not_made_twice(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.new_schema()
    more = {**OVER_SOCKETS, "limits": LIMITS, "new_id": numbered("job-"), "new_token": numbered("token-")}
    more["doubt_limit_s"] = 0.0
    with trio.fail_after(DEADLINE_S):
        async with cutting_proxy(postgres_server, url) as proxy, open_postgres_store(proxy.url, **more) as store:
            proxy.cut = Cut.AFTER_COMMIT
            with pytest.raises(StoreUnavailable, match="may have taken place"):
                await store.push([photo(id="mine")])
            assert (await push_one(store, photo(id="mine"))).id == "mine"
            assert (await store.counts()).by_state[State.QUEUED] == 1


async def test_one_bad_operation_leaves_its_neighbours_committed_in_postgres(open_postgres: OpenStore) -> None:
    outcomes: list[object] = []

    async def push(store: Store, key: str) -> None:
        try:
            outcomes.append(await push_one(store, photo(key)))
        except (UnicodeEncodeError, StoreUnavailable) as error:
            outcomes.append(type(error))

    async with open_postgres() as store:
        async with trio.open_nursery() as nursery:
            for key in ("a.jpg", "\ud800", "b.jpg", Random(1).randbytes(10_000).hex()):
                nursery.start_soon(push, store, key)
        assert len([outcome for outcome in outcomes if isinstance(outcome, Pushed)]) == 2
        assert UnicodeEncodeError in outcomes
        assert len(await store.queued(10)) == 2
        assert await store.last_seq() == 2


async def test_operations_that_fail_do_not_spoil_the_connection_for_those_that_come_after(
    open_postgres: OpenStore,
) -> None:
    too_long = photo(Random(1).randbytes(10_000).hex())
    async with open_postgres() as store:
        for number in range(12):
            for _ in range(2):
                with pytest.raises(StoreUnavailable):
                    await store.push([too_long])
            await push_one(store, photo(f"{number}.jpg"))
            assert await store.last_seq() == number + 1


async def test_a_host_that_hangs_in_mid_write_holds_up_the_others_for_seconds_only(
    open_postgres: OpenStore, postgres_server: PostgresServer
) -> None:
    async with open_postgres() as store:
        await push_one(store, photo("a.jpg"))
        url = postgres_server.uri
        schema = postgres_server.last_schema
        with closing(connect(url)) as hung:
            hung.execute(f"SET search_path = {schema}", prepare=False)
            hung.execute("BEGIN")
            hung.execute("SELECT value FROM counters FOR UPDATE")
            with trio.fail_after(DEADLINE_S):
                assert not (await push_one(store, photo("b.jpg"))).duplicate
            with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
                hung.execute("COMMIT")
