"""One websocket connection of the server: wsproto decides what is a websocket, this file moves the bytes.

One task reads (`read`): it answers pings, and hands over one message at a time. Any task may send. A broken frame, text
that is not UTF-8 or a message that is too long ends the connection with the close code of RFC 6455 (section 7.4.1), so
that the client learns why.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from streamwarm.accept.clients import ClientStream

_RECEIVE_BYTES = 4096
"""Bytes per read. One read can hold hundreds of tiny frames, which are handled without a checkpoint."""

_MESSAGES_WAITING = 1
"""Messages read while one is answered. If a client sends faster, TCP flow control slows it down."""

_FRAGMENT_BYTES = 64 * 1024
"""An answer in pieces is sent once so many bytes are there. A frame of this size must be read within one deadline of
`ClientStream`."""

_MESSAGE_TOO_BIG = 1009


class ConnectionEnded(Exception):
    """The connection is closed, or is being closed: nothing can be sent or received any more."""


class WebsocketConnection:
    """The server's end of one connection: `receive_request`, then `accept` or `reject`, then `read` in a task.

    A message may have at most `max_message_bytes` bytes.
    """

    def __init__(self, stream: ClientStream, *, max_message_bytes: int) -> None:
        self._stream = stream
        self._max_message_bytes = max_message_bytes
        self._protocol = WSConnection(ConnectionType.SERVER)
        self._frame_turn = trio.Lock()
        self._message_turn = trio.Lock()
        self._arrived, self._messages = trio.open_memory_channel[str | bytes](_MESSAGES_WAITING)
        self._message = bytearray()
        self._pings: dict[bytes, trio.Event] = {}
        self._has_ended = trio.Event()

    async def receive_request(self) -> Request | None:
        """The client's upgrade request. None if it left, or if its request was malformed, which has been answered."""
        while True:
            for event in self._protocol.events():
                if isinstance(event, Request):
                    return event
            data = await self._stream.receive_some(_RECEIVE_BYTES)
            if not data:
                return None
            try:
                self._protocol.receive_data(bytes(data))
            except RemoteProtocolError as error:
                if error.event_hint is not None:
                    await self._send(error.event_hint)
                return None

    async def accept(self, subprotocol: str | None) -> None:
        await self._send(AcceptConnection(subprotocol=subprotocol))

    async def reject(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        headers = [*headers, (b"Content-Length", b"%d" % len(body))]
        await self._send(RejectConnection(status_code=status, headers=headers, has_body=True))
        await self._send(RejectData(data=body))

    async def read(self) -> None:
        """Read until the connection has ended, however it does. Then nothing more is sent either.

        The stream's owner closes it. That reads on for a while, so that the client gets to read the close frame.
        """
        async with self._arrived:
            with suppress(ConnectionEnded, trio.BrokenResourceError, trio.ClosedResourceError):
                while await self._handle_events():
                    data = await self._stream.receive_some(_RECEIVE_BYTES)
                    if not data:
                        break
                    self._protocol.receive_data(bytes(data))
        self._has_ended.set()
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            await self._stream.send_eof()

    async def receive_message(self) -> str | bytes:
        """The next message. Raises `ConnectionEnded` after the last one."""
        try:
            return await self._messages.receive()
        except trio.EndOfChannel:
            raise ConnectionEnded from None

    async def send_message(self, text: str) -> None:
        """Raises `ConnectionEnded`."""
        async with _turn(self._message_turn):
            await self._send(TextMessage(data=text))

    @asynccontextmanager
    async def open_message(self) -> AsyncIterator[MessageWriter]:
        """Send one message whose parts become known one after the other. If nothing is written, nothing is sent.

        Other messages wait from the first piece that is sent to the end. Raises `ConnectionEnded`.
        """
        writer = MessageWriter(self._send, self._message_turn)
        try:
            yield writer
            await writer.finish()
        finally:
            writer.release()

    async def ping(self, payload: bytes) -> None:
        """Return when the pong has come."""
        ponged = self._pings[payload] = trio.Event()
        try:
            await self._send(Ping(payload))
            await ponged.wait()
        finally:
            del self._pings[payload]

    async def aclose(self, code: int, reason: str) -> None:
        """Close the connection, and wait until the client has closed it too. `read` must be running."""
        with suppress(ConnectionEnded):
            await self._send(CloseConnection(code, reason))
            await self._has_ended.wait()

    async def _handle_events(self) -> bool:
        """Handle what was received. Returns False if the connection has ended."""
        for event in self._protocol.events():
            match event:
                case CloseConnection():
                    await self._close(event)
                    return False
                case Ping() if self._protocol.state is ConnectionState.OPEN:
                    await self._send(event.response())
                case Pong() if bytes(event.payload) in self._pings:
                    self._pings[bytes(event.payload)].set()
                case TextMessage() | BytesMessage() if not await self._take(event):
                    return False
        return True

    async def _take(self, event: TextMessage | BytesMessage) -> bool:
        """Add a piece to the message. Returns False if that made it too long, in which case the connection is closed.

        The pieces are joined at once. A list of them would grow with empty ones, which count nothing.
        """
        self._message += event.data.encode() if isinstance(event, TextMessage) else event.data
        if len(self._message) > self._max_message_bytes:
            self._message.clear()
            reason = f"a message may have at most {self._max_message_bytes} bytes"
            await self._close(CloseConnection(_MESSAGE_TOO_BIG, reason))
            return False
        if event.message_finished:
            message = bytes(self._message)
            self._message.clear()
            await self._arrived.send(message.decode() if isinstance(event, TextMessage) else message)
        return True

    async def _close(self, event: CloseConnection) -> None:
        """Answer the client's close frame, or close because of its fault, which wsproto reports as a close frame."""
        if self._protocol.state is ConnectionState.REMOTE_CLOSING:
            await self._send(event.response())
        elif self._protocol.state is ConnectionState.OPEN:
            self._stream.fault = self._stream.fault or f"closed with {int(event.code)}: {event.reason}"
            await self._send(event)

    async def _send(self, event: Event) -> None:
        async with _turn(self._frame_turn):
            try:
                await self._stream.send_all(self._protocol.send(event))
            except (LocalProtocolError, trio.BrokenResourceError, trio.ClosedResourceError):
                raise ConnectionEnded from None


class MessageWriter:
    """Writes one text message in fragments of about `_FRAGMENT_BYTES` (RFC 6455, section 5.4)."""

    def __init__(self, send: Callable[[Event], Awaitable[None]], turn: trio.Lock) -> None:
        self._send = send
        self._turn = turn
        self._has_turn = False
        self._pieces: list[str] = []
        self._waiting = 0

    async def write(self, text: str) -> None:
        """Add text, and send what has gathered if that is enough. `text` is ASCII."""
        self._pieces.append(text)
        self._waiting += len(text)
        if self._waiting >= _FRAGMENT_BYTES:
            await self._flush(is_last=False)

    async def finish(self) -> None:
        if self._pieces or self._has_turn:
            await self._flush(is_last=True)

    def release(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._turn.release()

    async def _flush(self, *, is_last: bool) -> None:
        if not self._has_turn:
            await _acquire(self._turn)
            self._has_turn = True
        text = "".join(self._pieces)
        self._pieces.clear()
        self._waiting = 0
        for start in range(0, max(1, len(text)), _FRAGMENT_BYTES):
            piece = text[start : start + _FRAGMENT_BYTES]
            is_end = is_last and start + _FRAGMENT_BYTES >= len(text)
            await self._send(TextMessage(data=piece, message_finished=is_end))


async def _acquire(lock: trio.Lock) -> None:
    """Take `lock`. If it is free, do so without a pass through the event loop, which would cost more than a frame."""
    try:
        lock.acquire_nowait()
    except trio.WouldBlock:
        await lock.acquire()


@asynccontextmanager
async def _turn(lock: trio.Lock) -> AsyncIterator[None]:
    await _acquire(lock)
    try:
        yield
    finally:
        lock.release()
