"""The connections: how many there may be, which one serves a request, when an idle one is closed.

Theory. A slot is the right to have a request under way. There are as many slots as connections are allowed, and idle
connections hold none. So a request that has a slot can always have a connection: at worst the one that has been idle
longest is closed for it. Waiting for a slot is the only queue, and it is first come, first served.

Cancellation. Which connections to keep, take and close is decided without waiting. Closing never waits for the peer and
can't be cancelled half-way. So whichever way a request ends, its slot is released and no connection is lost.
"""

from __future__ import annotations

import ssl

import httpx
import trio
from attrs import define, field, frozen

from streamwarm.net.backend import Backend, Stream


@frozen
class Origin:
    """Where a connection leads. `scheme` is `http` or `https`; `host` is ASCII, an IPv6 address without
    brackets."""

    scheme: str
    host: str
    port: int


@define(eq=False)
class Connection:
    """An open connection. `idle_since` is trio's clock when it was last given back."""

    origin: Origin
    stream: Stream
    idle_since: float = 0.0


@define(eq=False)
class Connections:
    """At most `limit` open connections, idle ones included. Each is kept idle for at most `keepalive_s` seconds."""

    limit: int
    keepalive_s: float
    _ssl_context: ssl.SSLContext
    _backend: Backend
    _slots: trio.Semaphore = field(init=False)
    _idle: list[Connection] = field(factory=list, init=False)
    _closed: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._slots = trio.Semaphore(self.limit, max_value=self.limit)

    def stats(self) -> dict[str, int]:
        """Counts: connections in use or being opened, idle connections, and requests that wait for a slot."""
        return {
            "active": self.limit - self._slots.value,
            "idle": len(self._idle),
            "queued": self._slots.statistics().tasks_waiting,
        }

    async def take(self, origin: Origin, *, connect_s: float | None, wait_s: float | None) -> Connection:
        """Return a connection to `origin`, idle or new, and take a slot for it. `give_back` ends both.

        Raises `httpx.PoolTimeout` after `wait_s` seconds without a slot, `httpx.ConnectError`, `httpx.ConnectTimeout`.
        """
        await self._acquire_slot(_or_forever(wait_s))
        try:
            connection, leaving = self._plan(origin)
            for left in leaving:
                await close(left.stream)
            return connection or await self._open(origin, _or_forever(connect_s))
        except BaseException:
            self._slots.release()
            raise

    async def _acquire_slot(self, within_s: float) -> None:
        try:
            self._slots.acquire_nowait()  # if a slot is free, nobody is waiting for one
        except trio.WouldBlock:
            with trio.move_on_after(within_s) as scope:
                await self._slots.acquire()
            if scope.cancelled_caught:
                raise httpx.PoolTimeout(f"all {self.limit} connections were busy for {within_s:g} s") from None

    def _plan(self, origin: Origin) -> tuple[Connection | None, list[Connection]]:
        """Choose the idle connection to use, the most recently used first, and those to close: expired, closed by the
        peer, or one too many beside a new one. All of them are taken off the idle list."""
        leaving: list[Connection] = []
        expired_before = trio.current_time() - self.keepalive_s
        while self._idle and self._idle[0].idle_since <= expired_before:
            leaving.append(self._idle.pop(0))
        for index in reversed(range(len(self._idle))):
            if self._idle[index].origin == origin:
                connection = self._idle.pop(index)
                if not connection.stream.get_extra_info("is_readable"):
                    return connection, leaving
                leaving.append(connection)
        active = self.limit - self._slots.value
        if self._idle and active + len(self._idle) > self.limit:
            leaving.append(self._idle.pop(0))
        return None, leaving

    async def _open(self, origin: Origin, within_s: float) -> Connection:
        """Connect and shake hands, in `within_s` seconds together."""
        deadline = trio.current_time() + within_s
        stream = await self._backend.connect_tcp(origin.host, origin.port, within_s)
        if origin.scheme == "http":
            return Connection(origin, stream)
        try:
            left_s = max(0.0, deadline - trio.current_time())
            return Connection(origin, await stream.start_tls(self._ssl_context, origin.host, left_s))
        except BaseException:
            await close(stream)
            raise

    async def give_back(self, connection: Connection, *, reusable: bool) -> None:
        """Free the slot, and keep the connection for another request or close it."""
        self._slots.release()
        if reusable and not self._closed:
            connection.idle_since = trio.current_time()
            self._idle.append(connection)
        else:
            await close(connection.stream)

    async def aclose(self) -> None:
        """Close the idle connections now and the others when they are given back."""
        self._closed = True
        leaving, self._idle = self._idle, []
        for connection in leaving:
            await close(connection.stream)


async def close(stream: Stream) -> None:
    """Close without waiting for the peer."""
    # The deadline has passed before the scope begins, so the shield delays nothing. It only keeps an outer
    # cancellation from stopping a round of closing half-way.
    with trio.CancelScope(shield=True, deadline=-float("inf")):
        await stream.aclose()


def _or_forever(seconds: float | None) -> float:
    return float("inf") if seconds is None else seconds
