"""The backlog in a PostgreSQL database, shared by any number of processes and hosts.

Two writers a process, each of which commits in groups: one for what makes jobs live (pushes, retries), which the hosts
do one after the other, and one for all other changes, which they do side by side. Reads go over further connections and
see one snapshot each. All of it blocks, so it runs in worker threads; only what is notified is awaited.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing, suppress
from functools import partial

import psycopg
import trio
from attrs import define, field
from psycopg_pool import ConnectionPool, PoolTimeout

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.core.tables import Tables
from streamwarm.backlog.group_commit import GroupCommit
from streamwarm.backlog.postgres.server import (
    CONNECTIONS,
    PgConnection,
    connect,
    make_pool,
    migrate,
    translated_errors,
)
from streamwarm.backlog.postgres.tables import PostgresTables
from streamwarm.backlog.postgres.writer import DOUBT_LIMIT_S, Writer, end_transaction
from streamwarm.backlog.queries import load_queries
from streamwarm.backlog.store import Store
from streamwarm.backlog.transactional import CommitSignal, Operation, T, TransactionalStore
from streamwarm.threads import RunSync

POLL_S = 2.0
"""How often `wait_for_event` looks for events though nothing was notified: a notification is lost with its
connection."""

CLOSE_LIMIT_S = 10.0
"""How long closing may take: the pool waits 5 s for its own threads, and sends a goodbye down each connection."""

_RELISTEN_S = 1.0
_WRITER_KEPT_S = 7 * 86_400.0
_LEAVE_S = 2.0
"""How long the end of a service may take to say so; unsaid, it is found out."""

Now = Callable[[], float]


@asynccontextmanager
async def open_postgres_store(
    url: str,
    *,
    limits: StoreBounds,
    monotonic: Callable[[], float],
    new_id: Callable[[], str],
    new_token: Callable[[], str],
    new_name: Callable[[], str],
    run_sync: RunSync,
    now: Now | None = None,
    poll_s: float = POLL_S,
    doubt_limit_s: float = DOUBT_LIMIT_S,
) -> AsyncIterator[Store]:
    """Open (and create or migrate) the store in the database at `url`. Time is the server's, unless
    `now` is given; `monotonic` carries it on between two of its answers. `new_name` gives names of writers and of
    their writes, which must differ from all others in the database.

    On leaving, pending writes are committed first, and this process is counted no more. Raises `StoreUnavailable` if
    the server cannot be reached.
    """
    await run_sync(migrate, url)
    pool = make_pool(url)
    clock = _ServerClock(monotonic)
    reader = _Reader(url, pool, load_queries("postgres"), clock.observe, run_sync)
    async with _opened(pool, run_sync), trio.open_nursery() as nursery:
        await run_sync(reader.drop_old_writers)
        commits = CommitSignal(last_seq=await reader.read(lambda tables, _: tables.last_event_seq()))
        writer = partial(Writer, url=url, pool=pool, queries=reader.queries, observe_now=clock.observe)
        writer = partial(writer, announce=commits.announce, new_name=new_name, run_sync=run_sync)
        live, changes = (GroupCommit(writer(id=new_name(), doubt_limit_s=doubt_limit_s).commit_group) for _ in range(2))
        transactions = _PostgresTransactions(reader, live, changes, now)
        nursery.start_soon(_listen, url, reader.queries["last_notified"], commits.announce, run_sync)
        async with trio.open_nursery() as writing:
            writing.start_soon(live.run)
            writing.start_soon(changes.run)
            try:
                process = new_token()
                yield TransactionalStore(
                    transactions, commits, limits, new_id, new_token, poll_s, now or clock.now, process
                )
                with trio.move_on_after(_LEAVE_S):
                    await run_sync(reader.drop_process, process, abandon_on_cancel=True)
            finally:
                live.close()
                changes.close()
        nursery.cancel_scope.cancel()


@define(eq=False)
class _ServerClock:
    """The server's time between two of its answers, late by as long as an answer takes. It does not jump when this
    host's clock does."""

    _monotonic: Callable[[], float]
    _ahead_s: float = 0.0  # the first read, while the store opens, sets it

    def observe(self, server_now: float) -> None:
        self._ahead_s = server_now - self._monotonic()

    def now(self) -> float:
        return self._monotonic() + self._ahead_s


@define(eq=False)
class _Reader:
    """Runs operations that only read, each on one snapshot."""

    url: str
    pool: ConnectionPool[PgConnection]
    queries: Mapping[str, str]
    observe_now: Callable[[float], None]
    run_sync: RunSync
    _slots: trio.Semaphore = field(factory=lambda: trio.Semaphore(CONNECTIONS - 2))

    async def read(self, operation: Operation[T]) -> T:
        async with self._slots:
            value: T = await self.run_sync(self._read, operation)
        return value

    def drop_old_writers(self) -> None:
        with translated_errors(self.url), self.pool.connection() as connection:
            connection.execute(self.queries["drop_old_writers"], {"age_s": _WRITER_KEPT_S})

    def drop_process(self, process: str) -> None:
        with suppress(psycopg.Error, PoolTimeout), self.pool.connection(_LEAVE_S) as connection:
            connection.execute(self.queries["delete_process"], {"id": process})

    def _read(self, operation: Operation[T]) -> T:
        """Once more where the connection turned out to be gone: it may have been idle since the server restarted."""
        with translated_errors(self.url):
            for tries_left in (1, 0):
                with self.pool.connection() as connection:
                    try:
                        return self._on_snapshot(connection, operation)
                    except Exception as error:
                        if not (end_transaction(connection, error) and tries_left):
                            raise
                self.pool.check()
        raise AssertionError("unreachable")

    def _on_snapshot(self, connection: PgConnection, operation: Operation[T]) -> T:
        with connection.pipeline() as pipeline:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            (row,) = connection.execute(self.queries["begin_read"]).fetchall()
            self.observe_now(row["now"])
            value = operation(PostgresTables(connection, pipeline, self.queries), row["now"])
            connection.execute("COMMIT")  # a rollback would cost the prepared statements
        return value


@define(eq=False)
class _PostgresTransactions:
    """Writes through the group commits, reads on a snapshot; `_now` is None where time is the server's."""

    _reader: _Reader
    _live: GroupCommit[Operation[object]]
    _changes: GroupCommit[Operation[object]]
    _now: Now | None

    async def write(self, operation: Operation[T], *, makes_live: bool = False) -> T:
        writer = self._live if makes_live else self._changes
        value: T = await writer.submit(self._timed(operation))
        return value

    async def read(self, operation: Operation[T]) -> T:
        return await self._reader.read(self._timed(operation))

    def _timed(self, operation: Operation[T]) -> Operation[T]:
        now = self._now
        if now is None:
            return operation

        def at(tables: Tables, _: float) -> T:
            return operation(tables, now())

        return at


@asynccontextmanager
async def _opened(pool: ConnectionPool[PgConnection], run_sync: RunSync) -> AsyncIterator[None]:
    pool.open()
    try:
        yield
    finally:
        with trio.move_on_after(CLOSE_LIMIT_S, shield=True):
            await run_sync(pool.close, abandon_on_cancel=True)


async def _listen(url: str, query: str, announce: Callable[[int], None], run_sync: RunSync) -> None:
    """Announce the newest event's `seq` when some process has committed one, and each time that we may have missed it.

    Stores in other schemas of the database are heard too; each tells its events by the id of its table.
    """
    while True:
        try:
            with closing(await run_sync(connect, url)) as connection:
                here, seq = await run_sync(_start_listening, connection, query)
                announce(seq)
                while True:
                    await trio.lowlevel.wait_readable(connection.fileno())
                    connection.pgconn.consume_input()
                    while (told := connection.pgconn.notifies()) is not None:
                        where, _, number = told.extra.partition(b" ")
                        if where == here and number.isdigit():
                            announce(int(number))
        except (psycopg.Error, OSError):
            await trio.sleep(_RELISTEN_S)  # whoever waits looks by itself, every `POLL_S`


def _start_listening(connection: PgConnection, query: str) -> tuple[bytes, int]:
    """By what its events are told, and the newest one's `seq`; of later ones the connection will hear."""
    connection.execute("LISTEN streamwarm")
    (row,) = connection.execute(query).fetchall()
    return b"%d" % row["tableoid"], row["value"]
