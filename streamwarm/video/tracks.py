"""What one track says about itself, from the boxes before its sample tables. Pure."""

from __future__ import annotations

import struct

from attrs import frozen

from streamwarm.video.boxes import Box, field, first_of_each, inner_boxes
from streamwarm.video.display import Matrix, Picture, display_size
from streamwarm.video.times import length_field, seconds
from streamwarm.video.window import READ_BYTES, Ended, Windows

VIDEO, SOUND = b"vide", b"soun"


@frozen
class MovieHeader:
    """`mvhd`: what all tracks share."""

    timescale: int
    duration_s: float | None
    """The longest track's, with its edits; without fragments."""

    matrix: Matrix


@frozen
class Track:
    """One track."""

    number: int
    handler: bytes
    is_enabled: bool
    timescale: int
    """Units per second of its samples; those of the movie may differ."""

    duration_s: float | None
    size: tuple[int, int] | None
    """Width and height on the screen, of a video track."""

    chapters: frozenset[int]
    """Numbers of the tracks that hold names and pictures of its chapters."""


def read_movie_header(source: Windows, box: Box) -> MovieHeader:
    """Read `mvhd`; raises Ended if it is too short."""
    is_wide = _is_wide(source, box)
    timescale = field(source, box, 20 if is_wide else 12, 4)
    return MovieHeader(
        timescale=timescale,
        duration_s=seconds(length_field(source, box, 16, 24), timescale),
        matrix=_matrix(source, box, 48 if is_wide else 36),
    )


def read_track(source: Windows, trak: Box, movie: MovieHeader) -> Track:
    """Read `trak`. Raises Ended if it lacks what every track has, or the file does not go so far."""
    found = first_of_each(source, trak.body, trak.end, {b"tkhd", b"mdia"})
    if len(found) < 2:
        raise Ended
    header, media = found[b"tkhd"], found[b"mdia"]
    inside = first_of_each(source, media.body, media.end, {b"mdhd", b"hdlr", b"minf"})
    if b"mdhd" not in inside or b"hdlr" not in inside:
        raise Ended
    # Between header and media, in any order. What comes after the media may be megabytes away.
    between = first_of_each(source, header.end, media.start, {b"edts", b"tref"})
    handler = source.at(inside[b"hdlr"].body + 8, 4)
    timescale = field(source, inside[b"mdhd"], 20 if _is_wide(source, inside[b"mdhd"]) else 12, 4)
    return Track(
        number=field(source, header, 20 if _is_wide(source, header) else 12, 4),
        handler=handler,
        is_enabled=bool(field(source, header, 3, 1) & 1),
        timescale=timescale,
        duration_s=seconds(length_field(source, header, 20, 28), movie.timescale)
        or _edited(source, between.get(b"edts"), movie.timescale)
        or seconds(length_field(source, inside[b"mdhd"], 16, 24), timescale),
        size=_size(source, header, inside.get(b"minf"), movie) if handler == VIDEO else None,
        chapters=_chapters(source, between.get(b"tref")),
    )


def _is_wide(source: Windows, box: Box) -> bool:
    """Whether times take 64 bits: the box has version 1."""
    return field(source, box, 0, 1) == 1


def _matrix(source: Windows, box: Box, at: int) -> Matrix:
    a, b, c, d = (field(source, box, at + place, 4, signed=True) for place in (0, 4, 12, 16))
    return Matrix(a, b, c, d)


def _size(source: Windows, header: Box, media_info: Box | None, movie: MovieHeader) -> tuple[int, int] | None:
    is_wide = _is_wide(source, header)
    at = 88 if is_wide else 76
    coded, pixel = _sample_entry(source, media_info)
    return display_size(
        Picture(
            coded=coded,
            presented=(field(source, header, at, 4) >> 16, field(source, header, at + 4, 4) >> 16),
            pixel=pixel,
            matrix=_matrix(source, header, 52 if is_wide else 40).then(movie.matrix),
        )
    )


def _sample_entry(source: Windows, media_info: Box | None) -> tuple[tuple[int, int], tuple[int, int] | None]:
    """The first sample entry's width and height, and its pixel aspect; zeros and None where there are none."""
    description = media_info
    for name in (b"stbl", b"stsd"):
        if description is not None:
            description = first_of_each(source, description.body, description.end, {name}).get(name)
    if description is None:
        return (0, 0), None
    entry = next(inner_boxes(source, description.body + 8, description.end), None)
    if entry is None or entry.end < entry.body + 78:
        return (0, 0), None
    coded = field(source, entry, 24, 2), field(source, entry, 26, 2)
    box = first_of_each(source, entry.body + 78, entry.end, {b"pasp"}).get(b"pasp")
    if box is None or box.end < box.body + 8:
        return coded, None
    return coded, (field(source, box, 0, 4), field(source, box, 4, 4))


def _edited(source: Windows, edits: Box | None, timescale: int) -> float | None:
    """The sum of an edit list, which is in the movie's timescale."""
    box = first_of_each(source, edits.body, edits.end, {b"elst"}).get(b"elst") if edits is not None else None
    if box is None:
        return None
    entry, form = (20, ">Q12x") if _is_wide(source, box) else (12, ">I8x")
    count = min(field(source, box, 4, 4), (box.end - box.body - 8) // entry, READ_BYTES // entry)
    return seconds(
        sum(units for (units,) in struct.iter_unpack(form, source.at(box.body + 8, count * entry))), timescale
    )


def _chapters(source: Windows, references: Box | None) -> frozenset[int]:
    if references is None:
        return frozenset()
    box = first_of_each(source, references.body, references.end, {b"chap"}).get(b"chap")
    if box is None:
        return frozenset()
    count = min((box.end - box.body) // 4, 64)
    return frozenset(number for (number,) in struct.iter_unpack(">I", source.at(box.body, count * 4)))
