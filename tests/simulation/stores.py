"""The stores of a simulation: SQLite on a disk that loses unsynced writes in a crash, and a memory that hosts share.

PostgreSQL itself is not simulated: its driver needs real sockets. What its hosts live through is: a commit that takes
place and whose answer is lost, a server that does not answer, and a lease that another host has taken.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Protocol

import trio
from attrs import define, evolve, field

from streamwarm.attempts import Holder
from streamwarm.backlog.commit_signal import CommitSignal
from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.group_commit import GroupCommit, Result
from streamwarm.backlog.memory.shared import MemoryShared
from streamwarm.backlog.memory.tables import MemoryTables
from streamwarm.backlog.rescuer import report_abandoned
from streamwarm.backlog.shared_limits import SharedLimits
from streamwarm.backlog.sqlite.file import configure
from streamwarm.backlog.sqlite.store import open_sqlite_store
from streamwarm.backlog.store import Store
from streamwarm.backlog.transactional import TransactionalStore
from streamwarm.backlog.transactions import Operation, T
from streamwarm.errors import StoreUnavailable
from streamwarm.service.machine import Machine
from streamwarm.settings.schema import QueueSettings
from streamwarm.watch.observations import Observer
from tests.simulation.plan import FaultKind
from tests.worlds.power_cut import Connection, Cursor, Disk, Sync, Write

NAME = "jobs.db"
"""The path that the service knows, and that its errors quote: where a run's folder is differs from run to run."""

POLL_S = 0.5
ALIVE_S = 15.0
"""How long a process that was not heard of counts as alive, in seconds: PostgreSQL's store has it so."""

COMMIT_S = (0.001, 0.01)


class StoreHost(Protocol):
    """What a store asks of the host that opened it, in the life that it was opened in."""

    index: int
    store_is_down: bool
    is_dead: bool

    async def passed(self) -> None:
        """Return once the host does not stand still."""
        ...

    def timed(self, transactions: Any) -> Any:
        """These transactions, with a note of when events are committed."""
        ...

    def committed(self) -> FaultKind | None:
        """Called inside each commit: what happens to this one. If the host dies in it, it is dead on return."""
        ...


class Stores(Protocol):
    def opened(
        self, host: StoreHost, machine: Machine, accounts: Mapping[str, str], observe: Observer
    ) -> AbstractAsyncContextManager[Store]: ...

    def died(self, host: StoreHost, *, in_commit: bool) -> None:
        """The host has died; what it had not synced is lost."""
        ...

    def held(self) -> bytes:
        """Everything the store holds, to search for secrets."""
        ...


def _names(machine: Machine, trust_s: float, accounts: Mapping[str, str]) -> dict[str, Any]:
    return {
        "limits": StoreBounds(trust_s=trust_s),
        "accounts": accounts,
        "new_id": machine.new_id,
        "new_token": machine.new_token,
        "holder": Holder(machine.hostname, 1),
    }


@define(eq=False)
class SqliteStores:
    """One host's file. Each life of the host has a disk of its own, with what the last one left."""

    _root: Path
    _random: Random
    _trust_s: float
    _lives: int = 0
    _disk: Disk = field(factory=Disk)
    _before_commit: int = 0

    @asynccontextmanager
    async def opened(
        self, host: StoreHost, machine: Machine, accounts: Mapping[str, str], observe: Observer
    ) -> AsyncIterator[Store]:
        folder = self._folder()
        names = _names(machine, self._trust_s, accounts)

        async def run_sync(function: Any, *args: Any, abandon_on_cancel: bool = False) -> Any:
            await host.passed()
            before = len(disk.record)
            result = function(*args)
            if len(disk.record) > before:
                self._before_commit = before
                host.committed()
            await host.passed()
            return result

        def connect(_: str) -> sqlite3.Connection:
            connection: Any = _Connection(disk.connect(str(folder / NAME)), host)
            configure(connection)
            return connection  # type: ignore[no-any-return]

        with Disk() as disk:
            self._disk = disk
            for path in sorted(folder.iterdir()):  # what the last life left is on the disk
                disk.record += [Write(path.name, path.read_bytes(), 0), Sync(path.name)]
            opened = open_sqlite_store(NAME, now=machine.now, run_sync=run_sync, connect=connect, **names)
            async with opened as store:
                store._transactions = host.timed(store._transactions)
                report_abandoned(await store.rescue(everything=True), observe)
                yield store

    def died(self, host: StoreHost, *, in_commit: bool) -> None:
        """A crash in a commit finds the disk as it was at any write of it."""
        record = self._disk.record
        at = self._random.randint(self._before_commit, len(record)) if in_commit else len(record)
        self._lives += 1
        self._disk.after_cut(at, self._random, self._folder())

    def held(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted(self._folder().iterdir()) if not path.name.endswith("shm"))

    def _folder(self) -> Path:
        folder = self._root / str(self._lives)
        folder.mkdir(exist_ok=True)
        return folder


@define(eq=False)
class _Connection:
    """A connection on a disk that takes no writes while the host's store is down."""

    _connection: Connection
    _host: StoreHost

    def execute(self, query: str, parameters: Any = ()) -> Cursor:
        if self._host.store_is_down and query == "BEGIN IMMEDIATE":
            raise sqlite3.OperationalError("disk I/O error")
        return self._connection.execute(query, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@define(eq=False)
class _Shared(MemoryShared):
    """Counts the processes that are alive, as a database does.

    `absences` has each process that was counted out, and until when (the database's clock; `inf`: it still is).
    """

    absences: dict[str, float] = field(factory=dict)
    _seen_at: dict[str, float] = field(factory=dict)

    def mark_alive(self, process: str, now: float) -> None:
        self._seen_at[process] = now
        if process in self.absences:
            self.absences[process] = now
        for one in [one for one, at in self._seen_at.items() if at < now - ALIVE_S]:
            del self._seen_at[one]
            self.absences[one] = math.inf

    def read_limits(self) -> SharedLimits:
        return evolve(super().read_limits(), processes=max(1, len(self._seen_at)))


@define(eq=False)
class SharedStores:
    """One memory for all hosts, with a clock of its own."""

    _now: Any
    _random: Random
    _trust_s: float
    _shared: _Shared = field(factory=_Shared)
    _hosts: dict[str, StoreHost] = field(factory=dict)
    tables: MemoryTables = field(init=False)

    @tables.default
    def _shared_by_all(self) -> MemoryTables:
        return MemoryTables(shared=self._shared)

    def uploads_counted_out(self, since: float) -> int:
        """How many uploads hosts may have had under way, at most, that were counted out at `since` or later and live.

        Such a host does not know that the others have taken its share of the budgets. It claims nothing more, but ends
        what it has begun.
        """
        out = (process for process, until in self._shared.absences.items() if until >= since)
        return sum(QueueSettings().workers for process in out if not self._hosts[process].is_dead)

    @asynccontextmanager
    async def opened(
        self, host: StoreHost, machine: Machine, accounts: Mapping[str, str], observe: Observer
    ) -> AsyncIterator[Store]:
        commits = CommitSignal(self.tables.jobs.last_event_seq())
        transactions = _SharedTransactions(self.tables, commits, self._now, host, self._random)
        names = _names(machine, self._trust_s, accounts)
        writer = GroupCommit(transactions.commit_group)
        transactions.writer = writer
        process = machine.new_token()
        self._hosts[process] = host
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            try:
                yield TransactionalStore(
                    host.timed(transactions),
                    commits,
                    names["limits"],
                    names["new_id"],
                    names["new_token"],
                    POLL_S,
                    self._now,
                    process,
                    names["holder"],
                    accounts=accounts,
                )
            finally:
                writer.close()

    def died(self, host: StoreHost, *, in_commit: bool) -> None:
        """The memory is another machine's: nothing of it is lost."""

    def held(self) -> bytes:
        return repr(self.tables).encode()


@define(eq=False)
class _SharedTransactions:
    """Commits in groups, as the databases do."""

    _tables: MemoryTables
    _commits: CommitSignal
    _now: Any
    _host: StoreHost
    _random: Random
    writer: GroupCommit[Operation[Any]] = field(init=False)

    async def write(self, operation: Operation[T], *, makes_live: bool = False) -> T:
        value: T = await self.writer.submit(operation)
        return value

    async def read(self, operation: Operation[T]) -> T:
        await self._reach()
        value = operation(self._tables, self._now())
        await self._host.passed()
        return value

    async def commit_group(self, operations: Sequence[Operation[Any]]) -> Sequence[Result]:
        await self._reach()
        results = [self._run(operation) for operation in operations]
        if self._host.committed() is FaultKind.COMMIT_LOST:
            await trio.sleep(self._random.uniform(0, 10.0))
            if self._random.random() < 0.5:
                raise StoreUnavailable("the answer to a commit was lost")
        await self._host.passed()
        self._commits.announce(self._tables.jobs.last_event_seq())
        return results

    async def _reach(self) -> None:
        await trio.sleep(self._random.uniform(*COMMIT_S))
        await self._host.passed()
        if self._host.is_dead or self._host.store_is_down:
            raise StoreUnavailable("the server does not answer")

    def _run(self, operation: Operation[Any]) -> Result:
        try:
            return Result(operation(self._tables, self._now()))
        except Exception as error:
            return Result(error=error)
