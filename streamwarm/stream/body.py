"""The object's bytes on their way from source to destination: metered, watched, and withheld at the end until the
digest agrees (decision 3)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable

from streamwarm.errors import ErrorCode, SourceError
from streamwarm.fetch.source import SourceObject
from streamwarm.stream.meter import Meter
from streamwarm.stream.watchdog import Watchdog


class VerifiedBody:
    """A `send.destination.Body` over an open object.

    One piece is in flight: the next is read when the destination has taken the last. The kernel's socket buffers keep
    both sides busy meanwhile, and memory stays at one piece whatever the object's size or either side's speed.
    """

    def __init__(
        self,
        source: SourceObject,
        meter: Meter,
        watchdog: Watchdog,
        *,
        expected_sha256: str | None,
        depart: Callable[[int], Awaitable[None]],
    ) -> None:
        self._incoming = source.pieces()
        self._held = b""
        self._meter = meter
        self._watchdog = watchdog
        self._expected_sha256 = expected_sha256
        self._depart = depart

    @property
    def bytes_out(self) -> int:
        return self._meter.bytes_out

    @property
    def finished(self) -> bool:
        return self._meter.bytes_out == self._meter.total

    async def peek(self, count: int) -> bytes:
        """See `send.destination.Body`. What is held leaves with the first piece, and its memory with it."""
        meter = self._meter
        held = [self._held]
        self._watchdog.expect_source()
        while meter.bytes_in < min(count, meter.total):
            piece = await anext(self._incoming, None)
            if piece is None:
                break
            meter.took(piece)
            held.append(bytes(piece))  # no copy, but of a view
            if meter.whole:
                self._check_digest()
        self._watchdog.expect_destination()
        self._held = b"".join(filter(None, held))  # no copy of a single one
        return self._held

    async def _leave(self) -> None:
        """Wait for the moment when the last piece may go."""
        self._watchdog.expect_departure()
        await self._depart(self._meter.total)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        meter, watchdog = self._meter, self._watchdog
        if self._held:
            held, self._held = self._held, b""
            if meter.whole:
                await self._leave()
            watchdog.expect_destination()
            yield held
            meter.gave(len(held))
            del held
        watchdog.expect_source()
        async for piece in self._incoming:
            size = len(piece)
            meter.took(piece)
            if meter.whole:
                self._check_digest()
                await self._leave()
            watchdog.expect_destination()
            yield piece
            meter.gave(size)
            watchdog.expect_source()
        if not self.finished:
            raise SourceError(
                ErrorCode.SOURCE_TRUNCATED, f"{meter.bytes_in} of {meter.total} bytes came from the source"
            )
        watchdog.expect_answer()

    def _check_digest(self) -> None:
        """Called before the last piece goes out, so that a wrong object is never completed at the destination."""
        expected, actual = self._expected_sha256, self._meter.sha256
        if expected is not None and actual != expected:
            raise SourceError(
                ErrorCode.SHA256_MISMATCH,
                f"the object's digest is {actual}, the job names {expected}: "
                "the object was replaced, or the job is wrong",
            )
