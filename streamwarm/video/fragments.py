"""How long a fragmented file is, whose `moov` does not know it. Pure.

Three boxes may know it. In the order of what they cost: `mehd` inside `moov`; `sidx` after `moov`, if it covers the
file; else the last fragment, which ends when the file does. Its place is in `mfra`, the index at the file's end, or it
is found by its name in the last window.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from attrs import frozen

from streamwarm.video.boxes import Box, Hopeless, field, first_of_each, inner_boxes, top_boxes
from streamwarm.video.times import LONGEST_S, length_field, longest, seconds
from streamwarm.video.tracks import Track
from streamwarm.video.window import READ_BYTES, Ended, Windows

TFXD = bytes.fromhex("6d1d9b0542d544e680e2141daff757b2")
"""The `uuid` that stands for `tfdt` in files of Smooth Streaming (MS-SSTR, 2.2.4.4)."""


@frozen
class _Scale:
    """What a fragment leaves to `moov`: units per second, and the length of a sample that states none."""

    timescale: int
    sample: int


@frozen
class _Span:
    """When a fragment's samples of one track begin and end, in seconds."""

    begins_s: float
    ends_s: float


def length_of_fragments(
    source: Windows, start: int, extends: Box, movie_timescale: int, tracks: Sequence[Track]
) -> float | None:
    """Return the file's length in seconds; None if it does not say within the windows that are read.

    `start` is the first byte behind `moov`. Raises Lacking if another window may have it.
    """
    try:
        stated = _stated(source, extends, movie_timescale)
        if stated is not None:
            return stated
        scales = _scales(source, extends, tracks)
        indexed, first = _front(source, start, scales)
        return indexed if indexed is not None else _until_last(source, start, scales, first)
    except (Ended, Hopeless):
        return None


def _stated(source: Windows, extends: Box, movie_timescale: int) -> float | None:
    box = first_of_each(source, extends.body, extends.end, {b"mehd"}).get(b"mehd")
    return None if box is None else seconds(length_field(source, box, 4, 4), movie_timescale)


def _scales(source: Windows, extends: Box, tracks: Iterable[Track]) -> dict[int, _Scale]:
    samples = {
        field(source, box, 4, 4): field(source, box, 12, 4)
        for box in inner_boxes(source, extends.body, extends.end)
        if box.type == b"trex"
    }
    return {track.number: _Scale(track.timescale, samples.get(track.number, 0)) for track in tracks if track.timescale}


def _front(source: Windows, start: int, scales: dict[int, _Scale]) -> tuple[float | None, float]:
    """Return the length that an index after `moov` states, and when the first fragment begins, as far as at hand.

    A recording cut out of a longer one begins late: what it shows is shorter than its last time.
    """
    for box in top_boxes(source, start):
        if box.type == b"sidx":
            indexed = _indexed(source, box)
            if indexed is not None:
                return indexed, 0.0
        elif box.type == b"moof":
            return None, min((span.begins_s for span in _spans(source, box, scales)), default=0.0)
        if box.type == b"mdat" or not source.has(box.end, 16):
            break
    return None, 0.0


def _indexed(source: Windows, box: Box) -> float | None:
    """The length of all that a `sidx` covers (14496-12, 8.16.3); None if that is not the rest of the file."""
    offset_bytes = 8 if field(source, box, 0, 1) else 4
    behind = 12 + 2 * offset_bytes
    count = field(source, box, behind + 2, 2)
    entries = source.at(box.body + behind + 4, min(count * 12, READ_BYTES, max(0, box.end - box.body - behind - 4)))
    references = list(struct.iter_unpack(">II4x", entries[: len(entries) // 12 * 12]))
    covered = (
        box.end + field(source, box, 12 + offset_bytes, offset_bytes) + sum(one & 0x7FFFFFFF for one, _ in references)
    )
    if len(references) < count or not _is_end(source, covered):
        return None
    return seconds(sum(length for _, length in references), field(source, box, 8, 4))


def _is_end(source: Windows, offset: int) -> bool:
    """Whether nothing but an index comes behind this byte."""
    if offset >= source.size_bytes:
        return offset == source.size_bytes
    return source.size_bytes - offset < READ_BYTES and source.at(offset + 4, 4) == b"mfra"


def _until_last(source: Windows, start: int, scales: dict[int, _Scale], first_s: float) -> float | None:
    """From the first fragment's begin to the last one's end."""
    tail_at = max(start, source.size_bytes - READ_BYTES)
    tail = source.at(tail_at, source.size_bytes - tail_at)
    place = _last_in_index(source, tail)
    if place is None:
        found = tail.rfind(b"moof\x00\x00\x00\x10mfhd")
        place = tail_at + found - 4 if found >= 4 else None
    if place is None or not start <= place < source.size_bytes:
        return None
    box = next(top_boxes(source, place))
    last_s = longest(*(span.ends_s for span in _spans(source, box, scales))) if box.type == b"moof" else None
    return last_s - first_s if last_s is not None and 0 < last_s - first_s <= LONGEST_S else None


def _last_in_index(source: Windows, tail: bytes) -> int | None:
    """Where the last fragment begins, by `mfra` (8.8.9), whose size stands in the file's last four bytes."""
    if tail[-12:-8] != b"mfro":
        return None
    begin = source.size_bytes - int.from_bytes(tail[-4:], "big")
    if begin < 0 or source.at(begin + 4, 4) != b"mfra":
        return None
    places = [
        _last_entry(source, box)
        for box in inner_boxes(source, begin + 8, source.size_bytes)
        if box.type == b"tfra" and field(source, box, 12, 4)
    ]
    return max(places, default=None)


def _last_entry(source: Windows, box: Box) -> int:
    """The place of the last fragment in one track's index (8.8.10)."""
    wide = 8 if field(source, box, 0, 1) else 4
    lengths = field(source, box, 8, 4)
    entry = 2 * wide + sum((lengths >> shift & 3) + 1 for shift in (0, 2, 4))
    return field(source, box, 16 + entry * (field(source, box, 12, 4) - 1) + wide, wide)


def _spans(source: Windows, moof: Box, scales: dict[int, _Scale]) -> list[_Span]:
    spans = []
    for box in inner_boxes(source, moof.body, moof.end):
        span = _span(source, box, scales) if box.type == b"traf" else None
        if span is not None:
            spans.append(span)
    return spans


def _span(source: Windows, traf: Box, scales: dict[int, _Scale]) -> _Span | None:
    """A fragment's samples of one track; None for a track of text, or without the time at which they begin."""
    scale, begin, units = None, None, 0
    for box in inner_boxes(source, traf.body, traf.end):
        if box.type == b"tfhd":
            scale = _own_scale(source, box, scales)
        elif box.type == b"tfdt":
            begin = field(source, box, 4, 8 if field(source, box, 0, 1) else 4)
        elif box.type == b"uuid" and source.at(box.body, 16) == TFXD:
            begin = field(source, box, 20, 8 if field(source, box, 16, 1) else 4)
        elif box.type == b"trun" and scale is not None:
            units += _run(source, box, scale.sample)
    if scale is None or begin is None:
        return None
    begins_s = begin / scale.timescale
    return _Span(begins_s, begins_s + units / scale.timescale)


def _own_scale(source: Windows, box: Box, scales: dict[int, _Scale]) -> _Scale | None:
    """The track's scale, with the length of a sample that `tfhd` states for this fragment (8.8.7)."""
    flags = field(source, box, 1, 3)
    scale = scales.get(field(source, box, 4, 4))
    if scale is None or not flags & 0x08:
        return scale
    return _Scale(scale.timescale, field(source, box, 8 + (8 if flags & 0x01 else 0) + (4 if flags & 0x02 else 0), 4))


def _run(source: Windows, box: Box, sample: int) -> int:
    """The length of a run of samples (8.8.8) in the track's units."""
    flags, count = field(source, box, 1, 3), field(source, box, 4, 4)
    if not flags & 0x100:
        return count * sample
    begin = box.body + 8 + (4 if flags & 0x01 else 0) + (4 if flags & 0x04 else 0)
    entry = 4 * sum(1 for bit in (0x100, 0x200, 0x400, 0x800) if flags & bit)
    seen = min(count, READ_BYTES // entry, max(0, box.end - begin) // entry)
    lengths = [one for (one,) in struct.iter_unpack(f">I{entry - 4}x", source.at(begin, seen * entry))]
    # A run longer than a window goes on as it began.
    return sum(lengths) * count // seen if seen else 0
