"""The backlog in a SQLite file: one writer that commits in groups, a few readers beside it.

SQLite has one writer at a time, so there is one connection for writes, used by one task, in a worker thread.
Each operation of a group runs in a savepoint of its own: one that fails is undone alone. Reads go through
connections of their own and see the last commit; in WAL mode neither side waits for the other.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any

import trio
from attrs import define, evolve, field, frozen

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.group_commit import GroupCommit, Outcome
from streamwarm.backlog.queries import load_queries
from streamwarm.backlog.sqlite.file import Connect, connect, describe, migrate, translated_errors
from streamwarm.backlog.sqlite.tables import SqliteTables
from streamwarm.backlog.store import Store
from streamwarm.backlog.transactional import CommitSignal, Operation, T, TransactionalStore
from streamwarm.errors import StoreUnavailable
from streamwarm.model import Event
from streamwarm.threads import RunSync

READERS = 2
"""Reading connections: a long list in one must not hold up the dispatcher's look at the queue in the
other."""

POLL_S = 0.5
"""How often `wait_for_event` looks for events of other processes on the same file; one index read."""

CLOSE_LIMIT_S = 10.0
"""How long closing may take: the last connection moves the log into the file. What is left of that is done by whoever
opens the file next."""

_LOCAL_ERRORS = (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
"""SQLite's errors that are the fault of one operation. The others tell of the file, and undo the group."""


@asynccontextmanager
async def open_sqlite_store(
    path: str,
    *,
    limits: StoreBounds,
    now: Callable[[], float],
    new_id: Callable[[], str],
    new_token: Callable[[], str],
    run_sync: RunSync,
    connect: Connect = connect,
) -> AsyncIterator[Store]:
    """Open (and create or migrate) the store in the file at `path`. `now` gives Unix seconds.

    On leaving, pending writes are committed first. Raises `StoreUnavailable` if the file cannot be opened.
    """
    await run_sync(migrate, path, now, connect)
    async with AsyncExitStack() as stack:
        queries = load_queries("sqlite")
        open_tables = partial(_open_tables, stack, path, connect, queries, run_sync)
        writer_tables = await open_tables()
        readers = [await open_tables() for _ in range(READERS)]
        commits = CommitSignal(last_seq=await run_sync(writer_tables.last_event_seq))

        async def commit_group(operations: Sequence[Operation[Any]]) -> Sequence[Outcome]:
            group: _Committed = await run_sync(_commit_group, writer_tables, path, operations, now())
            if group.deleted:
                commits.forget()
            commits.announce(group.last_seq, group.events)
            return group.outcomes

        writer = GroupCommit(commit_group)
        transactions = _SqliteTransactions(path, writer, readers, now, run_sync)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            try:
                yield TransactionalStore(transactions, commits, limits, new_id, new_token, POLL_S, now, new_token())
            finally:
                writer.close()


@define(eq=False)
class _SqliteTransactions:
    """Writes through the group commit, reads on an idle reader."""

    _path: str
    _writer: GroupCommit[Operation[Any]]
    _idle: list[SqliteTables]
    _now: Callable[[], float]
    _run_sync: RunSync
    _slots: trio.Semaphore = field(factory=lambda: trio.Semaphore(READERS))

    async def write(self, operation: Operation[T], *, makes_live: bool = False) -> T:
        value: T = await self._writer.submit(operation)
        return value

    async def read(self, operation: Operation[T]) -> T:
        async with self._slots:
            tables = self._idle.pop()
            try:
                value: T = await self._run_sync(_read, tables, self._path, operation, self._now())
            finally:
                self._idle.append(tables)
        return value


async def _open_tables(
    stack: AsyncExitStack, path: str, connect: Connect, queries: dict[str, str], run_sync: RunSync
) -> SqliteTables:
    """Open a connection that is closed with `stack`."""

    async def close() -> None:
        with trio.move_on_after(CLOSE_LIMIT_S, shield=True):
            await run_sync(_close, connection, abandon_on_cancel=True)

    with translated_errors(path):
        connection = await run_sync(connect, path)
    stack.push_async_callback(close)
    return SqliteTables(connection, queries)


def _close(connection: sqlite3.Connection) -> None:
    """Closing moves the log into the file if it can; what it cannot stays in the log, and nothing is lost."""
    with suppress(sqlite3.Error):
        connection.close()


@frozen
class _Committed:
    """A group that is on disk: how each operation ended, the events of all, whether events of others were deleted, and
    the newest event's `seq`."""

    outcomes: list[Outcome]
    events: list[Event]
    deleted: bool
    last_seq: int


def _commit_group(tables: SqliteTables, path: str, operations: Sequence[Operation[Any]], now: float) -> _Committed:
    """All operations in one transaction, each in its savepoint."""
    connection = tables.connection
    tables.appended.clear()
    tables.deleted = False
    with translated_errors(path):
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [_in_savepoint(tables, path, operation, now) for operation in operations]
            last_seq = tables.last_event_seq()
            connection.execute("COMMIT")
        finally:
            _end_transaction(connection)
    # Nobody else writes meanwhile, so SQLite numbered them one after another.
    first_seq = last_seq - len(tables.appended) + 1
    events = [evolve(event, seq=first_seq + place) for place, event in enumerate(tables.appended)]
    return _Committed(outcomes, events, tables.deleted, last_seq)


def _in_savepoint(tables: SqliteTables, path: str, operation: Operation[Any], now: float) -> Outcome:
    connection = tables.connection
    appended = len(tables.appended)
    connection.execute("SAVEPOINT operation")
    try:
        outcome = Outcome(value=operation(tables, now))
    except _LOCAL_ERRORS as error:
        outcome = Outcome(error=StoreUnavailable(describe(path, error)))
    except sqlite3.Error:
        raise
    except Exception as error:
        outcome = Outcome(error=error)
    if outcome.error is not None:
        connection.execute("ROLLBACK TO operation")
        del tables.appended[appended:]
    connection.execute("RELEASE operation")
    return outcome


def _read(tables: SqliteTables, path: str, operation: Operation[T], now: float) -> T:
    """One snapshot for all the queries of an operation."""
    connection = tables.connection
    with translated_errors(path):
        try:
            connection.execute("BEGIN")
            return operation(tables, now)
        finally:
            _end_transaction(connection)


def _end_transaction(connection: sqlite3.Connection) -> None:
    """Roll back what is still open: a failed group, or a read. Some errors have rolled back by themselves."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")
