"""The object's bytes on their way from source to destination: metered, watched, and withheld at the end until the
digest agrees and the departure's turn has come."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from streamwarm.errors import Blame, ErrorCode, SourceError
from streamwarm.fetch.source import SourceObject
from streamwarm.stream.departure import Departure
from streamwarm.stream.meter import Meter
from streamwarm.stream.watchdog import Watchdog


class VerifiedBody:
    """A `send.destination.Body` over an open object.

    One piece is in flight: the next is read when the destination has taken the last. The kernel's socket buffers keep
    both sides busy meanwhile, and memory stays at one piece whatever the object's size or either side's speed.

    `attached_bytes` is the size of what is sent along with the object: a destination that spaces uploads of equal size
    adds up the files of a request.
    """

    def __init__(
        self,
        source: SourceObject,
        meter: Meter,
        watchdog: Watchdog,
        departure: Departure,
        *,
        expected_sha256: str | None,
        attached_bytes: int = 0,
    ) -> None:
        self._incoming = source.pieces()
        self._peeked = b""
        self._meter = meter
        self._watchdog = watchdog
        self._departure = departure
        self._expected_sha256 = expected_sha256
        self._attached_bytes = attached_bytes
        self._is_of_s3 = source.info.etag is not None

    @property
    def bytes_out(self) -> int:
        return self._meter.bytes_out

    @property
    def object_sent(self) -> bool:
        return self._meter.bytes_out == self._meter.total

    async def peek(self, count: int) -> bytes:
        """See `send.destination.Body`. `pieces` begins with what was peeked, and frees its memory."""
        meter = self._meter
        peeked = [self._peeked]
        self._watchdog.expect_source()
        while meter.bytes_in < min(count, meter.total):
            piece = await anext(self._incoming, None)
            if piece is None:
                break
            meter.took(piece)
            peeked.append(bytes(piece))  # copies views only
            if meter.whole:
                self._check_digest()
        self._watchdog.expect_destination()
        self._peeked = b"".join(filter(None, peeked))  # does not copy a single piece
        return self._peeked

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        meter, watchdog = self._meter, self._watchdog
        if self._peeked:
            peeked, self._peeked = self._peeked, b""
            if meter.whole:
                await self._leave()
            watchdog.expect_destination()
            yield peeked
            meter.gave(len(peeked))
            del peeked
        watchdog.expect_source()
        async for piece in self._incoming:
            size = len(piece)
            meter.took(piece)
            if meter.whole:
                self._check_digest()
                await self._leave()
            watchdog.expect_destination()
            yield piece
            meter.gave(size)  # the destination asks for the next only once the network took this one
            watchdog.expect_source()
        if not self.object_sent:
            raise SourceError(
                ErrorCode.SOURCE_TRUNCATED, f"{meter.bytes_in} of {meter.total} bytes came from the source"
            )
        self._departure.object_sent()
        watchdog.expect_answer()

    async def _leave(self) -> None:
        """Wait until the last piece may go."""
        self._watchdog.expect_departure()
        await self._departure.leave(self._meter.total + self._attached_bytes)

    def _check_digest(self) -> None:
        """Called before the last piece goes out, so that a wrong object is never completed at the destination."""
        expected, actual = self._expected_sha256, self._meter.sha256
        if expected is not None and actual != expected:
            raise SourceError(
                ErrorCode.SHA256_MISMATCH,
                f"the object's digest is {actual}, the job names {expected}: "
                "the object was replaced, or the job is wrong",
                # Without an ETag it may have been a proxy's page.
                permanent=self._is_of_s3,
                blame=None if self._is_of_s3 else Blame.UNSURE,
            )
