"""One HTTP/1.1 exchange on a connection: heads through h11, bodies around it.

Theory. h11 is sans-I/O and strict, which is worth its cost for a head but not for a body: h11 copies every received
byte three times (into its buffer and twice out of it), and takes some 20 µs per chunk. So each exchange gets a fresh
`h11.Connection`. It frames the request, whose body it only counts (`send_with_data_passthrough` returns the very object
it was given), and reads the answer's head. The answer's body goes straight from the socket to the caller, through
`body.py`.

Reuse. A connection may serve again if three things hold: our message was sent in full, the peer's was read in full with
nothing after it, and neither side asked to close. h11 knows the first and the last: only then does `our_state` stay
`DONE`. `AnswerBody` knows the second.

An early answer. A server may refuse an upload (401, 413) before it has read it. So the socket is checked for an answer
before each further piece, and again when a write fails. A blocked write gives up as soon as something has arrived
(`stream.py`). A final answer that is not a success ends the upload, and the connection is not used again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext

import h11
import httpx
import trio
from attrs import define, field, frozen

from streamwarm.net.acknowledged import acknowledged_bytes
from streamwarm.net.backend import Stream
from streamwarm.net.body import AnswerBody, GatheringReader
from streamwarm.net.chunked import ChunkedReader
from streamwarm.net.stream import READ_BYTES
from streamwarm.net.translate import translated

HEAD_BYTES = 100 * 1024
"""The longest head that is read; httpcore has the same limit."""

HEAD_LINES = 1000
"""The most lines of an answer's head, with the informational ones before it. h11 takes some 5 µs per line, and no other
task runs meanwhile. Servers send under 50."""

PARSED_BYTES = 4 * 1024
"""How much of what was read h11 is given at once. A head is nearly always shorter, so a body's bytes stay out of h11.
"""

MOST_INFORMATIONAL = 100
"""Informational answers (1xx) per request. One or two are usual; a server that is busy for long may send a
`102 Processing` every 20 s."""

JOIN_BYTES = 64 * 1024
"""A first piece that fits here is sent together with the head, which saves a system call and a TLS record."""


@frozen
class Limits:
    """Time limits in seconds; None is no limit.

    `answer_s` runs from the end of an upload to the head of its answer, `head_s` is the same for a request without an
    upload. `read_s` and `write_s` bound the time without a byte.
    """

    answer_s: float | None
    head_s: float | None
    read_s: float | None
    write_s: float | None


@frozen
class OutgoingRequest:
    """What goes on the wire, as bytes. `target` is sent as it is."""

    method: bytes
    target: bytes
    headers: Sequence[tuple[bytes, bytes]]
    body: AsyncIterable[bytes]


@define(eq=False)
class Exchange:
    """A request and its answer. After any exception, cancellation included, `reusable` is False.

    Every method raises httpx's `TransportError`s. What the request's body iterator raises passes through.
    """

    _stream: Stream
    _limits: Limits
    _h11: h11.Connection = field(init=False)
    _reader: GatheringReader = field(init=False)
    _body: AnswerBody | None = field(default=None, init=False)
    _leading: bytes = field(default=b"", init=False)  # what came behind the answer's head
    _head_lines: int = field(default=0, init=False)
    _informational: int = field(default=0, init=False)
    _ended: bool = field(default=False, init=False)
    _acknowledged_before: int | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
        self._reader = GatheringReader(self._stream)
        self._acknowledged_before = acknowledged_bytes(self._stream)

    @property
    def complete(self) -> bool:
        """Whether the answer was read to its end."""
        return self._body is not None and self._body.complete

    @property
    def reusable(self) -> bool:
        """Whether the connection may carry another exchange."""
        return self._body is not None and self._body.reusable and self._h11.our_state is h11.DONE

    @property
    def unreceived(self) -> bool:
        """True if the peer certainly closed the connection without receiving a byte of the request. Read it before the
        connection is closed."""
        before = self._acknowledged_before
        return self._ended and before is not None and acknowledged_bytes(self._stream) == before

    async def send(self, request: OutgoingRequest) -> h11.Response:
        """Send the request and return the answer's head."""
        with translated:
            head = self._h11.send(
                h11.Request(method=request.method, target=request.target, headers=list(request.headers))
            )
        async with _closing(aiter(request.body)) as pieces:
            answer = await self._upload(head, pieces)
        self._body = self._framed(request.method, answer)
        return answer

    async def _upload(self, head: bytes, pieces: AsyncIterator[bytes]) -> h11.Response:
        """Send head and body, and return the answer's head. An early success counts only once everything is sent."""
        early: h11.Response | None = None
        unsent = head
        async for piece in pieces:
            if not piece:
                continue
            with translated:
                parts = self._h11.send_with_data_passthrough(h11.Data(data=piece)) or []
            if not unsent and early is None:
                early = await self._answer_so_far()
            elif unsent and len(unsent) + len(piece) <= JOIN_BYTES:
                parts = [b"".join([unsent, *parts])]
            elif unsent:
                parts = [unsent, *parts]
            unsent = b""
            refusal = early if _refuses(early) else await self._write(parts, early)
            if refusal:
                return refusal
        with translated:
            ending = self._h11.send(h11.EndOfMessage())
        refusal = await self._write([part for part in (unsent, ending) if part], early)
        within_s = self._limits.head_s if unsent else self._limits.answer_s
        return refusal or early or await self._read_head(within_s)

    async def _write(self, parts: Sequence[bytes], early: h11.Response | None) -> h11.Response | None:
        """Send the parts. If the peer stops taking them but has answered with a refusal, return that answer."""
        try:
            for part in parts:
                await self._stream.write(part, self._limits.write_s)
        except (httpx.WriteError, httpx.WriteTimeout):
            refusal = await self._answer_after_failure() if early is None else None
            if not _refuses(refusal):
                raise
            return refusal
        return None

    async def _answer_after_failure(self) -> h11.Response | None:
        try:
            return await self._answer_so_far()
        except httpx.TransportError:
            return None

    async def _answer_so_far(self) -> h11.Response | None:
        """The final answer's head, if it has arrived."""
        # A readable socket need not hold an answer: TLS session tickets make it readable too.
        while self._stream.get_extra_info("is_readable"):
            try:
                data = await self._stream.read(READ_BYTES, 0)
            except httpx.ReadTimeout:
                return None
            if answer := self._parse_head(data):
                return answer
        return None

    async def _read_head(self, within_s: float | None) -> h11.Response:
        with trio.move_on_after(float("inf") if within_s is None else within_s):
            while True:
                data = await self._reader.read(READ_BYTES, None)
                if answer := self._parse_head(data):
                    return answer
        raise httpx.ReadTimeout(f"the server did not answer within {within_s:g} s")

    def _parse_head(self, data: bytes) -> h11.Response | None:
        """Return the final answer's head once it is complete. Informational answers (1xx) are skipped."""
        if not data:
            self._ended = True
            raise httpx.RemoteProtocolError("the server closed the connection without answering")
        for begin in range(0, len(data), PARSED_BYTES):
            end = begin + PARSED_BYTES
            if answer := self._parse(data[begin:end]):
                self._leading = self._h11.trailing_data[0] + data[end:]
                return answer
        return None

    def _parse(self, data: bytes) -> h11.Response | None:
        with translated:
            self._h11.receive_data(data)
            while (event := self._h11.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Response):
                    return event
                self._informational += 1
                if self._informational > MOST_INFORMATIONAL:
                    raise httpx.RemoteProtocolError(
                        f"the server sent more than {MOST_INFORMATIONAL} informational answers (1xx) to one request"
                    )
        self._head_lines += data.count(b"\n")
        if self._head_lines > HEAD_LINES:
            raise httpx.RemoteProtocolError(f"the head of the server's answer has more than {HEAD_LINES} lines")
        return None

    def _framed(self, method: bytes, answer: h11.Response) -> AnswerBody:
        """Decide how the answer's body is read (RFC 9112, section 6.3)."""
        headers = dict(answer.headers)
        leading, self._leading = self._leading, b""
        expected: int | None = None
        chunks: ChunkedReader | None = None
        if method == b"HEAD" or answer.status_code in (204, 304):
            expected = 0
        elif b"transfer-encoding" in headers:  # h11 has refused all but one `chunked`
            chunks = ChunkedReader()
        elif b"content-length" in headers:
            expected = int(headers[b"content-length"])
        # With both headers, two readers may see two ends. The chunks count, and the connection must not serve again.
        doubtful = chunks is not None and b"content-length" in headers
        return AnswerBody(self._reader, self._limits.read_s, leading, expected, chunks, doubtful=doubtful)

    async def read_body(self) -> bytes:
        """Return the next piece of the answer's body, as much as has arrived, or `b""` at the end.

        Raises `httpx.RemoteProtocolError` if the body ends too early or is not framed as RFC 9112 says.
        """
        return b"" if self._body is None else await self._body.read()


def _refuses(answer: h11.Response | None) -> bool:
    return answer is not None and answer.status_code >= 300


def _closing(pieces: AsyncIterator[bytes]) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
    """Close the body if it is a generator, as httpx's wrappers are: left half-way, only the garbage collector would."""
    return aclosing(pieces) if isinstance(pieces, AsyncGenerator) else nullcontext(pieces)
