"""An answer's body on its way from the socket to the caller, for each of its three framings (RFC 9112, section 6.3).

Theory. Per piece, everything above costs some 70 µs: the transport, the digest, the destination's write. So a body must
not come in more pieces than its size demands. Chunks that arrived together leave together (`chunked.py`). Bytes that
arrive a few at a time are left to gather in the kernel for some milliseconds (`GatheringReader`).

Turns. A read takes a turn of the event loop, and so does each further piece of what one read returned. So however the
server cuts its answer, other tasks run every few milliseconds.
"""

from __future__ import annotations

import httpx
import trio
from attrs import define, field

from streamwarm.net.backend import Stream
from streamwarm.net.chunked import ChunkedReader, MalformedChunk
from streamwarm.net.stream import READ_BYTES

SMALL_READ_BYTES = 1024
"""A read that returns less is small. A TCP segment holds more, so a full one never counts."""

MOST_SMALL_READS = 16
"""Small reads before bytes are left to gather. Ordinary answers have a few: a head, a short body, a last chunk."""

GATHER_S = 0.005
"""How long bytes gather, in seconds. It bounds reads that find little to 400 per second, some 3 % of a core. A server
that sends fast enough to fill the kernel's buffer in that time makes no small reads."""


@define(eq=False)
class GatheringReader:
    """Reads one answer. It slows down if the reads return little, so that a dribbling server costs little CPU."""

    _stream: Stream
    _small_reads: int = field(default=0, init=False)

    async def read(self, max_bytes: int, within_s: float | None) -> bytes:
        """Read as `Stream.read` does."""
        if self._small_reads >= MOST_SMALL_READS:
            await trio.sleep(GATHER_S)
        data = await self._stream.read(max_bytes, within_s)
        if len(data) < SMALL_READ_BYTES:
            self._small_reads = min(self._small_reads + 1, MOST_SMALL_READS)
        elif self._small_reads:
            self._small_reads -= 1
        return data


@define(eq=False)
class AnswerBody:
    """The body of one answer. `leading` is what arrived together with the head.

    `expected` is its size if the head gives it; None otherwise. `chunks` decodes it if it is chunked. With neither, the
    connection's end is the body's. `complete` is True once the body was read to its end. If the head is `doubtful`
    about that end, the connection must not serve again.
    """

    _reader: GatheringReader
    _read_s: float | None
    _leading: bytes
    _expected: int | None = None
    _chunks: ChunkedReader | None = None
    _doubtful: bool = field(default=False, kw_only=True)
    complete: bool = field(default=False, init=False)
    _received: int = field(default=0, init=False)
    _ended_cleanly: bool = field(default=True, init=False)

    def __attrs_post_init__(self) -> None:
        if self._expected is not None:
            self._ended_cleanly = len(self._leading) <= self._expected
            self.complete = self._expected == 0

    @property
    def reusable(self) -> bool:
        """True if the body was read to its end and nothing came after it."""
        return self.complete and self._ended_cleanly and not self._doubtful

    async def read(self) -> bytes:
        """Return the next piece, as much as has arrived, or `b""` at the end.

        Raises `httpx.RemoteProtocolError` if the body ends too early or is not framed as RFC 9112 says.
        """
        if self.complete:
            return b""
        if self._expected is not None:
            return await self._read_counted(self._expected)
        if self._chunks is not None:
            return await self._read_chunks(self._chunks)
        return await self._read_to_the_end()

    async def _read_counted(self, expected: int) -> bytes:
        if self._leading:
            piece, self._leading = self._leading[:expected], b""
        else:
            piece = await self._reader.read(min(READ_BYTES, expected - self._received), self._read_s)
        if not piece:
            raise httpx.RemoteProtocolError(
                f"the server closed the connection after {self._received} of {expected} bytes"
            )
        self._received += len(piece)
        self.complete = self._received == expected
        return piece

    async def _read_chunks(self, chunks: ChunkedReader) -> bytes:
        if self._leading:
            chunks.feed(self._leading)
            self._leading = b""
        elif chunks.behind:
            await trio.lowlevel.checkpoint()
        try:
            while not (piece := chunks.take()) and not chunks.ended:
                data = await self._reader.read(READ_BYTES, self._read_s)
                if not data:
                    raise httpx.RemoteProtocolError("the server closed the connection within a chunked body")
                chunks.feed(data)
        except MalformedChunk as error:
            raise httpx.RemoteProtocolError(f"the server sent a malformed chunked body: {error}") from error
        self.complete = chunks.ended
        self._ended_cleanly = not chunks.rest
        return piece

    async def _read_to_the_end(self) -> bytes:
        self._ended_cleanly = False  # the connection's end is the body's
        if self._leading:
            piece, self._leading = self._leading, b""
            return piece
        piece = await self._reader.read(READ_BYTES, self._read_s)
        self.complete = not piece
        return piece
