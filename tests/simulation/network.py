"""A network in memory: names, listeners and connections whose delays and cuts into pieces follow a seed.

Theory. A connection is two pipes. What is sent is cut into pieces, and each piece arrives a latency later, never before
the one sent earlier. Time is trio's, so under a virtual clock a run takes no real time. Nothing here asks the machine
for anything: the same seed and the same scheduling give the same arrivals.
"""

from __future__ import annotations

import itertools
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from random import Random

import trio
from attrs import define, field, frozen

from tests.simulation.client_connection import ClientConnection, connected

MOST_UNDER_WAY_BYTES = 64 * 1024
"""What a sender may be ahead of the receiver, as by a socket's buffers."""

LATENCY_S = (0.001, 0.02)

PIECE_BYTES = (1, 100, 1_460, 16_384, 65_536)
"""Sizes of which one is drawn for each piece: a reader must put up with any."""

DRIBBLING = 0.2
"""The share of connections whose pieces are of all these sizes. The others' are at least a segment's, or most of a run
would be spent on single bytes."""

Arrived = Callable[[str, bytes], None]
"""Called with `host:port` and the bytes that a server reads."""


@define(eq=False)
class Pipe:
    """One direction of a connection. A piece is its time of arrival and its bytes; empty bytes are the end."""

    _random: Random
    _piece_bytes: tuple[int, ...] = PIECE_BYTES
    _under_way: deque[tuple[float, bytes]] = field(factory=deque)
    _bytes: int = 0
    _last_at: float = 0.0
    _sender_closed: bool = False
    _receiver_closed: bool = False
    _changed: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot)

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        """Return once all is under way. Raises `BrokenResourceError` if the receiver has closed."""
        rest = bytes(data)
        await trio.lowlevel.checkpoint()
        while rest:
            self._check_sender()
            room = MOST_UNDER_WAY_BYTES - self._bytes
            if room <= 0:
                await self._changed.park()
                continue
            size = min(room, self._random.choice(self._piece_bytes))
            piece, rest = rest[:size], rest[size:]
            self._put(piece)
        self._check_sender()

    def _check_sender(self) -> None:
        if self._sender_closed:
            raise trio.ClosedResourceError("this end is closed")
        if self._receiver_closed:
            raise trio.BrokenResourceError("the other end is closed")

    def _put(self, piece: bytes) -> None:
        self._last_at = max(self._last_at, trio.current_time() + self._random.uniform(*LATENCY_S))
        self._under_way.append((self._last_at, piece))
        self._bytes += len(piece)
        self._changed.unpark_all()

    def end(self) -> None:
        """Nothing more comes; what is under way arrives."""
        if not self._sender_closed:
            self._sender_closed = True
            self._put(b"")

    async def receive(self, max_bytes: int) -> bytes:
        """What has arrived, at least one byte; empty at the end."""
        await trio.lowlevel.checkpoint()
        while True:
            if self._receiver_closed:
                raise trio.ClosedResourceError("this end is closed")
            if self.has_arrived:
                return self._take(max_bytes)
            with trio.move_on_at(self._under_way[0][0] if self._under_way else float("inf")):
                await self._changed.park()

    @property
    def has_arrived(self) -> bool:
        return bool(self._under_way) and self._under_way[0][0] <= trio.current_time()

    def _take(self, max_bytes: int) -> bytes:
        at, piece = self._under_way[0]
        taken, rest = piece[:max_bytes], piece[max_bytes:]
        if rest:
            self._under_way[0] = (at, rest)
        elif piece:
            self._under_way.popleft()  # the end stays, for whoever reads again
        self._bytes -= len(taken)
        self._changed.unpark_all()
        return taken

    @property
    def is_abandoned(self) -> bool:
        return self._receiver_closed

    def stop_receiving(self) -> None:
        self._receiver_closed = True
        self._changed.unpark_all()


@frozen(eq=False)
class MemorySocket:
    """What the service asks of a connection's socket. It has no descriptor, so nobody writes past the stream."""

    own: tuple[str, int]
    peer: tuple[str, int]
    close: Callable[[], None] = lambda: None
    family: int = socket.AF_INET

    def fileno(self) -> int:
        return -1

    def getsockname(self) -> tuple[str, int]:
        return self.own

    def getpeername(self) -> tuple[str, int]:
        return self.peer


@define(eq=False)
class MemoryStream(trio.abc.HalfCloseableStream):
    """One end of a connection."""

    _outgoing: Pipe
    _incoming: Pipe
    own: tuple[str, int]
    peer: tuple[str, int]
    _arrived: Callable[[bytes], None] = lambda _: None
    gate: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint
    """Awaited before anything is sent or received: a host that stands still lets nothing pass."""
    is_closed: bool = False
    socket: MemorySocket = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.socket = MemorySocket(self.own, self.peer, self.close)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.gate()
        await self._outgoing.send(data)

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        self._outgoing.end()
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = await self._incoming.receive(MOST_UNDER_WAY_BYTES if max_bytes is None else max_bytes)
        await self.gate()
        self._arrived(data)
        return data

    @property
    def is_readable(self) -> bool:
        return self._incoming.has_arrived

    @property
    def is_abandoned(self) -> bool:
        """Whether the other end has closed: it will read nothing any more."""
        return self._outgoing.is_abandoned

    def close(self) -> None:
        self.is_closed = True
        self._outgoing.end()
        self._incoming.stop_receiving()

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()


@define(eq=False)
class MemoryListener(trio.abc.Listener[MemoryStream]):
    _network: Network
    own: tuple[str, int]
    _backlog: tuple[trio.MemorySendChannel[MemoryStream], trio.MemoryReceiveChannel[MemoryStream]] = field(
        factory=lambda: trio.open_memory_channel[MemoryStream](128)
    )
    accepted: Callable[[MemoryStream], None] = lambda _: None

    @property
    def socket(self) -> MemorySocket:
        return MemorySocket(self.own, ("", 0))

    async def accept(self) -> MemoryStream:
        stream = await self._backlog[1].receive()
        self.accepted(stream)
        return stream

    def queue(self, stream: MemoryStream) -> None:
        """Raises `trio.WouldBlock` if too many wait."""
        self._backlog[0].send_nowait(stream)

    async def aclose(self) -> None:
        self._network.forget(self)
        self._backlog[1].close()
        await trio.lowlevel.checkpoint()


@define(eq=False)
class Network:
    """`names` are the addresses of hosts. It resolves, listens and connects; `arrived` hears what servers read."""

    _random: Random
    names: dict[str, str]
    _arrived: Arrived
    _listeners: dict[tuple[str, int], MemoryListener] = field(factory=dict)
    unreachable: set[str] = field(factory=set)
    """Names of hosts that take no new connection."""
    _ports: Iterable[int] = field(factory=lambda: itertools.count(40_000))

    async def resolve(self, host: str, port: int) -> list[str]:
        await trio.sleep(self._random.uniform(*LATENCY_S))
        if host not in self.names:
            raise OSError(f"no address is known for {host}")
        return [self.names[host]]

    async def listen(self, host: str, port: int) -> list[MemoryListener]:
        """Listen at `host`, at a free port if `port` is 0."""
        await trio.lowlevel.checkpoint()
        own = (self.names.get(host, host), port or next(iter(self._ports)))
        if own in self._listeners:
            raise OSError(f"{own} is in use")
        self._listeners[own] = MemoryListener(self, own)
        return [self._listeners[own]]

    def forget(self, listener: MemoryListener) -> None:
        self._listeners.pop(listener.own, None)

    async def open_stream(self, host: str, port: int) -> MemoryStream:
        """Connect. Raises `OSError` if nobody listens there."""
        await trio.sleep(self._random.uniform(*LATENCY_S))
        there = (self.names.get(host, host), port)
        if host in self.unreachable:
            raise OSError(f"no route to {host}")
        here = ("127.0.0.1", next(iter(self._ports)))
        if there not in self._listeners:
            raise OSError(f"nobody listens at {host}:{port}")
        sizes = PIECE_BYTES if self._random.random() < DRIBBLING else PIECE_BYTES[2:]
        to_server, to_client = Pipe(self._random, sizes), Pipe(self._random, sizes)
        name = f"{host}:{port}"
        accepted = MemoryStream(to_client, to_server, there, here, lambda data: self._arrived(name, data))
        self._listeners[there].queue(accepted)
        return MemoryStream(to_server, to_client, here, there)

    async def connect_tcp(self, host: str, port: int, timeout: float | None = None) -> ClientConnection:  # noqa: ASYNC109
        """As the HTTP client asks for it. Raises `ConnectError`, `ConnectTimeout`."""
        return await connected(self.open_stream, host, port, timeout)
