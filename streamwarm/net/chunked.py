"""Decodes a chunked body (RFC 9112, section 7.1). Pure: received bytes in, the body's bytes out.

Theory. h11 returns one event per chunk, at some 20 µs each, and copies its whole buffer's rest to cut a chunk off. A
server that sends one byte per chunk would keep the event loop busy for seconds per read. Here one call decodes many
chunks out of the bytes that one read returned, and joins their data into one piece. A call stops after `MOST_CHUNKS`,
so that the caller can let other tasks run.

Strictness. Two readers that disagree about where a chunk ends disagree about what is data. So only one spelling is
taken: lines end with CRLF, sizes are plain hex, extensions and trailers hold no control characters, and a trailer is
never folded. Everything that is taken here, h11 takes too, and decodes to the same bytes. White space between the size
and the line's end is taken, as h11 does, because servers send it.
"""

from __future__ import annotations

import re

from attrs import define, field

MOST_CHUNKS = 2048
"""Chunks decoded per call: 1 to 2 ms of work at 0.5 to 1 µs each. Other tasks wait that long."""

LINE_BYTES = 4 * 1024
"""The longest line that gives a chunk's size. Extensions make it long, and nobody uses them."""

TRAILER_BYTES = 16 * 1024
"""All trailers together. S3 sends one checksum, under 100 bytes."""

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,20})(?:;[\t\x20-\x7e\x80-\xff]{0,4070}|[ \t]{0,4070})\r\n")
_SIZE_LINE_BEGUN = re.compile(rb"(?:[0-9A-Fa-f]{1,20}(?:;[\t\x20-\x7e\x80-\xff]*|[ \t]*)\r?)?")
_TRAILER = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")
_CRLF_BYTES = 2

_SMALL_SIZES = {spelling % size: size for size in range(1, 256) for spelling in (b"%x", b"%X")}
_SMALL_SIZE_BYTES = 4  # two digits and CRLF


class MalformedChunk(ValueError):
    """The bytes are not a chunked body. The message quotes at most a few of them."""


@define(eq=False)
class ChunkedReader:
    """Takes received bytes with `feed` and returns the body's with `take`.

    `ended` is True after the last chunk and its trailers. `rest` then holds what came after them.
    `behind` is True if `take` stopped at its bound: it may return more without another `feed`.
    """

    ended: bool = field(default=False, init=False)
    behind: bool = field(default=False, init=False)
    _buffer: bytes = field(default=b"", init=False)
    _at: int = field(default=0, init=False)
    _left: int = field(default=0, init=False)  # of the current chunk, the CRLF behind its data included
    _in_trailers: bool = field(default=False, init=False)
    _trailer_bytes: int = field(default=0, init=False)

    @property
    def rest(self) -> bytes:
        return self._buffer[self._at :]

    def feed(self, data: bytes) -> None:
        """Add received bytes. Call it once `take` has returned all it can: what is kept is then one unfinished line."""
        self._buffer = self.rest + data if self._at < len(self._buffer) else data
        self._at = 0

    def take(self) -> bytes:
        """Return the data of the next `MOST_CHUNKS` chunks that are here, or `b""` if more must be fed or at the end.

        Raises `MalformedChunk`, after it has returned the data of the chunks before.
        """
        parts: list[bytes] = []
        try:
            self._decode(parts)
        except MalformedChunk:
            if not parts:
                raise
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _decode(self, parts: list[bytes]) -> None:
        buffer = self._buffer
        self.behind = False
        while not self._in_trailers:
            if self._left and not self._take_from_chunk(parts):
                return
            self._take_small_chunks(parts)
            if len(parts) >= MOST_CHUNKS:
                self.behind = self._at < len(buffer)
                return
            line = _SIZE_LINE.match(buffer, self._at)
            if line is None:
                self._check_unfinished_line()
                return
            size = int(line[1], 16)
            self._at = line.end()
            self._left = size + _CRLF_BYTES if size else 0
            self._in_trailers = not size
        if not self.ended:
            self._skip_trailers()

    def _take_small_chunks(self, parts: list[bytes]) -> None:
        """Move the data of whole small chunks to `parts`, up to the first chunk that is anything else."""
        # This loop runs once per chunk and is most of a tiny chunk's cost, so it has only what those need.
        buffer, find, size_of, add = self._buffer, self._buffer.find, _SMALL_SIZES.get, parts.append
        at = self._at
        for _ in range(MOST_CHUNKS - len(parts)):
            line_end = find(b"\r\n", at, at + _SMALL_SIZE_BYTES)
            size = size_of(buffer[at:line_end]) if line_end > 0 else None
            if size is None:
                break
            data_at = line_end + 2
            data_end = data_at + size
            if buffer[data_end : data_end + 2] != b"\r\n":
                break
            add(buffer[data_at:data_end])
            at = data_end + 2
        self._at = at

    def _take_from_chunk(self, parts: list[bytes]) -> bool:
        """Move what has come of the current chunk to `parts`. Returns True if the chunk is complete."""
        count = min(self._left - _CRLF_BYTES, len(self._buffer) - self._at)
        if count:
            # A piece that is all of a read is returned without a copy.
            parts.append(self._buffer[self._at : self._at + count])
            self._at += count
            self._left -= count
        if self._left > _CRLF_BYTES:
            return False
        ending = self._buffer[self._at : self._at + _CRLF_BYTES]
        if not b"\r\n".startswith(ending):
            raise MalformedChunk(f"malformed chunk footer: {ending!r} (expected CRLF)")
        if len(ending) < _CRLF_BYTES:
            return False
        self._at += _CRLF_BYTES
        self._left = 0
        return True

    def _check_unfinished_line(self) -> None:
        """Raise `MalformedChunk` unless the bytes that are left may still become the line of a size."""
        begun = self._buffer[self._at : self._at + LINE_BYTES + 1]
        if len(begun) > LINE_BYTES or b"\n" in begun or not _SIZE_LINE_BEGUN.fullmatch(begun):
            raise MalformedChunk(f"illegal chunk header: {begun[:40]!r}")

    def _skip_trailers(self) -> None:
        while (line_end := self._buffer.find(b"\r\n", self._at)) >= 0:
            line = self._buffer[self._at : line_end]
            self._count_trailer(line_end + _CRLF_BYTES - self._at)
            if line and not _TRAILER.fullmatch(line):
                raise MalformedChunk(f"illegal trailer line: {line[:40]!r}")
            self._at = line_end + _CRLF_BYTES
            if not line:
                self.ended = True
                return
        if self._trailer_bytes + len(self._buffer) - self._at > TRAILER_BYTES:
            self._count_trailer(len(self._buffer) - self._at)

    def _count_trailer(self, count: int) -> None:
        self._trailer_bytes += count
        if self._trailer_bytes > TRAILER_BYTES:
            raise MalformedChunk(f"the trailers are longer than {TRAILER_BYTES} bytes")
