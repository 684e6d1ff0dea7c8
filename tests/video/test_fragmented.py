"""What a viewer loses if a fragmented file's length is not found: a video of 0 seconds that can't be sought in."""

from __future__ import annotations

import pytest

from streamwarm.video import READ_BYTES, Video
from tests.video.boxes import ALL_ONES, box, ftyp, full, moof, moov, mvex, mvhd, numbers, sidx, tkhd, traf, trak
from tests.video.boxes import mdhd as media_header
from tests.video.files import read_bytes

EMPTY = {"header": tkhd(1, 0), "media": media_header(0)}
MEDIA = box("mdat", bytes(1000))


def front(extends: bytes = mvex(1), *more: bytes) -> bytes:
    """An empty `moov` of a fragmented file."""
    return ftyp("iso5") + moov(trak(1, **EMPTY), *more, extends, header=mvhd(0))


def length(*parts: bytes) -> float | None:
    found = read_bytes(b"".join(parts))
    assert isinstance(found, Video), found
    assert found.streamable
    return found.duration_s


def mfra(*tracks: tuple[int, int, int], version: int = 1) -> bytes:
    """The index at the end, of (track, time, place) of the last fragment, behind the file's first."""
    form = "QQBBB" if version else "IIBBB"
    tables = [
        full(
            "tfra",
            version,
            0,
            numbers("III", track, 0, 2),
            numbers(form, 0, 0, 1, 1, 1),
            numbers(form, time, at, 1, 1, 1),
        )
        for track, time, at in tracks
    ]
    size = 8 + sum(map(len, tables)) + 16
    return box("mfra", *tables, full("mfro", 0, 0, numbers("I", size)))


@pytest.mark.parametrize(("version", "form"), [(0, "I"), (1, "Q")])
def test_a_length_stated_in_the_index_is_taken(version: int, form: str) -> None:
    stated = mvex(1, stated=full("mehd", version, 0, numbers(form, 7000)))
    # `mehd` is in the movie's timescale, which an empty movie has too.
    assert length(front(stated), moof(traf(1, 0, 1000)), MEDIA) == 7.0


@pytest.mark.parametrize("version", [0, 1])
def test_an_index_of_the_whole_file_gives_the_length(version: int) -> None:
    parts = moof(traf(1, 0, 1000)) + MEDIA
    index = sidx((len(parts), 2500), (len(parts), 1500), version=version)
    assert length(front(), index, parts, parts) == 4.0
    behind = mfra((1, 1000, 0))
    assert length(front(), index, parts, parts, behind) == 4.0


def test_an_index_of_one_segment_is_not_taken_for_that_of_the_file() -> None:
    """Segments that were joined, each with its own index."""
    joined = b""
    for begin in (0, 1000, 2000):
        parts = moof(traf(1, begin, 1000)) + MEDIA
        joined += box("styp", b"msdh") + sidx((len(parts), 1000)) + parts
    assert length(front(), joined) == 3.0


def test_the_last_fragment_gives_the_length() -> None:
    parts = [moof(traf(1, begin, 400, 600)) + MEDIA for begin in (0, 1000, 2000)]
    assert length(front(), *parts) == 3.0
    assert length(front(mvex(1, sample=0)), *parts) == 3.0


@pytest.mark.parametrize("version", [0, 1])
def test_the_last_fragment_is_found_by_the_index_at_the_end(version: int) -> None:
    """It is longer than a window, so that no search from the end finds it."""
    long = box("mdat", bytes(3 * READ_BYTES))
    begin = front()
    first = moof(traf(1, 0, 1000)) + long
    last = moof(traf(1, 1000, 1000), traf(2, 0, 99)) + long
    assert length(begin, first, last, mfra((1, 1000, len(begin + first)), version=version)) == 2.0
    assert length(begin, first, last) is None


def test_a_file_cut_out_of_a_longer_one_has_the_length_of_what_it_shows() -> None:
    parts = [moof(traf(1, 3_600_000 + begin, 1000)) + MEDIA for begin in (0, 1000)]
    assert length(front(), *parts) == 2.0


def test_samples_without_a_length_have_that_of_their_fragment_or_track() -> None:
    def fragment(begin: int, flags: int, stated: bytes) -> bytes:
        header = full("tfhd", 0, flags, numbers("I", 1), stated)
        run = full("trun", 0, 0x200, numbers("I", 4), numbers("4I", 10, 10, 10, 10))
        return moof(box("traf", header, full("tfdt", 0, 0, numbers("I", begin)), run)) + MEDIA

    extends = mvex(1, sample=250)
    assert length(front(extends), fragment(0, 0, b""), fragment(1000, 0, b"")) == 2.0
    assert length(front(extends), fragment(0, 0, b""), fragment(1000, 0x08, numbers("I", 500))) == 3.0
    all_fields = numbers("QII", 0, 1, 500)
    assert length(front(extends), fragment(0, 0, b""), fragment(1000, 0x0B, all_fields)) == 3.0


def test_a_first_fragment_inside_the_index_counts() -> None:
    begun = ftyp() + moov(trak(), mvex(1), header=mvhd(2000))
    assert length(begun, MEDIA, moof(traf(1, 2000, 1000)), MEDIA) == 3.0
    assert length(begun, MEDIA) == 2.0


@pytest.mark.parametrize(
    "last",
    [
        moof(),
        moof(box("traf")),
        moof(traf(9, 0, 1000)),
        moof(traf(1, 1 << 63, 1000)),
        moof(box("traf", full("tfhd", 0, 0, numbers("I", 1)), full("trun", 0, 0x100, numbers("I", 5)))),
        moof(box("traf", full("tfhd", 0, 0, numbers("I", 1)), full("trun", 0, 0x100, numbers("I", ALL_ONES)))),
        box("moof", full("mfhd", 0, 0, numbers("I", 1)), size=0),
        mfra((1, 0, ALL_ONES), version=0),
        mfra((1, 0, 1 << 63)),
        mfra((1, 0, 5)),
        full("mfro", 0, 0, numbers("I", ALL_ONES)),
        full("mfro", 0, 0, numbers("I", 0)),
        sidx(*[(1 << 31 - 1, ALL_ONES)] * 100),
        sidx((0, 1000), timescale=0),
        box("free", size=3),
    ],
)
def test_fragments_that_make_no_sense_cost_the_length_alone(last: bytes) -> None:
    for between in (MEDIA, b""):
        found = read_bytes(front() + between + last)
        assert isinstance(found, Video)
        assert (found.width, found.height, found.duration_s) == (64, 48, None)


def test_a_fragment_with_more_samples_than_a_window_goes_on_as_it_began() -> None:
    many = 30_000
    begin = front()
    found = length(begin, moof(traf(1, 0, *[40] * many)), MEDIA, mfra((1, 0, len(begin))))
    assert found == pytest.approx(many * 0.04)
