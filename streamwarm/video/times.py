"""Lengths in units of a timescale, as seconds. Pure."""

from __future__ import annotations

from streamwarm.video.boxes import Box, field
from streamwarm.video.window import Windows

LONGEST_S = 30 * 86_400
"""A longer video is taken as one whose length is unknown. A bot sends 2,000 MB at most, which is 6 kbit/s over 30 days;
numbers of damaged files are far larger."""


def seconds(units: int, timescale: int) -> float | None:
    """Return `units` in seconds; None if that is no length a video has."""
    if units <= 0 or timescale <= 0 or units > LONGEST_S * timescale:
        return None
    return units / timescale


def longest(*lengths: float | None) -> float | None:
    """The longest of those that are known."""
    return max((one for one in lengths if one is not None), default=None)


def length_field(source: Windows, box: Box, at_v0: int, at_v1: int) -> int:
    """A duration that version 0 has in 32 bits and version 1 in 64. All ones mean unknown, and are returned as 0."""
    wide = field(source, box, 0, 1) == 1
    size = 8 if wide else 4
    units = field(source, box, at_v1 if wide else at_v0, size)
    return 0 if units == (1 << 8 * size) - 1 else units
