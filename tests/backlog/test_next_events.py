"""Following a store must cost one read per commit and per poll, and no more: a service does it all the time."""

from __future__ import annotations

from math import inf

import trio
from attrs import define, field

from streamwarm.backlog.commit_signal import CommitSignal
from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.memory.tables import MemoryTables
from streamwarm.backlog.store import Action
from streamwarm.backlog.transactional import TransactionalStore
from streamwarm.backlog.transactions import Operation, T
from tests.worlds.backlog import numbered, photo


@define
class CountedTransactions:
    """Transactions in memory that count the reads. Commits are announced only by `announce`, as if another process had
    made them."""

    commits: CommitSignal
    tables: MemoryTables = field(factory=MemoryTables)
    reads: int = 0

    async def write(self, operation: Operation[T], *, makes_live: bool = False) -> T:
        await trio.lowlevel.checkpoint()
        return operation(self.tables, 0.0)

    async def read(self, operation: Operation[T]) -> T:
        self.reads += 1
        await trio.lowlevel.checkpoint()
        return operation(self.tables, 0.0)

    def announce(self) -> None:
        self.commits.announce(self.tables.jobs.last_event_seq())


def open_counted(poll_s: float) -> tuple[TransactionalStore, CountedTransactions]:
    commits = CommitSignal()
    transactions = CountedTransactions(commits)
    store = TransactionalStore(
        transactions,
        commits,
        StoreBounds(),
        numbered("job-"),
        numbered("token-"),
        poll_s=poll_s,
        now=lambda: 0.0,
        process="p",
    )
    return store, transactions


async def test_events_that_were_deleted_before_they_were_read_are_not_asked_for_again_and_again(
    autojump_clock: trio.abc.Clock,
) -> None:
    store, transactions = open_counted(inf)
    await store.push([photo("a.jpg")])
    await store.cancel("job-1")
    await store.change_each(Action.FORGET, ["job-1"])
    transactions.announce()
    with trio.move_on_after(60):
        await store.next_events(0, limit=10)
    assert transactions.reads == 1
    await store.push([photo("b.jpg")])
    transactions.announce()
    assert [event.id for event in await store.next_events(0, limit=10)] == ["job-2"]


async def test_what_another_process_committed_is_found_by_one_read_per_poll(autojump_clock: trio.abc.Clock) -> None:
    store, transactions = open_counted(poll_s=1.0)
    with trio.move_on_after(5.5):
        await store.next_events(0, limit=10)
    assert transactions.reads == 5
    await store.push([photo("a.jpg")])
    assert [event.id for event in await store.next_events(0, limit=10)] == ["job-1"]
    assert transactions.reads == 6
