"""What one attempt has moved: length, digest, and when it last moved. Pure; time is passed in."""

from __future__ import annotations

import hashlib
from typing import Any

from attrs import define, field

from streamwarm.model import Progress


@define
class Meter:
    """Counts bytes in (from the source) and out (taken by the destination's network).

    `total` is the object's exact size. `moved_at` is the time of the last movement in either direction.
    """

    total: int
    moved_at: float
    bytes_in: int = 0
    bytes_out: int = 0
    _digest: Any = field(factory=hashlib.sha256, repr=False)

    def took(self, piece: bytes, now: float) -> None:
        """A piece came in from the source."""
        self._digest.update(piece)
        self.bytes_in += len(piece)
        self.moved_at = now

    def gave(self, count: int, now: float) -> None:
        """The destination's network took `count` bytes."""
        self.bytes_out += count
        self.moved_at = now

    @property
    def whole(self) -> bool:
        """True once every byte has come in."""
        return self.bytes_in == self.total

    @property
    def sha256(self) -> str:
        """The digest of what has come in so far, lower-case hex."""
        return str(self._digest.hexdigest())

    def progress(self, job_id: str) -> Progress:
        return Progress(job_id, self.bytes_in, self.bytes_out, self.total)
