"""One row that cannot be read must cost that row alone, whatever is wrong with it, and in whichever table it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psycopg
import pytest
import trio

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.queries import load_migrations
from streamwarm.backlog.settlement import Retry
from streamwarm.backlog.shared_limits import Cooldown, MovedLane, SetAside
from streamwarm.backlog.sqlite.file import migrate
from streamwarm.backlog.store import Filter, Store
from streamwarm.errors import StoreUnavailable, UnreadableRow
from streamwarm.model import Kind, State
from tests.worlds.backlog import TIMED_OUT, Clock, OpenStore, done, photo, push_one, start, view, warm
from tests.worlds.damage import (
    DAMAGES,
    POSTGRES_ALONE,
    SQLITE_ALONE,
    Damage,
    Run,
    columns_of,
    drop_not_null,
    loosen,
    on_postgres,
    on_sqlite,
)
from tests.worlds.postgres import PostgresServer

VICTIMS = {
    "jobs": "id = 'victim-{}'",
    "events": "job_id = 'victim-{}'",
    "attempts": "job_id = 'tried-{}'",
    "media_cache": "r2_key = 'warm-{}.jpg'",
    "pauses": "destination = 'elsewhere-{}'",
    "mends": "destination = 'elsewhere-{}'",
    "moved_lanes": "destination = 'elsewhere-{}'",
    "silences": "destination = 'elsewhere-{}'",
    "set_asides": "destination = 'elsewhere-{}'",
    "leases": "name = 'source'",
    "job_counts": "destination = 'bot'",
    "record_counts": "destination = 'bot'",
}
"""The row of each table that one of the damages is done to. `media_store` is for people: no code reads it."""

OTHERS = ["other-0", "other-1", "other-2"]
LIMITS = StoreBounds(max_pending=200, max_attempts=3)

MISTYPED = {"binary", "not UTF-8"}
"""What no column may have."""

ANY_VALUE = {"media_cache.id", "leases.name", "job_counts.destination", "job_counts.state", "job_counts.jobs"}
ANY_VALUE |= {"record_counts.destination", "record_counts.source_state"}
"""These are no part of what is read, or the row is then another one."""

UNREAD = {"media_store", "write_probe", "writers", "processes", "counters", "schema_migrations"}


def columns(database: str) -> list[str]:
    found = columns_of([script for _, script in load_migrations(database)])
    assert {table for table, _ in found} - UNREAD == set(VICTIMS)
    return [f"{table}.{column}" for table, column in found if table in VICTIMS]


async def fill(store: Store, clock: Clock, damages: int) -> None:
    """One row of every table for each damage."""
    for number in range(damages):
        await warm(store, photo(f"warm-{number}.jpg"))
        tried = await start(store, photo(f"tried-{number}.jpg", id=f"tried-{number}"))
        elsewhere = f"elsewhere-{number}"
        cooldown = Cooldown(elsewhere, None, clock.at + 60, "429", set_at=clock.at)
        await store.resume(elsewhere)
        set_aside = SetAside(elsewhere, "-1", Kind.PHOTO, clock.at + 60, clock.at, 1, "refused")
        await store.settle([Retry(tried.lease, TIMED_OUT, clock.at + 5, cooldown=cooldown, set_aside=set_aside)])
        await store.pause(elsewhere, clock.at + 60)
        await store.move_lane(MovedLane(elsewhere, "-1", "-2"))
        await push_one(store, photo(f"victim-{number}.jpg", id=f"victim-{number}"))
    await store.pause_source("the key is wrong")
    for other in OTHERS:
        await push_one(store, photo(f"{other}.jpg", id=other))


async def do_everything(store: Store, clock: Clock) -> None:
    """What a service does, from its start on. The others' jobs are done in the end."""
    await store.reset_deadlines()
    await store.shared_limits()
    await store.rescue(everything=True)
    await store.prune()
    await store.survey()
    clock.at += 10
    await store.wake_due()
    await store.counts()
    await store.record_counts()
    await store.check_writable()
    listed, after = set(), None
    while after is not None or not listed:
        page = await store.list_jobs(Filter(), limit=2, after=after)
        listed |= {job.id for job in page.jobs}
        if (after := page.next) is None:
            break
    assert listed >= set(OTHERS)
    seq = await store.last_seq()
    assert {job.id for job in await store.queued(100)} >= set(OTHERS)
    claims = await store.claim(OTHERS)
    assert await store.settle([done(claim, claim.job.id) for claim in claims]) == [True] * 3
    for job_id in OTHERS:
        assert (await view(store, job_id)).state is State.DONE
        assert await store.attempts(job_id)
    with trio.fail_after(30):
        assert [event.id for event in await store.next_events(seq, limit=6)][-3:] == OTHERS


async def ask_for(store: Store, job_id: str) -> None:
    """Whatever is asked about a job that cannot be read, the answer names its row."""
    for ask in (store.get, store.attempts, store.cancel, store.retry):
        with suppress(UnreadableRow), naming(f"id='{job_id}'"):
            await ask(job_id)
    await store.push([photo(f"{job_id}.jpg", id=job_id), photo(f"{job_id}.jpg"), photo("new.jpg")])


@contextmanager
def naming(row: str) -> Iterator[None]:
    try:
        yield
    except UnreadableRow as error:
        if row not in str(error):
            raise AssertionError(f"{error} does not name {row}") from error
        raise


async def suffer(open_store: OpenStore, run: Run, clock: Clock, column: str, damages: Sequence[Damage]) -> None:
    """Damage one column of one row in each of these ways. Then the store is opened and does its work."""
    table, name = column.split(".")
    async with open_store(LIMITS) as store:
        await fill(store, clock, len(damages))
    taken = [damage for number, damage in enumerate(damages) if takes(run, table, name, number, damage)]
    ((before,),) = run(f"SELECT count(*) FROM {table}")
    async with open_store(LIMITS) as store:
        await do_everything(store, clock)
        named = store.new_odd_rows()
        assert {row.table for row in named} <= {table, "jobs", "job_counts"}
        assert await store.prune() == 0
        await do_again(store)
        assert store.new_odd_rows() == []  # once, not at each reading
        ((after,),) = run(f"SELECT count(*) FROM {table}")
        assert int(str(after)) >= int(str(before)) - (table == "job_counts")
        sure = [one for one in taken if one.name in MISTYPED and column not in ANY_VALUE]
        assert not sure or named, (column, [one.name for one in sure])
        for number in range(len(damages)):
            await ask_for(store, f"victim-{number}")
            await ask_for(store, f"tried-{number}")


async def do_again(store: Store) -> None:
    for again in (store.survey, store.shared_limits, store.counts, store.wake_due, store.rescue):
        await again()
    await store.queued(100)
    await store.list_jobs(Filter(), limit=50)


def takes(run: Run, table: str, column: str, number: int, damage: Damage) -> bool:
    """Do the damage. Returns False if the database itself does not take such a value."""
    if "{}" not in VICTIMS[table] and number != len(column) % 9:
        return False  # one row only: each of its columns is damaged in one way
    try:
        run(f"UPDATE {table} SET {column} = {damage.value} WHERE {VICTIMS[table].format(number)}")
    except (sqlite3.Error, psycopg.Error):
        return False
    return True


@pytest.mark.parametrize("column", columns("sqlite"))
async def test_a_damaged_column_in_a_file_costs_its_rows_alone(
    open_sqlite: OpenStore, path: str, clock: Clock, column: str
) -> None:
    migrate(path)
    drop_not_null(path)
    await suffer(open_sqlite, on_sqlite(path), clock, column, [*DAMAGES, *SQLITE_ALONE])


@pytest.mark.parametrize("column", columns("postgres"))
async def test_a_damaged_column_in_a_database_costs_its_rows_alone(
    open_postgres: OpenStore, postgres_server: PostgresServer, clock: Clock, column: str
) -> None:
    run = on_postgres(f"{postgres_server.uri}&options=-csearch_path%3D{postgres_server.last_schema}")
    async with open_postgres():
        pass
    loosen(run)
    await suffer(open_postgres, run, clock, column, [*DAMAGES, *POSTGRES_ALONE])


async def test_a_count_that_is_gone_or_wrong_hides_no_job(open_sqlite: OpenStore, path: str) -> None:
    async with open_sqlite() as store:
        await push_one(store, photo(id="hidden"))
    for statement in ("DELETE FROM job_counts", "UPDATE job_counts SET jobs = 0", "UPDATE job_counts SET jobs = 99"):
        on_sqlite(path)(statement)
        async with open_sqlite() as store:
            assert [job.id for job in await store.queued(5)] == ["hidden"]
            assert (await store.counts()).by_state[State.QUEUED] == 1


async def test_a_store_whose_events_are_gone_is_not_ready(
    request: pytest.FixtureRequest, path: str, postgres_server: PostgresServer
) -> None:
    for database in ("sqlite", "postgres"):
        async with request.getfixturevalue(f"open_{database}")() as store:
            await store.check_writable()
            if database == "sqlite":
                on_sqlite(path)("DROP TABLE events")
            else:
                postgres_server.execute(f"DROP TABLE {postgres_server.last_schema}.events")
            with pytest.raises(StoreUnavailable):
                await store.check_writable()
