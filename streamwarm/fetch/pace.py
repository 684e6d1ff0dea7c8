"""Whether a source moves fast enough to be waited for. Pure: time is passed in as seconds waited."""

from __future__ import annotations

from attrs import define, field

FLOOR_BYTES_PER_S = 1024
"""Below this a source counts as stalled. At 1 KiB/s a 10 MB photo would take three hours and hold a worker
all along; the slowest link worth waiting for (a 64 kbit/s line) is eight times faster."""


@define
class Pace:
    """Weighs the time spent waiting for bytes against the bytes that came.

    Every `window_s` seconds of waiting must bring `FLOOR_BYTES_PER_S * window_s` bytes. Only waiting counts:
    a slow destination that keeps the reader from asking makes no source look slow.
    """

    window_s: float
    _waited_s: float = field(default=0.0, init=False)
    _bytes: int = field(default=0, init=False)

    def is_stalled_after(self, waited_s: float, got_bytes: int) -> bool:
        """Note one wait and what it brought; True once a window has passed below the floor."""
        self._waited_s += waited_s
        self._bytes += got_bytes
        if self._bytes >= FLOOR_BYTES_PER_S * self.window_s:
            self._waited_s, self._bytes = 0.0, 0
        return self._waited_s >= self.window_s
