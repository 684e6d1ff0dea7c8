"""Bounds the memory of answers for all clients together: of those being made, and of those not yet read.

A short request can ask for megabytes, and a client may ask on many connections and read nothing. So an answer reserves
room before it is made, as much as it may need. Once made, it keeps only as much as its bytes take, until it is sent.

If there is no room, the next answers wait. Meanwhile the client that has left its answer unread for longest is
disconnected. If there is still no room in time, the request is refused before anything was done.

Short answers have a budget of their own, so that long ones never delay a look-up.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import trio
from attrs import define, field, frozen

from streamwarm.accept.wire.refusals import CallRefusedError, Reason

SHORT_BYTES = 32 * 1024
"""An answer that may need no more than this is a short one: everything but long lists, long pushes and events."""

_PAGES_AT_ONCE = 2
"""Pages of jobs that are read and encoded at a time: one is encoded while the store reads the next."""

_RETRY_AFTER_S = 1.0
"""The wait named with a refusal. Room comes back as fast as other clients read."""


class AnswerUnreadError(trio.BrokenResourceError):
    """The client left its answer unread while others waited for room. Its connection must end."""


@define(eq=False)
class Room:
    """What one answer has reserved of the budget, in bytes (`taken`)."""

    _pool: _Pool
    taken: int
    scope: trio.CancelScope = field(factory=trio.CancelScope)

    def keep(self, size: int) -> None:
        """Keep `size` bytes and free the rest: the answer is made, and now waits for its client to read it."""
        self._pool.keep(self, size)


@define(eq=False)
class _Pool:
    total_bytes: int
    wait_s: float
    unread_s: float
    used: int = 0
    _unread: dict[Room, float] = field(factory=dict)
    """Answers that wait for their clients, longest first, each with the time since which it does."""
    _queue: trio.Lock = field(factory=trio.Lock)
    _freed: trio.Event = field(factory=trio.Event)

    @asynccontextmanager
    async def room(self, size: int) -> AsyncIterator[Room]:
        room = Room(self, min(size, self.total_bytes))
        await self._take(room.taken)
        try:
            with room.scope:
                yield room
        finally:
            self._unread.pop(room, None)
            self._change(-room.taken)
        if room.scope.cancelled_caught:
            raise AnswerUnreadError("the client did not read its answer while others waited for room")

    def keep(self, room: Room, size: int) -> None:
        self._unread.pop(room, None)
        self._unread[room] = trio.current_time()
        self._change(size - room.taken)
        room.taken = size

    async def _take(self, size: int) -> None:
        if not self._queue.locked() and self._has_room_for(size):
            self.used += size  # nearly always: without a pass through the event loop
            return
        with trio.move_on_after(self.wait_s):
            async with self._queue:
                while not self._has_room_for(size):
                    with trio.move_on_after(self._end_unread()):
                        await self._freed.wait()
                self.used += size
                return
        raise CallRefusedError(
            Reason.RATE_LIMITED,
            "too many answers wait for their clients to read them; read your answers, and ask again",
            retry_after_s=_RETRY_AFTER_S,
        )

    def _has_room_for(self, size: int) -> bool:
        return self.used == 0 or self.used + size <= self.total_bytes

    def _end_unread(self) -> float:
        """End the connection that has left its answer unread for longest, if that is too long.

        Returns the seconds until another one may be ended.
        """
        for room, since in self._unread.items():
            if room.scope.cancel_called:
                continue
            left_s = since + self.unread_s - trio.current_time()
            if left_s > 0:
                return left_s
            room.scope.cancel()
            return 0.1  # it is being ended; others that read as slowly follow
        return math.inf

    def _change(self, by: int) -> None:
        self.used += by
        if by < 0:
            self._freed.set()
            self._freed = trio.Event()


@frozen
class AnswerLimits:
    """`long_bytes`, `short_bytes`: the two budgets. `wait_s`: how long an answer waits for room before it is refused.
    `unread_s`: how long a client may leave an answer unread while others wait for room.

    The longest list (500 jobs) takes 4 MB while it is made, so 12 of them fit. Of short answers, 16 MiB is more than
    all connections together ask for at a time.
    """

    long_bytes: int = 48 << 20
    short_bytes: int = 16 << 20
    wait_s: float = 10.0
    unread_s: float = 3.0


class AnswerBudget:
    """The budget for all answers of a process, over both interfaces."""

    def __init__(self, limits: AnswerLimits | None = None) -> None:
        limits = limits or AnswerLimits()
        self._long = _Pool(limits.long_bytes, limits.wait_s, limits.unread_s)
        self._short = _Pool(limits.short_bytes, limits.wait_s, limits.unread_s)
        self._pages = trio.CapacityLimiter(_PAGES_AT_ONCE)

    @asynccontextmanager
    async def making_page(self) -> AsyncIterator[None]:
        """A turn to read and encode a page of jobs, at most `_PAGES_AT_ONCE` at a time. Take the room for it first.

        A page takes some 20 ms of CPU time. A hundred at once would delay every probe by a second, in the event loop
        and by the threads that read the store.
        """
        async with self._pages:
            yield
            await trio.lowlevel.checkpoint()

    @property
    def used(self) -> int:
        """Bytes that answers take now."""
        return self._long.used + self._short.used

    def room(self, size: int) -> AbstractAsyncContextManager[Room]:
        """Room for an answer that may need `size` bytes, from before it is made until it is sent.

        Raises `CallRefusedError` if there is none in time, and `AnswerUnreadError` if its client did not read it while
        others waited. An answer that is larger than the whole budget is made when no other has room.
        """
        return (self._short if size <= SHORT_BYTES else self._long).room(size)
