"""The half of a `SourceObject` that every implementation has in common."""

from __future__ import annotations

from collections.abc import AsyncIterator

from streamwarm.errors import ErrorCode, SourceError


class OneReading(AsyncIterator[bytes]):
    """A `SourceObject` that is its own iterator: it can be read once. Subclasses write `__anext__`."""

    __slots__ = ()

    async def read_at(self, offset: int, count: int) -> bytes:
        raise SourceError(
            ErrorCode.SOURCE_REFUSED,
            f"{count} bytes at {offset} were asked for; it can only be read from the front",
        )

    def pieces(self) -> AsyncIterator[bytes]:
        return self
