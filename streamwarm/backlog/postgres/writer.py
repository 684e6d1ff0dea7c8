"""Writes to PostgreSQL, each exactly once, whatever becomes of the connection (fault 23).

If the answer to a commit is lost, the commit may have taken place or not. So each writer owns a row of `writers`. A
transaction begins by locking that row and ends by writing its own token into it. A writer that repeats a write reads
the row first. That waits until the server has ended the earlier transaction. If the row then has the write's token,
the write took place. If it has another one, it never will.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg
import trio
from attrs import define, frozen
from psycopg import Cursor
from psycopg_pool import ConnectionPool, PoolTimeout

from streamwarm.backlog.core.odd import OddRows
from streamwarm.backlog.group_commit import Result
from streamwarm.backlog.postgres.server import PgConnection, describe
from streamwarm.backlog.postgres.tables import PostgresTables
from streamwarm.backlog.transactions import Operation
from streamwarm.errors import StoreUnavailable
from streamwarm.threads import RunSync

DOUBT_LIMIT_S = 40.0
"""How long a writer tries to find out about a commit that was not answered. Its caller waits longer than that."""

TRIES = 3
"""How often a write is tried if its connection breaks before the commit, or if it deadlocks with another."""

_PAUSE_S = 0.2
"""The wait before a write is tried again."""

_CONFLICTS = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)

_OF_ONE = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.ProgrammingError,
    psycopg.NotSupportedError,
    psycopg.errors.ProgramLimitExceeded,  # a name too long for an index
)
"""Errors that are the fault of one operation of a group, except those in `_OF_ALL`. The rest concern the server."""

_OF_ALL = (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable)


@frozen
class Committed:
    """The result of a group's transaction.

    `last_seq` is the newest event's `seq`, or None if no event was appended. `now` is the server's time at its start
    (Unix seconds).
    """

    results: Sequence[Result]
    last_seq: int | None
    now: float


class _Lost(Exception):
    """The connection broke, or two transactions deadlocked.

    If `committed` is None, the transaction did not take place and may be tried again. Otherwise the connection broke
    while the commit was on its way.
    """

    def __init__(self, error: Exception, committed: Committed | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.committed = committed


class _Spoiled(Exception):
    """One operation failed, and the transaction with it; or two groups deadlocked. Each operation locks what it changes
    in order, but a group locks it operation by operation, so two groups may cross."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


@define(eq=False)
class Writer:
    """Commits groups, one after the other. `id` names its row.

    `observe_now` is called with the server's time, `announce` with the newest event's `seq`.
    """

    id: str
    url: str
    pool: ConnectionPool[PgConnection]
    queries: Mapping[str, str]
    odd: OddRows
    observe_now: Callable[[float], None]
    announce: Callable[[int], None]
    new_name: Callable[[], str]
    run_sync: RunSync
    doubt_limit_s: float = DOUBT_LIMIT_S

    async def commit_group(self, operations: Sequence[Operation[Any]]) -> Sequence[Result]:
        """Run all in one transaction. If one operation spoils it, run each in its own. Raises `StoreUnavailable`."""
        try:
            return await self._commit(operations)
        except _Spoiled as spoiled:
            if len(operations) == 1:
                return [Result(error=_translated(self.url, spoiled.error))]
        results: list[Result] = []
        for operation in operations:
            try:
                results += await self.commit_group([operation])
            except StoreUnavailable as error:
                results.append(Result(error=error))
        return results

    async def _commit(self, operations: Sequence[Operation[Any]]) -> Sequence[Result]:
        token = self.new_name()
        doubtful: Committed | None = None
        give_up_at = trio.current_time() + self.doubt_limit_s
        for tried in itertools.count(1):
            try:
                committed = await self.run_sync(self._attempt, operations, token, doubtful)
                break
            except _Lost as lost:
                doubtful = lost.committed or doubtful
                failure = describe(self.url, lost.error)
                if doubtful is None and tried == TRIES:
                    raise StoreUnavailable(failure) from lost.error
            except (psycopg.Error, PoolTimeout) as error:
                failure = describe(self.url, error)
                if doubtful is None:
                    raise StoreUnavailable(failure) from error
            if trio.current_time() > give_up_at:
                raise StoreUnavailable(
                    f"{failure}. The connection was lost during the commit: the write may have taken place"
                )
            await trio.sleep(_PAUSE_S)
            await self.run_sync(self.pool.check)  # what broke one connection broke the idle ones too
        self.observe_now(committed.now)
        if committed.last_seq is not None:
            self.announce(committed.last_seq)
        return committed.results

    def _attempt(self, operations: Sequence[Operation[Any]], token: str, doubtful: Committed | None) -> Committed:
        with self.pool.connection() as connection:
            transaction = _Transaction(self, connection, token, doubtful)
            try:
                return transaction.run(operations)
            except Exception as error:
                gone = end_transaction(connection, error)
                if isinstance(error, _CONFLICTS) and len(operations) > 1:
                    raise _Spoiled(error) from error
                if gone or isinstance(error, _CONFLICTS):
                    raise _Lost(error, transaction.committing if gone else None) from error
                of_one = isinstance(error, _OF_ONE) and not isinstance(error, _OF_ALL)
                if of_one or not isinstance(error, psycopg.Error):
                    raise _Spoiled(error) from error
                raise


@define(eq=False)
class _Transaction:
    """One attempt at a group. `committing` is set once the commit may be on its way."""

    writer: Writer
    connection: PgConnection
    token: str
    doubtful: Committed | None
    committing: Committed | None = None

    def run(self, operations: Sequence[Operation[Any]]) -> Committed:
        with self.connection.pipeline() as pipeline:
            last_write, now = self._begin()
            if self.doubtful is not None and last_write == self.token:
                self._execute("COMMIT")
                return self.doubtful
            tables = PostgresTables.over(self.connection, pipeline, self.writer.queries, self.writer.odd)
            results = [Result(value=operation(tables, now)) for operation in operations]
            numbered = tables.finish()
            if tables.wrote:
                self._execute("sign_write", writer=self.writer.id, token=self.token, now=now)
                self.committing = Committed(results, None, now)
            ended = self._execute("COMMIT")
        if ended.statusmessage != "COMMIT":
            raise psycopg.InternalError(f"the server answered a commit with {ended.statusmessage}")
        row = None if numbered is None else numbered.fetchone()
        return Committed(results, None if row is None else row["value"], now)

    def _begin(self) -> tuple[str, float]:
        """Returns the token of this writer's last transaction, and the server's time."""
        self._execute("BEGIN")
        row = self._execute("begin_write", writer=self.writer.id).fetchone()
        if row is None:  # a new writer, or one whose row was deleted: it had not written for days
            self._execute("add_writer", writer=self.writer.id)
            self._execute("COMMIT")
            return self._begin()
        return row["last_write"], row["now"]

    def _execute(self, query: str, **parameters: object) -> Cursor[dict[str, Any]]:
        return self.connection.execute(self.writer.queries.get(query, query), parameters or None)


def end_transaction(connection: PgConnection, error: Exception) -> bool:
    """After `error`, roll back and close. Returns True if the connection was gone: what took place is then unknown.

    The connection is not used again. psycopg believes that a statement it sent behind the failed one is prepared, and
    each later use of it would fail.
    """
    gone = connection.closed or (isinstance(error, psycopg.Error) and error.diag.severity_nonlocalized == "FATAL")
    if not gone:
        try:
            connection.execute("ROLLBACK")
        except psycopg.Error:
            gone = True
    connection.close()
    return gone


def _translated(url: str, error: Exception) -> Exception:
    return StoreUnavailable(describe(url, error)) if isinstance(error, psycopg.Error) else error
