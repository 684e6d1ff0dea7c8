"""One writer that commits for many callers at once.

A commit costs one sync of the disk, however much is in it. So the writer takes everything that is pending, runs each
operation in the same transaction, and answers all of them after the one commit. While it syncs, the next
group gathers. The slower the disk, the larger the groups; there is no timer.

If a caller is cancelled before its group starts, its operation is withdrawn. If it is cancelled later, it waits for the
commit. So it never leaves behind a claim that nobody knows of.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

import trio
from attrs import define, field, frozen

from streamwarm.errors import StoreUnavailable

Op = TypeVar("Op")

GROUP_MAX = 128
"""Operations in one commit. A hundred share the sync well enough, and a larger group only delays the answer to its
first member."""

GATHER_PASSES = 3
"""Passes of the event loop before a group is closed. When an attempt ends, its settlement comes first and the claim
of the next job one or two passes later; so both share a sync. It takes microseconds if nothing else runs."""

QUEUE_MAX = 1_024
"""Operations that may wait for the next group. Further callers wait until one has left."""

COMMIT_LIMIT_S = 60.0
"""How long a caller waits for a commit that has started. A disk that has not synced within a minute is broken: the
caller gets `StoreUnavailable`, and the writer's thread is left to the kernel."""


@frozen
class Result:
    """How one operation of a committed group ended: its value, or the error that undid this operation alone."""

    value: Any = None
    error: Exception | None = None


@define(eq=False)
class _Write(Generic[Op]):
    operation: Op
    started: trio.Event = field(factory=trio.Event)
    finished: trio.Event = field(factory=trio.Event)
    withdrawn: bool = False
    result: Result = Result()

    def finish(self, result: Result) -> None:
        self.result = result
        self.finished.set()


class GroupCommit(Generic[Op]):
    """`commit_group` commits operations together and returns one result for each, in order. It raises
    `StoreUnavailable` if the commit as a whole failed."""

    def __init__(self, commit_group: Callable[[Sequence[Op]], Awaitable[Sequence[Result]]]) -> None:
        self._commit_group = commit_group
        self._queue, self._pending = trio.open_memory_channel[_Write[Op]](QUEUE_MAX)

    async def submit(self, operation: Op) -> Any:
        """Returns the operation's value once it is committed. Raises the error that undid it, or `StoreUnavailable`."""
        write = _Write(operation)
        try:
            await self._queue.send(write)
        except trio.ClosedResourceError:
            raise StoreUnavailable("the store is closed: the service is shutting down") from None
        try:
            await write.started.wait()
        except trio.Cancelled:
            write.withdrawn = True
            raise
        with trio.move_on_after(COMMIT_LIMIT_S, shield=True):
            await write.finished.wait()
        if not write.finished.is_set():
            raise StoreUnavailable(
                f"the disk has not synced a commit for {COMMIT_LIMIT_S:.0f} s; check the volume of the store"
            )
        if write.result.error is not None:
            raise write.result.error
        return write.result.value

    async def run(self) -> None:
        """Commit group after group until `close` is called, then what is still pending, and return."""
        async with self._pending:
            async for first in self._pending:
                for _ in range(GATHER_PASSES):
                    await trio.lowlevel.cancel_shielded_checkpoint()
                group = [write for write in self._gather(first) if not write.withdrawn]
                if group:
                    await self._commit(group)

    def close(self) -> None:
        """Refuse further operations: `submit` raises `StoreUnavailable` from now on."""
        self._queue.close()

    def _gather(self, first: _Write[Op]) -> list[_Write[Op]]:
        group = [first]
        while len(group) < GROUP_MAX:
            try:
                group.append(self._pending.receive_nowait())
            except (trio.WouldBlock, trio.EndOfChannel):
                break
        return group

    async def _commit(self, group: Sequence[_Write[Op]]) -> None:
        for write in group:
            write.started.set()
        try:
            results = await self._commit_group([write.operation for write in group])
        except StoreUnavailable as error:
            # Each caller gets an exception of its own: where it is raised, a traceback is added to it.
            results = [Result(error=type(error)(str(error))) for _ in group]
        for write, result in zip(group, results, strict=True):
            write.finish(result)
