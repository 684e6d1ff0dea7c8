"""What a viewer loses if size and turn are read otherwise than ffmpeg reads them: a portrait shown as a square or lying
on its side. One real file, its headers changed in every way that turns or stretches the picture."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from attrs import frozen

from streamwarm.video import Video
from tests.video.ffmpeg import Videos, ask
from tests.video.files import read_bytes

ONE = 1 << 16
IDENTITY = (ONE, 0, 0, ONE)
QUARTER, HALF, THREE_QUARTERS = (0, ONE, -ONE, 0), (-ONE, 0, 0, -ONE), (0, -ONE, ONE, 0)


@frozen
class Change:
    """What the headers say, where they do not say what the file said before."""

    name: str
    track: tuple[int, int, int, int] = IDENTITY
    movie: tuple[int, int, int, int] = IDENTITY
    presented: tuple[float, float] = (64, 48)
    pixel: tuple[int, int] | None = None


CHANGES = (
    Change("nothing"),
    Change("a quarter turn", track=QUARTER),
    Change("a half turn", track=HALF),
    Change("three quarters", track=THREE_QUARTERS),
    Change("the movie turned", movie=QUARTER),
    Change("track and movie turned", track=QUARTER, movie=QUARTER),
    Change("track turned forth, movie back", track=QUARTER, movie=THREE_QUARTERS),
    Change("a mirror", track=(-ONE, 0, 0, ONE)),
    Change("a mirror and a quarter turn", track=(0, ONE, ONE, 0)),
    Change("a matrix of zeros", track=(0, 0, 0, 0)),
    Change("a matrix of one column", track=(ONE, 0, ONE, 0)),
    Change("the largest matrix", track=(-(1 << 31), (1 << 31) - 1, (1 << 31) - 1, -(1 << 31))),
    Change("twice as wide by the matrix", track=(2 * ONE, 0, 0, ONE)),
    Change("twice as wide and turned", track=(0, ONE, -2 * ONE, 0)),
    Change("twice as large by the matrix", track=(2 * ONE, 0, 0, 2 * ONE)),
    Change("half a degree off a quarter", track=(300, ONE, -ONE, 300)),
    Change("45 degrees", track=(46341, 46341, -46341, 46341)),
    Change("a header twice as wide", presented=(128, 48)),
    Change("a header half as high", presented=(64, 24)),
    Change("a header of another size in the same shape", presented=(128, 96)),
    Change("a header with parts of pixels", presented=(85.33, 48)),
    Change("a header without a size", presented=(0, 0)),
    Change("pixels 4:3", pixel=(4, 3)),
    Change("pixels 4:3 and a quarter turn", pixel=(4, 3), track=QUARTER),
    Change("pixels 4:3 and a header twice as wide", pixel=(4, 3), presented=(128, 48)),
    Change("pixels 4:3 and twice as wide by the matrix", pixel=(4, 3), track=(2 * ONE, 0, 0, ONE)),
    Change("pixels 0:1", pixel=(0, 1)),
    Change("pixels 1:0", pixel=(1, 0)),
    Change("pixels 8:9", pixel=(8, 9)),
)


def changed(content: bytes, change: Change) -> bytes:
    """The file with these headers; without `pasp` unless the change has one."""
    out = bytearray(content)

    def write_matrix(at: int, matrix: tuple[int, int, int, int]) -> None:
        for place, number in zip((0, 4, 12, 16), matrix, strict=True):
            struct.pack_into(">i", out, at + place, number)

    write_matrix(content.index(b"mvhd") + 4 + 36, change.movie)
    write_matrix(content.index(b"tkhd") + 4 + 40, change.track)
    struct.pack_into(">II", out, content.index(b"tkhd") + 4 + 76, *(int(side * ONE) for side in change.presented))
    pixel = content.index(b"pasp")
    if change.pixel is None:
        out[pixel : pixel + 4] = b"free"
    else:
        struct.pack_into(">II", out, pixel + 4, *change.pixel)
    return bytes(out)


def test_a_picture_is_turned_and_stretched_as_ffmpeg_does_it(videos: Videos, tmp_path: Path) -> None:
    content = videos["mpeg4"].read_bytes()
    paths = []
    for number, change in enumerate(CHANGES):
        paths.append(tmp_path / f"{number}.mp4")
        paths[-1].write_bytes(changed(content, change))
    ours, theirs = {}, {}
    for change, path, ffmpeg in zip(CHANGES, paths, ask(paths), strict=True):
        video = read_bytes(path.read_bytes())
        assert isinstance(video, Video)
        ours[change.name] = video.width, video.height
        theirs[change.name] = ffmpeg.width, ffmpeg.height
    assert ours == theirs


@pytest.mark.parametrize("pixel", [(17, 1), (1, 17), (1 << 32 - 1, 1)])
def test_pixels_longer_than_any_are_square_as_in_telegram_desktop(pixel: tuple[int, int], videos: Videos) -> None:
    video = read_bytes(changed(videos["mpeg4"].read_bytes(), Change("long pixels", pixel=pixel)))
    assert isinstance(video, Video)
    assert (video.width, video.height) == (64, 48)
