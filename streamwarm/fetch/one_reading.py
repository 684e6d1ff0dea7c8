"""The half of a `SourceObject` that every implementation has in common."""

from __future__ import annotations

from collections.abc import AsyncIterator


class OneReading(AsyncIterator[bytes]):
    """A `SourceObject` that is its own iterator: it can be read once. Subclasses write `__anext__`."""

    __slots__ = ()

    def pieces(self) -> AsyncIterator[bytes]:
        return self
