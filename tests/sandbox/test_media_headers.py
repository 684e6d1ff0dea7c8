"""What the emulator reads from media: right for whatever pieces they come in, bounded for whatever they claim."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwarm.sandbox.image_header import MAX_HEAD_BYTES, Image, ImageReader
from streamwarm.sandbox.movie_header import MAX_MOOV_BYTES, MAX_OFFSET_BYTES, Movie, MovieReader
from tests.worlds.media_files import UPRIGHT, box, gif, jpeg, moov, movie, png, track

FTYP = box(b"ftyp", b"isom", bytes(4))
PICTURE = track(b"vide", 640, 360)
SOUND = track(b"soun")
MIB = 2**20


def read(content: bytes, piece_bytes: int = 10**9) -> Movie | None:
    reader = MovieReader()
    for start in range(0, len(content), piece_bytes):
        reader.feed(memoryview(content)[start : start + piece_bytes])
    return reader.result()


MOVIES = {
    "first": FTYP + moov(PICTURE, SOUND),
    "last": FTYP + box(b"free") + box(b"mdat", bytes(5000)) + moov(PICTURE, SOUND),
    "without ftyp": moov(PICTURE, SOUND) + box(b"mdat"),
    "behind small boxes": box(b"wide") * 3 + moov(PICTURE, SOUND),
    "in 64 bits": FTYP + struct.pack(">I4sQ", 1, b"mdat", 24) + bytes(8) + moov(PICTURE, SOUND, version=1),
    "sound first": FTYP + moov(SOUND, PICTURE),
    "long tracks": FTYP + moov(track(b"vide", 640, 360, version=1), SOUND),
}


@pytest.mark.parametrize("content", MOVIES.values(), ids=MOVIES)
@pytest.mark.parametrize("piece_bytes", [1, 7, 16, 1000, 10**9])
def test_a_movie_is_read_wherever_its_boxes_stand_and_it_is_cut(content: bytes, piece_bytes: int) -> None:
    assert read(content, piece_bytes) == Movie(640, 360, 3, has_sound=True)


def test_an_upright_a_silent_and_a_soundless_movie_are_told_apart() -> None:
    assert read(FTYP + moov(track(b"vide", 640, 360, UPRIGHT))) == Movie(360, 640, 3, has_sound=False)
    assert read(FTYP + moov(SOUND, seconds=5)) == Movie(0, 0, 5, has_sound=True)
    assert read(FTYP + moov(PICTURE, seconds=0)) == Movie(640, 360, 0, has_sound=False)


@given(st.sampled_from(list(MOVIES.values())), st.integers(min_value=0), st.binary(min_size=1, max_size=12))
def test_a_damaged_movie_never_harms_the_reader(content: bytes, at: int, damage: bytes) -> None:
    start = at % len(content)
    damaged = content[:start] + damage + content[start + len(damage) :]
    found = read(damaged, 100)
    assert found is None or 0 <= found.width <= 0xFFFF


@pytest.mark.parametrize("size", [0, 1, 2, 7, 2**31, 2**32 - 1])
def test_boxes_that_lie_about_their_size_end_the_reading(size: int) -> None:
    for kind in (b"moov", b"mdat", b"free"):
        assert read(FTYP + struct.pack(">I4s", size, kind) + bytes(100)) is None
        assert read(box(b"moov", struct.pack(">I4s", size, kind) + bytes(100))) is None


def test_a_vast_moov_a_million_boxes_and_far_ones_cost_bounded_memory() -> None:
    tiny = box(b"free") * 100_000
    reader = MovieReader()
    tracemalloc.start()
    reader.feed(FTYP + struct.pack(">I4s", 200 * MIB, b"moov"))
    for _ in range(20):
        reader.feed(bytes(MIB))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 2 * MAX_MOOV_BYTES + 2 * MIB
    assert reader.is_done
    assert read(tiny) is None
    assert read(box(b"moov", tiny)) is None
    assert read(box(b"moov", *[struct.pack(">I4s", 80_000 - 8 * n, b"trak") for n in range(10_000)])) is not None
    assert read(FTYP + struct.pack(">I4s", MAX_OFFSET_BYTES, b"mdat") + bytes(50)) is None


@pytest.mark.parametrize("piece_bytes", [1, 5000, 10**9])
@pytest.mark.parametrize(
    ("content", "found"),
    [
        (jpeg(300, 200), Image("jpeg", 300, 200)),
        (jpeg(300, 200, exif_bytes=150_000, size_bytes=199_000), Image("jpeg", 300, 200)),
        (jpeg(300, 200, exif_bytes=MAX_HEAD_BYTES), None),
        (png(30, 20), Image("png", 30, 20)),
        (gif(30, 20) + bytes(10_000), Image("gif", 30, 20)),
        (movie(), None),
        (b"", None),
    ],
    ids=["jpeg", "late jpeg", "too late jpeg", "png", "gif", "movie", "nothing"],
)
def test_a_picture_is_read_in_any_pieces_as_far_as_a_thumbnail_goes(
    content: bytes, found: Image | None, piece_bytes: int
) -> None:
    reader = ImageReader()
    for start in range(0, len(content), piece_bytes):
        reader.feed(content[start : start + piece_bytes])
    assert reader.result() == found
