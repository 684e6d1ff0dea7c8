"""One websocket connection of the server: trio-websocket's, hardened against untrusted clients.

- A client that breaks the protocol gets a close frame with the code of RFC 6455, section 7.4.1. trio-websocket closes
  the TCP connection without one.
- A message is joined as it comes, and its bytes are limited. trio-websocket limits characters, and keeps a list of the
  pieces, which grows without end if they are empty.
- A long message can be sent in fragments.

Only this file uses protected names of trio-websocket. If a version changes one, tests/accept/test_close_codes.py fails.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, suppress

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Event, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

from streamwarm.accept.clients import ClientStream

_RECEIVE_BYTES = 4096
"""Bytes per read. One read can hold hundreds of tiny frames, which are handled without a checkpoint."""

_MESSAGES_WAITING = 1
"""Messages read while one is answered. If a client sends faster, TCP flow control slows it down."""

_FRAGMENT_BYTES = 64 * 1024
"""An answer in pieces is sent once so many bytes are there. A frame of this size must be read within one deadline of
`ClientStream`."""


class WebsocketConnection(WebSocketConnection):
    """Run `read` in a task, then call `receive_request`, and accept or reject what it returns.

    A message may have at most `max_message_bytes` bytes. Every method raises `ConnectionClosed` if the connection is
    closed or being closed.
    """

    def __init__(self, stream: ClientStream, *, max_message_bytes: int) -> None:
        self._client = stream
        self._protocol = _Protocol(max_message_bytes)
        self._message_turn = trio.Lock()
        super().__init__(
            stream,
            self._protocol,
            message_queue_size=_MESSAGES_WAITING,
            max_message_size=max_message_bytes,
            receive_buffer_size=_RECEIVE_BYTES,
        )

    async def read(self, handshake: trio.CancelScope) -> None:
        """Read until the connection has ended, however it does. If `receive_request` still waits, cancel `handshake`.

        Exceptions of wsproto pass through: a `Host` header with byte 0xff raises `UnicodeError`.
        """
        with suppress(ConnectionClosed):
            await self._reader_task()
        handshake.cancel()

    async def receive_request(self) -> WebSocketRequest:
        """The client's upgrade request. A malformed one is answered by `read`, which then ends."""
        return await self._get_request()

    async def send_message(self, message: str | bytes) -> None:
        await _acquire(self._message_turn)
        try:
            await super().send_message(message)
        finally:
            self._message_turn.release()

    @asynccontextmanager
    async def open_message(self) -> AsyncIterator[MessageWriter]:
        """Send one message whose parts become known one after the other. If nothing is written, nothing is sent.

        Other messages wait from the first piece that is sent to the end.
        """
        writer = MessageWriter(self._send, self._message_turn)
        try:
            yield writer
            await writer.finish()
        finally:
            writer.release()

    async def _send(self, event: Event) -> None:
        """wsproto raises an error for a frame after a close frame. For the sender, the connection is closed."""
        try:
            await super()._send(event)
        except LocalProtocolError:
            raise ConnectionClosed(self.closed) from None

    async def _handle_close_connection_event(self, event: CloseConnection) -> None:
        """If the connection is open, the event is not the client's close frame: it must be closed for a fault."""
        if self._protocol.state is ConnectionState.OPEN:
            self._client.fault = self._client.fault or f"closed with {int(event.code)}: {event.reason}"
            await self._send(event)
        await super()._handle_close_connection_event(event)

    async def _close_stream(self) -> None:
        """Stop reading and sending, and leave the stream to its owner.

        The owner reads on for a while, so that the client can read the close frame. Here that would be cancelled.
        """
        self._reader_running = False
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            await self._client.send_eof()


class _Protocol(WSConnection):
    """wsproto's server, but its events carry whole messages, and it asks to close for a message that is too long.

    It asks as wsproto does for a broken frame: with a `CloseConnection` while the state is `OPEN`.
    """

    def __init__(self, max_message_bytes: int) -> None:
        super().__init__(ConnectionType.SERVER)
        self._max_message_bytes = max_message_bytes
        self._message = bytearray()

    def events(self) -> Generator[Event, None, None]:
        for event in super().events():
            if not isinstance(event, TextMessage | BytesMessage):
                yield event
                continue
            self._message += event.data.encode() if isinstance(event, TextMessage) else event.data
            if len(self._message) > self._max_message_bytes:
                self._message.clear()
                reason = f"a message may have at most {self._max_message_bytes} bytes"
                yield CloseConnection(CloseReason.MESSAGE_TOO_BIG, reason)
                return
            if event.message_finished:
                message = bytes(self._message)
                self._message.clear()
                yield TextMessage(message.decode()) if isinstance(event, TextMessage) else BytesMessage(message)


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
