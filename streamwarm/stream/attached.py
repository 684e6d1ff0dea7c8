"""Opens the objects that are sent along with an attempt's own: a video's thumbnail and its cover.

They are opened first, so that the destination can check them before it sends a byte. A small one is read whole and
gives its connection back. A larger one (a cover of up to 10 MB) is streamed as the object itself is: with five workers,
whole covers in memory would be 50 MB.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from streamwarm.errors import ErrorCode, SourceError, SourceOffline
from streamwarm.fetch.source import Source, SourceObject
from streamwarm.send.attachment import AttachedObject, Attachment
from streamwarm.stream.attempt import Attempt

SMALL_BYTES = 256 * 1024
"""The largest attachment that is read whole, in bytes: one piece of a transfer, and more than any thumbnail that
Telegram takes."""

OFFLINE_WAIT_S = 30.0
"""How long a job waits whose own object is in the cache while the bucket is paused and its attachment is not."""


@asynccontextmanager
async def open_attached(attempt: Attempt, source: Source) -> AsyncIterator[tuple[AttachedObject, ...]]:
    """Open the attempt's attachments, in order. Raises `SourceError`, whose message names the option."""
    async with AsyncExitStack() as stack:
        yield tuple([await _open(one, attempt, source, stack) for one in attempt.attachments])


async def _open(attachment: Attachment, attempt: Attempt, source: Source, stack: AsyncExitStack) -> Attached:
    async with AsyncExitStack() as own:
        with _named(attachment):
            opened = await own.enter_async_context(source.open_object(attachment.r2_key))
            if opened.info.bytes == 0:
                raise SourceError(ErrorCode.SOURCE_EMPTY, f"{attachment.r2_key} is empty")
        attached = Attached(attachment, opened, attempt)
        if attached.size_bytes <= SMALL_BYTES:
            await attached.peek(attached.size_bytes)
        else:
            stack.push_async_exit(own.pop_all())
    return attached


class Attached(AttachedObject):
    """A `send.attachment.AttachedObject` over an open object."""

    def __init__(self, attachment: Attachment, source: SourceObject, attempt: Attempt) -> None:
        self._attachment = attachment
        self._bytes = source.info.bytes
        self._incoming = source.pieces()
        self._attempt = attempt
        self._front = b""
        self._read_bytes = 0

    @property
    def attachment(self) -> Attachment:
        return self._attachment

    @property
    def size_bytes(self) -> int:
        return self._bytes

    async def peek(self, count: int) -> bytes:
        """See `send.attachment.AttachedObject`. `pieces` begins with what was peeked, and frees its memory."""
        peeked = [self._front]
        while self._read_bytes < min(count, self._bytes):
            peeked.append(bytes(await self._next()))  # copies views only
        self._expect_destination()
        self._front = b"".join(filter(None, peeked))
        return self._front

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        front, self._front = self._front, b""
        if front:
            self._expect_destination()
            yield front
            del front
        while self._read_bytes < self._bytes:
            piece = await self._next()
            self._expect_destination()
            yield piece

    async def _next(self) -> bytes:
        if self._attempt.watchdog is not None:
            self._attempt.watchdog.expect_source()
        with _named(self._attachment):
            piece = await anext(self._incoming, None)
            if piece is None:
                raise SourceError(
                    ErrorCode.SOURCE_TRUNCATED, f"{self._read_bytes} of {self._bytes} bytes came from the source"
                )
        self._read_bytes += len(piece)
        return piece

    def _expect_destination(self) -> None:
        if self._attempt.watchdog is not None:
            self._attempt.watchdog.expect_destination()


@contextmanager
def _named(attachment: Attachment) -> Iterator[None]:
    """Begin the message of a `SourceError` with where the attachment is named."""
    try:
        yield
    except SourceError as error:
        error.reword(f"{attachment.named_by}: {error.message}")
        if isinstance(error, SourceOffline):
            error.wait_s = OFFLINE_WAIT_S
        raise
