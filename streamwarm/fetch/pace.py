"""Decides whether a source is too slow to wait for. Pure: the time waited is passed in."""

from __future__ import annotations

from attrs import define, field

FLOOR_BYTES_PER_S = 1024
"""Below this rate a source counts as stalled. At 1 KiB/s a 10 MB photo would occupy a worker for three hours; the
slowest link worth waiting for (64 kbit/s) is eight times faster."""


@define
class Pace:
    """Compares the time spent waiting for bytes with the bytes that arrived.

    Every `window_s` seconds of waiting must bring `FLOOR_BYTES_PER_S * window_s` bytes. Only waiting counts, so a slow
    destination, which delays the next read, does not make the source look slow.
    """

    window_s: float
    _waited_s: float = field(default=0.0, init=False)
    _bytes: int = field(default=0, init=False)

    def is_stalled_after(self, waited_s: float, got_bytes: int) -> bool:
        """Record one wait and what it brought. Returns True once a window has passed below the floor."""
        self._waited_s += waited_s
        self._bytes += got_bytes
        if self._bytes >= FLOOR_BYTES_PER_S * self.window_s:
            self._waited_s, self._bytes = 0.0, 0
        return self._waited_s >= self.window_s
