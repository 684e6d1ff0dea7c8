"""Continues a download that broke off: reads one object to its end over as many connections as that takes.

Theory. The destination's request is open while the source streams, so a source that breaks off must not break the
upload. The reader knows its offset and which object it reads (the strong ETag), and requests the rest:
`Range: bytes=N-` with `If-Match`. The answer must show that it continues the same bytes: 206, a `Content-Range` that
starts at N and ends at the same total, the same ETag and encoding. Anything else ends the attempt, because bytes of two
objects joined together are worse than none. Without a strong ETag nothing can be shown, so nothing is reopened.

The end of a stream is not trusted even if it is clean: the bytes are counted against the object's size. Nor is the
count: the last piece is handed out only once the stream has ended, for an answer that goes on is of another object.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from attrs import define, field, frozen

from streamwarm.errors import ErrorCode, SourceError
from streamwarm.fetch.answers import ContentRange, Head, is_strong
from streamwarm.fetch.bucket import Answer
from streamwarm.fetch.one_reading import OneReading
from streamwarm.fetch.source import ObjectInfo, Origin
from streamwarm.watch.observations import Observer, SourceReopened

MAX_REOPENS = 5
"""Reopens in a row without progress. With `reopen_wait_s` they span about six seconds: enough for a proxy that
restarts, and a tenth of the silence (`body_timeout_s`) that is allowed on a connection."""

PROGRESS_BYTES = 16 * 1024
"""Bytes that count as progress and renew the budget, or a 64th of the object if that is less.

Every reopen costs the bucket a request and the job some 0.2 s, so a link that is cut after every 16 KiB still carries
80 kB/s."""

MAX_RETRY_AFTER_S = 5.0
"""If the source asks for a longer pause (`Retry-After`), the attempt ends: the upload must not idle that long."""


def reopen_wait_s(failures: int, random: float) -> float:
    """Seconds before reopen number `failures` (from 1): 0.2 doubling, half of it jittered by `random` in [0, 1)."""
    full = 0.2 * 2.0 ** (failures - 1)
    return full / 2 + random * full / 2


def check_continuation(head: Head, info: ObjectInfo, offset: int) -> None:
    """Raise `SourceError` unless an answer to `Range: bytes=offset-` continues the object from there."""
    if head.etag != info.etag:
        raise SourceError(
            ErrorCode.SOURCE_CHANGED,
            f"object {info.r2_key!r} was replaced while it was read: its ETag has changed",
        )
    if head.status != 206:
        raise _unresumable(info, offset, f"the server ignored the range (status {head.status})")
    found = head.content_range
    if found is not None and found.total != info.bytes:
        raise SourceError(
            ErrorCode.SOURCE_CHANGED,
            f"object {info.r2_key!r} was replaced while it was read: {info.bytes} bytes, now {found.total}",
        )
    if found != ContentRange(offset, info.bytes - 1, info.bytes):
        raise _unresumable(info, offset, "the server answered with another range")
    if head.length_bytes not in {None, info.bytes - offset}:
        raise _unresumable(info, offset, "the answer's length is not that of its range")
    if head.content_encoding != info.content_encoding:
        raise _unresumable(info, offset, f"the rest is encoded as {head.content_encoding or 'identity'}")


def check_range(head: Head, info: ObjectInfo, offset: int, count: int) -> None:
    """Raise `SourceError` unless an answer to `Range` has exactly these bytes of the object."""
    if head.etag != info.etag:
        raise SourceError(
            ErrorCode.SOURCE_CHANGED,
            f"object {info.r2_key!r} was replaced while it was read: its ETag has changed",
        )
    is_range = head.status == 206 and head.content_range == ContentRange(offset, offset + count - 1, info.bytes)
    if not is_range or head.content_encoding != info.content_encoding:
        raise SourceError(
            ErrorCode.SOURCE_REFUSED, f"the server gave no range of {info.r2_key!r} (status {head.status})"
        )


@define(eq=False)
class ResumingObject(OneReading):
    """A `SourceObject` over connections that may break.

    `reopen(offset)` requests the bytes from there on; `read_range(offset, count)` returns some of them. `random` is
    uniform in [0, 1). `offset` is where the first answer starts. Close it with `aclose`.
    """

    info: ObjectInfo
    _answer: Answer
    _reopen: Callable[[int], Awaitable[Answer]]
    _read_range: Callable[[int, int], Awaitable[bytes]]
    _observe: Observer
    _random: Callable[[], float]
    _offset: int = 0
    bytes_in: int = field(default=0, init=False)
    _failures: int = field(default=0, init=False)
    _progress_bytes: int = field(default=0, init=False)

    @property
    def origin(self) -> Origin:
        return Origin.STREAM

    async def __anext__(self) -> bytes:
        while self._offset < self.info.bytes:
            piece = await self._next_piece()
            if not piece:
                await self._continue()
            elif self._offset + len(piece) < self.info.bytes:
                return self._counted(piece)
            else:
                return await self._last(bytes(piece))  # a copy: the next read may reuse its buffer
        raise StopAsyncIteration

    async def read_at(self, offset: int, count: int) -> bytes:
        return await self._read_range(offset, count)

    async def aclose(self) -> None:
        """Give up the connection. Safe at any time, and more than once."""
        await self._answer.aclose()

    async def _next_piece(self) -> bytes:
        """Return the next piece, or `b""` if the connection ended, cleanly or not."""
        try:
            return await self._answer.piece()
        except SourceError as error:
            if error.code is not ErrorCode.SOURCE_UNAVAILABLE:
                raise
            return b""

    def _counted(self, piece: bytes) -> bytes:
        self._offset += len(piece)
        self.bytes_in += len(piece)
        self._progress_bytes += len(piece)
        if self._progress_bytes >= min(PROGRESS_BYTES, self.info.bytes // 64):
            self._failures = self._progress_bytes = 0
        return piece

    async def _last(self, piece: bytes) -> bytes:
        """The object's last piece, once the stream has ended behind it."""
        rest = self._offset + len(piece) > self.info.bytes or await self._answer.piece()
        if rest:
            raise SourceError(
                ErrorCode.SOURCE_CHANGED,
                f"object {self.info.r2_key!r} went on after its {self.info.bytes} bytes; it will be reread",
            )
        return self._counted(piece)

    async def _continue(self) -> None:
        """Replace the broken answer with a new one that starts at the same offset."""
        await self._answer.aclose()
        if not is_strong(self.info.etag):
            raise _unresumable(self.info, self._offset, "it has no strong ETag to recognise it by")
        last: SourceError | None = None
        while self._failures < MAX_REOPENS:
            self._failures += 1
            self._progress_bytes = 0
            await trio.sleep(reopen_wait_s(self._failures, self._random()))
            self._observe(SourceReopened(self.info.r2_key, self._offset))
            try:
                self._answer = await self._reopen(self._offset)
            except SourceError as error:
                # The range may be refused, and not the object. Whether every request is, a probe finds out.
                if error.code is ErrorCode.SOURCE_REFUSED:
                    raise _unresumable(self.info, self._offset, error.message) from error
                if not _is_passing(error):
                    raise
                last = error
            else:
                check_continuation(self._answer.head, self.info, self._offset)
                return
        why = f"{MAX_REOPENS} reopens in a row brought no progress"
        raise _unresumable(self.info, self._offset, why) from last


@frozen(eq=False)
class UnsizedObject(OneReading):
    """A `SourceObject` whose length is not known. A connection that breaks raises: where the object ends is unknown."""

    info: ObjectInfo
    _answer: Answer

    @property
    def origin(self) -> Origin:
        return Origin.STREAM

    async def __anext__(self) -> bytes:
        if piece := await self._answer.piece():
            return piece
        raise StopAsyncIteration


def _is_passing(error: SourceError) -> bool:
    return error.code is ErrorCode.SOURCE_UNAVAILABLE and (error.retry_after_s or 0.0) <= MAX_RETRY_AFTER_S


def _unresumable(info: ObjectInfo, offset: int, why: str) -> SourceError:
    return SourceError(
        ErrorCode.SOURCE_TRUNCATED,
        f"object {info.r2_key!r} broke off at byte {offset} of {info.bytes} and could not be resumed: {why}; "
        "the next attempt reads it afresh",
    )
