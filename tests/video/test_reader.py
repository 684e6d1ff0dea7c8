"""What an upload loses if the reader's protocol is loose: it waits for bytes that never come, or reads some twice."""

from __future__ import annotations

import pytest

from streamwarm.video import MOST_READS, READ_BYTES, Unreadable, Video, VideoReader, Wanted, probe_video
from tests.video.boxes import box, ftyp, moov, trak
from tests.video.ffmpeg import Videos
from tests.video.files import read_bytes

HOLE = 3_000_000
FRONT = ftyp() + box("mdat", size=HOLE)
INDEX = moov(trak(), trak(2, "soun"))
SIZE = len(ftyp()) + HOLE + len(INDEX)


def part(offset: int, length: int) -> bytes:
    """Bytes of a file whose index stands behind three megabytes of media."""
    content = FRONT + bytes(max(0, offset + length - len(FRONT)))
    if offset >= len(ftyp()) + HOLE:
        return INDEX[offset - len(ftyp()) - HOLE :][:length]
    return content[offset : offset + length]


def test_the_index_behind_the_media_is_read_at_the_place_that_sizes_give() -> None:
    reader = VideoReader(SIZE)
    assert reader.next_read() == reader.next_read() == Wanted(0, READ_BYTES)
    reader.feed(0, part(0, READ_BYTES))
    assert reader.next_read() == Wanted(len(ftyp()) + HOLE, len(INDEX))
    reader.feed(len(ftyp()) + HOLE, INDEX)
    assert reader.next_read() is None
    assert reader.result == Video(64, 48, 2.0, False, True, True, "isom")
    assert (reader.reads, reader.bytes_read) == (2, READ_BYTES + len(INDEX))


def test_a_result_that_is_not_there_yet_is_an_error_of_the_caller() -> None:
    reader = VideoReader(SIZE)
    with pytest.raises(RuntimeError, match="still wants bytes"):
        _ = reader.result


def test_bytes_that_were_not_asked_for_change_nothing() -> None:
    reader = VideoReader(SIZE)
    reader.feed(500, b"not the front")
    reader.feed(0, part(0, 1000))
    reader.feed(0, b"the front again")
    reader.feed(1000, part(1000, READ_BYTES))
    assert reader.next_read() == Wanted(len(ftyp()) + HOLE, len(INDEX))
    reader.feed(0, part(0, READ_BYTES))
    reader.feed(77, INDEX)
    assert reader.next_read() == Wanted(len(ftyp()) + HOLE, len(INDEX))
    reader.feed(len(ftyp()) + HOLE, INDEX + b"more")
    assert isinstance(reader.result if reader.next_read() is None else None, Video)
    reader.feed(0, b"late")
    assert (reader.reads, reader.bytes_read) == (2, READ_BYTES + len(INDEX))


def test_an_object_that_ends_sooner_than_its_size_ends_the_reading() -> None:
    reader = VideoReader(SIZE)
    reader.feed(0, part(0, READ_BYTES))
    assert reader.next_read() is not None
    reader.feed(len(ftyp()) + HOLE, b"")
    assert reader.next_read() is None
    assert reader.result == Unreadable("ends before its movie header (moov) does", is_mp4=True)


@pytest.mark.parametrize("size", [-1, 0, 1, 7])
def test_a_file_shorter_than_a_box_is_no_video(size: int) -> None:
    reader = VideoReader(size)
    while (want := reader.next_read()) is not None:
        reader.feed(want.offset, bytes(want.length))
    assert reader.result == Unreadable("is not an MP4 or MOV file", is_mp4=False)


def test_a_file_cut_off_anywhere_is_read_or_says_why(videos: Videos) -> None:
    content = videos["h264, index first"].read_bytes()
    found = [read_bytes(content[:length]) for length in range(0, content.index(b"mdat") + 100, 3)]
    assert all(
        one.is_mp4 == (length >= 8)
        for length, one in zip(range(0, len(content), 3), found, strict=False)
        if isinstance(one, Unreadable)
    )
    assert {(one.width, one.height) for one in found if isinstance(one, Video)} <= {(64, 48), (None, None)}
    whole = read_bytes(content)
    assert found[-1] == whole
    assert {one.has_audio for one in found if isinstance(one, Video)} == {None, True}


class Bucket:
    """A bucket with one object, and the ranges that were read of it."""

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int]] = []

    async def read(self, offset: int, length: int) -> bytes:
        self.ranges.append((offset, length))
        return part(offset, length)


async def test_a_probe_awaits_its_reads() -> None:
    bucket = Bucket()
    found = await probe_video(bucket.read, SIZE)
    assert isinstance(found, Video)
    assert bucket.ranges == [(0, READ_BYTES), (len(ftyp()) + HOLE, len(INDEX))]


async def test_a_front_at_hand_saves_a_probe_its_first_read() -> None:
    bucket = Bucket()
    found = await probe_video(bucket.read, SIZE, front=part(0, READ_BYTES))
    assert isinstance(found, Video)
    assert len(bucket.ranges) == 1


async def test_a_short_front_is_continued() -> None:
    bucket = Bucket()
    found = await probe_video(bucket.read, SIZE, front=part(0, 10))
    assert isinstance(found, Video)
    assert bucket.ranges[0] == (10, READ_BYTES)


async def test_what_a_read_raises_passes_through_a_probe() -> None:
    async def changed(offset: int, length: int) -> bytes:
        raise ConnectionError("412: the object changed")

    with pytest.raises(ConnectionError, match="changed"):
        await probe_video(changed, SIZE)


async def test_a_probe_of_a_source_that_always_has_more_ends() -> None:
    calls = []

    async def endless(offset: int, length: int) -> bytes:
        calls.append(offset)
        return (box("mdat", size=2 * READ_BYTES) + bytes(length))[:length]

    assert isinstance(await probe_video(endless, 1 << 60), Unreadable)
    assert len(calls) == MOST_READS
