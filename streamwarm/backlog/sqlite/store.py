"""The backlog in a SQLite file: one writer that commits in groups, a few readers beside it.

SQLite has one writer at a time, so one task uses the one connection for writes, in a worker thread. Each operation of a
group runs in a savepoint of its own, so an operation that fails is undone alone. Reads have connections of their own
and see the last commit; in WAL mode neither side waits for the other.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any

import trio
from attrs import define, evolve, field, frozen

from streamwarm.attempts import LOCAL, Holder
from streamwarm.backlog.commit_signal import CommitSignal
from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.core.odd import OddRows
from streamwarm.backlog.group_commit import GroupCommit, Result
from streamwarm.backlog.queries import load_queries
from streamwarm.backlog.sqlite.file import Connect, connect, describe, migrate, translated_errors
from streamwarm.backlog.sqlite.guard import FileGuard
from streamwarm.backlog.sqlite.tables import SqliteTables
from streamwarm.backlog.store import Store
from streamwarm.backlog.transactional import TransactionalStore, correct_counts
from streamwarm.backlog.transactions import Operation, T
from streamwarm.errors import StoreUnavailable
from streamwarm.model import Event
from streamwarm.threads import RunSync

READERS = 2
"""Connections for reads. While one reads a long list, the dispatcher must be able to read the queue in the other."""

POLL_S = 0.5
"""The interval at which `next_events` checks for events of other processes on the same file; one index read."""

CLOSE_LIMIT_S = 10.0
"""How long closing may take: the last connection moves the log into the file. The next process that opens the file does
the rest."""

_LOCAL_ERRORS = (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
"""SQLite's errors that are the fault of one operation. The others concern the file, and undo the whole group."""


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
    holder: Holder = LOCAL,
    accounts: Mapping[str, str] | None = None,
) -> AsyncIterator[Store]:
    """Open the store in the file at `path`; create or migrate it if need be. `now` gives Unix seconds; `holder`
    is kept with the attempts; `accounts` maps each destination to the account that its settings name.

    On leaving, pending writes are committed first. Raises `StoreUnavailable` if the file cannot be opened.
    """
    await run_sync(migrate, path, connect)
    async with AsyncExitStack() as stack:
        queries, odd, guard = load_queries("sqlite"), OddRows(), FileGuard(path)
        stack.callback(guard.close)
        open_tables = partial(_open_tables, stack, path, connect, queries, run_sync, odd)
        writer_tables = await open_tables()
        readers = [await open_tables() for _ in range(READERS)]
        with translated_errors(path):
            commits = CommitSignal(last_seq=await run_sync(writer_tables.jobs.last_event_seq))
        guard.watch()

        async def commit_group(operations: Sequence[Operation[Any]]) -> Sequence[Result]:
            group: _Committed = await run_sync(_commit_group, writer_tables, guard, operations, now())
            if group.deleted:
                commits.forget()
            commits.announce(group.last_seq, group.events)
            return group.results

        writer = GroupCommit(commit_group)
        transactions = _SqliteTransactions(path, writer, readers, now, run_sync)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            core = transactions, commits, limits, new_id, new_token
            await correct_counts(transactions)
            try:
                yield TransactionalStore(*core, POLL_S, now, new_token(), holder, odd, accounts or {})
            finally:
                writer.close()


@define(eq=False)
class _SqliteTransactions:
    """Writes go through the group commit, reads through an idle reader."""

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
    stack: AsyncExitStack, path: str, connect: Connect, queries: dict[str, str], run_sync: RunSync, odd: OddRows
) -> SqliteTables:
    """Open a connection that `stack` closes."""

    async def close() -> None:
        with trio.move_on_after(CLOSE_LIMIT_S, shield=True):
            await run_sync(_close, connection, abandon_on_cancel=True)

    with translated_errors(path):
        connection = await run_sync(connect, path)
    stack.push_async_callback(close)
    return SqliteTables.over(connection, queries, odd)


def _close(connection: sqlite3.Connection) -> None:
    """Closing moves the log into the file. What it cannot move stays in the log, and nothing is lost."""
    with suppress(sqlite3.Error):
        connection.close()


@frozen
class _Committed:
    """A group that is on disk. `events` are those it appended; `deleted`: whether it deleted any; `last_seq` is the
    newest event's."""

    results: list[Result]
    events: list[Event]
    deleted: bool
    last_seq: int


def _commit_group(
    tables: SqliteTables, guard: FileGuard, operations: Sequence[Operation[Any]], now: float
) -> _Committed:
    """All operations in one transaction, each in its savepoint. The files must be those that are open, also at the end:
    what was committed to a deleted file is not acknowledged."""
    connection, path = tables.connection, guard.path
    guard.check(connection, now)
    tables.jobs.appended.clear()
    tables.jobs.deleted = False
    with translated_errors(path):
        try:
            connection.execute("BEGIN IMMEDIATE")
            results = [_in_savepoint(tables, path, operation, now) for operation in operations]
            last_seq = tables.jobs.last_event_seq()
            connection.execute("COMMIT")
        finally:
            _end_transaction(connection)
    guard.check(connection, now)
    # Nobody else wrote meanwhile, so SQLite numbered them one after another.
    first_seq = last_seq - len(tables.jobs.appended) + 1
    events = [evolve(event, seq=first_seq + index) for index, event in enumerate(tables.jobs.appended)]
    return _Committed(results, events, tables.jobs.deleted, last_seq)


def _in_savepoint(tables: SqliteTables, path: str, operation: Operation[Any], now: float) -> Result:
    connection = tables.connection
    appended = len(tables.jobs.appended)
    connection.execute("SAVEPOINT operation")
    try:
        result = Result(value=operation(tables, now))
    except _LOCAL_ERRORS as error:
        result = Result(error=StoreUnavailable(describe(path, error)))
    except sqlite3.Error:
        raise
    except Exception as error:
        result = Result(error=error)
    if result.error is not None:
        connection.execute("ROLLBACK TO operation")
        del tables.jobs.appended[appended:]
    connection.execute("RELEASE operation")
    return result


def _read(tables: SqliteTables, path: str, operation: Operation[T], now: float) -> T:
    """Run all queries of an operation on one snapshot."""
    connection = tables.connection
    with translated_errors(path):
        try:
            connection.execute("BEGIN")
            return operation(tables, now)
        finally:
            _end_transaction(connection)


def _end_transaction(connection: sqlite3.Connection) -> None:
    """Roll back a transaction that is still open: a failed group, or a read. Some errors roll back by themselves."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")
