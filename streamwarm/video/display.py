"""How large a picture is on the screen: its coded size, stretched and turned. Pure.

The rules are those of ffmpeg's demuxer for the pixel aspect, and of Telegram Desktop for the rest
(`Telegram/SourceFiles/ffmpeg/ffmpeg_utility.cpp`): the width is stretched and cut to whole pixels, the height stays.
A clean aperture (`clap`) crops nothing, because neither crops by it.
"""

from __future__ import annotations

import math
from fractions import Fraction

from attrs import frozen

LARGEST_ASPECT = 16
"""Telegram Desktop takes a pixel that is longer than this, in either direction, as square."""

LARGEST_SIDE = 65_535
"""The longest side that a sample entry can state. A longer one, which only stretching gives, is taken as unknown."""


@frozen
class Matrix:
    """The part of a 3 × 3 matrix that turns and scales: x' = a·x + c·y, y' = b·x + d·y, in units of 1/65536."""

    a: int
    b: int
    c: int
    d: int

    def then(self, other: Matrix) -> Matrix:
        """This one, and after it the movie's."""
        return Matrix(
            (self.a * other.a + self.b * other.c) >> 16,
            (self.a * other.b + self.b * other.d) >> 16,
            (self.c * other.a + self.d * other.c) >> 16,
            (self.c * other.b + self.d * other.d) >> 16,
        )

    @property
    def scales(self) -> tuple[float, float]:
        """How much it stretches to the right and down."""
        return math.hypot(self.a, self.c), math.hypot(self.b, self.d)

    @property
    def is_quarter_turn(self) -> bool:
        """Whether it turns by 90 or 270 degrees, within half a degree. A matrix of zeros turns nothing."""
        across, down = self.scales
        if across == 0 or down == 0:
            return False
        return round(math.degrees(math.atan2(self.b / down, self.a / across))) % 180 == 90


IDENTITY = Matrix(1 << 16, 0, 0, 1 << 16)


@frozen
class Picture:
    """What a video track says about its picture. All may be 0 or nonsense."""

    coded: tuple[int, int]
    """Pixels as they are stored, from the sample entry."""

    presented: tuple[int, int]
    """Pixels before the matrix, from the track's header."""

    pixel: tuple[int, int] | None
    """A pixel's width and height (`pasp`)."""

    matrix: Matrix


def display_size(picture: Picture) -> tuple[int, int] | None:
    """Return width and height on the screen; None if the track does not say."""
    width, height = picture.coded if all(picture.coded) else picture.presented
    if not width or not height:
        return None
    aspect = _pixel_aspect(picture, width, height)
    if not Fraction(1, LARGEST_ASPECT) < aspect < LARGEST_ASPECT:
        aspect = Fraction(1)
    width = max(1, math.floor(width * aspect))
    if max(width, height) > LARGEST_SIDE:
        return None
    return (height, width) if picture.matrix.is_quarter_turn else (width, height)


def _pixel_aspect(picture: Picture, width: int, height: int) -> Fraction:
    """The first of three that says something: `pasp`, an uneven matrix, and a header that differs from the samples."""
    if picture.pixel is not None and all(picture.pixel):
        return Fraction(*picture.pixel)
    across, down = picture.matrix.scales
    if across > 0 and down > 0 and abs(across / down - 1) > 0.01:
        return Fraction(across / down)
    if all(picture.presented):
        return Fraction(picture.presented[0] * height, picture.presented[1] * width)
    return Fraction(1)
