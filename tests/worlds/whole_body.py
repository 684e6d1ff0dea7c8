"""A body for tests that upload without a source."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from attrs import define


@define(eq=False)
class Bytes:
    """A body that holds its bytes already."""

    data: bytes
    bytes_out: int = 0

    @property
    def object_sent(self) -> bool:
        return self.bytes_out == len(self.data)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        yield self.data
        self.bytes_out = len(self.data)
