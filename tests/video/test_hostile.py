"""What the service loses if a crafted file costs more than four windows or ends in an exception: every other job waits
while one is read. Time is never measured; windows, bytes and steps are counted in `files.read_all`."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwarm.video import MOST_STEPS, READ_BYTES, Unreadable, Video, VideoReader
from tests.video.boxes import ALL_ONES, box, elst, ftyp, full, mdhd, moof, moov, mvex, mvhd, numbers, stsd, traf, trak
from tests.video.ffmpeg import Videos
from tests.video.files import read_all, read_bytes

TOO_MANY = Unreadable("has more boxes than a video needs", is_mp4=True)


def nested(name: str, depth: int) -> bytes:
    """A box in a box, `depth` times."""
    sizes = range(8 * depth, 0, -8)
    return b"".join(numbers("I", size) + name.encode() for size in sizes)


@pytest.mark.parametrize("size", [1 << 63, (1 << 64) - 1, 1 << 62, 10**15])
def test_a_size_beyond_all_files_ends_the_reading(size: int) -> None:
    assert isinstance(read_bytes(ftyp() + box("mdat", wide=True, size=size) + moov(trak())), Unreadable)
    found = read_bytes(ftyp() + box("moov", mvhd(), trak(), wide=True, size=size))
    assert isinstance(found, Video)
    assert (found.width, found.has_audio) == (64, None)


def test_a_million_tiny_boxes_end_the_reading() -> None:
    tiny = box("free") * 1_000_000
    assert read_bytes(ftyp() + tiny + moov(trak())) == TOO_MANY
    assert read_bytes(ftyp() + box("moov", mvhd(), tiny)) == TOO_MANY
    assert read_bytes(ftyp() + moov(box("trak", tiny))) == TOO_MANY
    assert read_bytes(ftyp() + moov(trak(), mvex(1), header=mvhd(0)) + tiny) == TOO_MANY


def test_boxes_nested_ten_thousand_deep_are_not_followed() -> None:
    for name in ("moov", "trak", "mdia", "free", "stbl", "moof", "traf"):
        deep = nested(name, 10_000)
        assert isinstance(read_bytes(ftyp() + deep), Unreadable)
        assert isinstance(read_bytes(ftyp() + moov(deep, trak())), Unreadable | Video)
        assert isinstance(read_bytes(ftyp() + moov(trak(), mvex(1)) + deep), Video)


def test_an_index_of_200_mb_costs_no_more_than_another() -> None:
    """It is not there in full: a reader that wants it all asks for what this file does not have."""
    header = numbers("I", 200_000_000) + b"moov"
    found = read_bytes(ftyp() + header + mvhd() + trak(tables=box("stsz", size=190_000_000)), 200_000_028)
    assert isinstance(found, Video)
    assert found.width == 64


@pytest.mark.parametrize("length", [0, ALL_ONES, 1])
@pytest.mark.parametrize("timescale", [0, 1, ALL_ONES])
def test_lengths_and_timescales_of_all_kinds_raise_nothing(length: int, timescale: int) -> None:
    edits = box("edts", elst((ALL_ONES, -1), (ALL_ONES, 0)))
    track = trak(between=edits, media=mdhd(length, timescale))
    fragment = moof(traf(1, length, ALL_ONES, ALL_ONES))
    found = read_bytes(ftyp() + moov(track, mvex(1), header=mvhd(length, timescale)) + fragment)
    assert isinstance(found, Video)
    assert found.duration_s is None or 0 < found.duration_s <= 30 * 86_400


def test_counts_that_lie_are_bounded_by_their_boxes() -> None:
    edits = box("edts", full("elst", 0, 0, numbers("I", ALL_ONES), numbers("IiI", 1000, 0, 65536)))
    chapters = box("tref", box("chap", numbers("100I", *range(2, 102))))
    track = trak(between=edits + chapters, description=full("stsd", 0, 0, numbers("I", ALL_ONES), stsd()[16:]))
    found = read_bytes(ftyp() + moov(track, header=mvhd(0)))
    assert isinstance(found, Video)
    assert found.width == 64


@given(st.binary(max_size=300), st.integers(0, 1 << 64))
def test_any_bytes_are_bounded(content: bytes, size_bytes: int) -> None:
    read_bytes(content, size_bytes)
    read_bytes(ftyp() + content, size_bytes)


NAMES = ["ftyp", "moov", "mvhd", "trak", "tkhd", "edts", "elst", "tref", "chap", "mdia", "mdhd", "hdlr", "minf", "stbl"]
NAMES += [
    "stsd",
    "pasp",
    "mvex",
    "mehd",
    "trex",
    "moof",
    "traf",
    "tfhd",
    "tfdt",
    "trun",
    "sidx",
    "mfra",
    "tfra",
    "mfro",
]
NAMES += ["mdat", "free", "uuid", "wide", "cmov"]

leaves = st.one_of(
    st.binary(max_size=120), st.integers(0, 200).map(bytes), st.sampled_from([b"\xff" * 120, mvhd()[8:]])
)
claims = st.one_of(st.none(), st.sampled_from([0, 1, 7, 8, 9, 16, 1 << 31, ALL_ONES]), st.integers(0, 300))


def boxes(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """A box of any name around several others, with its true size or a lie."""
    content = st.lists(inner, max_size=5).map(b"".join)
    return st.builds(lambda name, body, size: box(name, body, size=size), st.sampled_from(NAMES), content, claims)


@given(st.lists(st.recursive(leaves, boxes, max_leaves=20), max_size=6), st.integers(-50, 200_000))
@settings(max_examples=100)
def test_any_boxes_are_bounded(parts: list[bytes], more: int) -> None:
    content = ftyp() + b"".join(parts)
    read_bytes(content, max(0, len(content) + more))


@pytest.mark.parametrize(
    "name", ["h264", "fragmented", "fragmented for DASH", "sound first", "edit list", "prores in MOV"]
)
def test_a_damaged_file_is_bounded(name: str, videos: Videos) -> None:
    """Bytes of the boxes of a real file are changed, cut out, doubled or cut off."""
    content = videos[name].read_bytes()
    draw = random.Random(name)
    begin = content.index(b"moov")
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(draw.choice([1, 1, 2, 8, 64])):
            at = draw.randrange(begin, min(begin + 2000, len(damaged)))
            part = draw.choice(
                [b"", b"\0", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\1", b"\x7f", damaged[at : at + 16] * 2]
            )
            damaged[at : at + draw.choice([len(part), len(part), 0, 4])] = part
        if draw.random() < 0.2:
            del damaged[draw.randrange(len(damaged)) :]
        found = read_bytes(bytes(damaged))
        if isinstance(found, Video) and found.width is not None:
            assert 0 < found.width < 1 << 16 > (found.height or 0) > 0


def test_the_steps_of_the_worst_file_are_counted() -> None:
    """Else the bound on them would bound nothing: one window of empty boxes has more."""
    content = ftyp() + box("free") * (READ_BYTES // 8)
    reader = VideoReader(len(content))
    read_all(reader, lambda offset, length: content[offset : offset + length], len(content))
    assert reader.steps == MOST_STEPS + 1
