"""Objects that are sent along with a job's own, as the transfer and the destination see them. Pure."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from attrs import frozen


@frozen
class Attachment:
    """Another object of the bucket that is sent along with a job's own, such as a thumbnail.

    `name` is what the destination calls it. `named_by` is where its key comes from, for messages.
    """

    name: str
    r2_key: str
    named_by: str


class AttachedObject(Protocol):
    """An attachment that is open for one reading. Its `SourceError`s begin with `Attachment.named_by`."""

    @property
    def attachment(self) -> Attachment: ...

    @property
    def size_bytes(self) -> int:
        """The exact size of the object."""
        ...

    async def peek(self, count: int) -> bytes:
        """See `send.destination.Body.peek`."""
        ...

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """Return the bytes, exactly `size_bytes` of them; may be called once. See `send.destination.Body.pieces`."""
        ...
