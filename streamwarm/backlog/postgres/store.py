"""The backlog in a PostgreSQL database, shared by any number of processes and hosts.

A process has two writers, and both commit in groups. One makes jobs live (pushes, retries): one host at a time does
that. The other makes all other changes, which the hosts make side by side. Reads have further connections and see one
snapshot each. All of this blocks, so it runs in worker threads. Only notifications are awaited in trio.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing, suppress
from functools import partial

import psycopg
import trio
from attrs import define, field
from psycopg_pool import ConnectionPool, PoolTimeout

from streamwarm.attempts import LOCAL, Holder
from streamwarm.backlog.commit_signal import CommitSignal
from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.core.odd import OddRows
from streamwarm.backlog.core.tables import Tables
from streamwarm.backlog.group_commit import GroupCommit
from streamwarm.backlog.postgres.check import (  # noqa: F401 - for `service/open`, which imports this module alone
    check_writable,
    source_pause,
)
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
from streamwarm.backlog.transactional import TransactionalStore, correct_counts
from streamwarm.backlog.transactions import Operation, T
from streamwarm.threads import RunSync

POLL_S = 2.0
"""The interval at which `next_events` checks for events without a notification: one is lost with its connection."""

CLOSE_LIMIT_S = 10.0
"""How long closing may take: the pool waits 5 s for its own threads and closes each connection with a message."""

_RELISTEN_S = 1.0
"""How long the listener waits before it reconnects. Meanwhile `POLL_S` bounds how late events are noticed."""

_WRITER_KEPT_S = 7 * 86_400.0
"""Rows of writers that have not written for this long are deleted. A writer whose row is gone adds it again."""

_LEAVE_S = 2.0
"""How long a process that ends may take to remove its row. If it fails, the others notice within `ALIVE_S`."""

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
    holder: Holder = LOCAL,
    accounts: Mapping[str, str] | None = None,
) -> AsyncIterator[Store]:
    """Open the store in the database at `url`; create or migrate it if need be.

    Time is the server's, except in tests that give `now`; `monotonic` carries it on between two answers. No writer
    or write gets a name of `new_name`'s twice. `accounts` maps each destination to the account that its settings name.
    On leaving, pending writes are committed. Raises `StoreUnavailable`.
    """
    await run_sync(migrate, url)
    pool, clock, odd = make_pool(url), _ServerClock(monotonic), OddRows()
    reader = _Reader(url, pool, load_queries("postgres"), clock.observe, run_sync, odd)
    async with _opened(pool, run_sync), trio.open_nursery() as nursery:
        await run_sync(reader.drop_old_writers)
        commits = CommitSignal(last_seq=await reader.read(lambda tables, _: tables.jobs.last_event_seq()))
        writer = partial(Writer, url=url, pool=pool, queries=reader.queries, odd=odd, observe_now=clock.observe)
        writer = partial(writer, announce=commits.announce, new_name=new_name, run_sync=run_sync)
        live, changes = (GroupCommit(writer(id=new_name(), doubt_limit_s=doubt_limit_s).commit_group) for _ in range(2))
        transactions = _PostgresTransactions(reader, live, changes, now)
        nursery.start_soon(_listen, url, reader.queries["last_notified"], commits.announce, run_sync)
        async with trio.open_nursery() as writing:
            writing.start_soon(live.run)
            writing.start_soon(changes.run)
            process = new_token()
            core = transactions, commits, limits, new_id, new_token
            await correct_counts(transactions)
            try:
                yield TransactionalStore(*core, poll_s, now or clock.now, process, holder, odd, accounts or {})
                with trio.move_on_after(_LEAVE_S):
                    await run_sync(reader.drop_process, process, abandon_on_cancel=True)
            finally:
                live.close()
                changes.close()
        nursery.cancel_scope.cancel()


@define(eq=False)
class _ServerClock:
    """The server's time, carried on between two of its answers by this host's steady clock. It is late by as long as an
    answer takes, and does not jump when this host's clock does."""

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
    odd: OddRows
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
        """Try once more if the connection was gone: it may have been idle since the server restarted."""
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
            value = operation(PostgresTables.over(connection, pipeline, self.queries, self.odd), row["now"])
            connection.execute("COMMIT")  # a rollback would cost the prepared statements
        return value


@define(eq=False)
class _PostgresTransactions:
    """Writes go through the group commits, reads see a snapshot. `_now` is None if time is the server's."""

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

    Notifications come from stores in other schemas of the database too. Each has the id of its store's table.
    """
    while True:
        try:
            with closing(await run_sync(connect, url)) as connection:
                here, seq = await run_sync(_start_listening, connection, query)
                announce(seq)
                while True:
                    await trio.lowlevel.wait_readable(connection.fileno())
                    connection.pgconn.consume_input()
                    while (notification := connection.pgconn.notifies()) is not None:
                        table, _, number = notification.extra.partition(b" ")
                        if table == here and number.isdigit():
                            announce(int(number))
        except (psycopg.Error, OSError):
            await trio.sleep(_RELISTEN_S)  # meanwhile `next_events` polls


def _start_listening(connection: PgConnection, query: str) -> tuple[bytes, int]:
    """Returns the table id in this store's notifications, and the newest event's `seq`.

    The connection is notified of later events.
    """
    connection.execute("LISTEN streamwarm")
    (row,) = connection.execute(query).fetchall()
    return b"%d" % row["tableoid"], row["value"]
