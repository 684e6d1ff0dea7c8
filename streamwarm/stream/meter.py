"""Counts and hashes what one attempt has moved. Pure."""

from __future__ import annotations

import hashlib
from typing import Any

from attrs import define, field

from streamwarm.model import Progress


@define
class Meter:
    """Counts bytes in (from the source) and out (taken by the destination's network). `total` is the object's exact
    size."""

    total: int
    bytes_in: int = 0
    bytes_out: int = 0
    _digest: Any = field(factory=hashlib.sha256, repr=False)

    def took(self, piece: bytes) -> None:
        """Count a piece that came in from the source."""
        self._digest.update(piece)
        self.bytes_in += len(piece)

    def gave(self, count: int) -> None:
        """Count bytes that the network took for the destination."""
        self.bytes_out += count

    @property
    def whole(self) -> bool:
        """True once every byte has come in."""
        return self.bytes_in == self.total

    @property
    def sha256(self) -> str:
        """The digest of what has come in so far, in lower-case hex."""
        return str(self._digest.hexdigest())

    def progress(self, job_id: str) -> Progress:
        return Progress(job_id, self.bytes_in, self.bytes_out, self.total)
