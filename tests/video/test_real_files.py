"""What a viewer loses if the reader and ffmpeg disagree: a video in the wrong shape, of 0 seconds, for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamwarm.video import READ_BYTES, Video, VideoReader
from tests.video.ffmpeg import Videos
from tests.video.files import read_all, read_path
from tests.video.shapes import SHAPES, Shape

each_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)


def read(path: Path) -> Video:
    found, _ = read_path(path)
    assert isinstance(found, Video)
    return found


@each_shape
def test_a_video_is_sent_with_the_size_that_ffmpeg_shows(shape: Shape, videos: Videos) -> None:
    video, ffmpeg = read(videos[shape.name]), videos.said(shape.name)
    assert (video.width, video.height, video.has_video) == (ffmpeg.width, ffmpeg.height, ffmpeg.has_video)
    assert (video.width is not None) == video.has_video


@each_shape
def test_a_video_is_sent_with_its_length(shape: Shape, videos: Videos) -> None:
    video, ffmpeg = read(videos[shape.name]), videos.said(shape.name)
    assert video.duration_s == pytest.approx(ffmpeg.seconds, abs=shape.said_slack_s)
    assert video.duration_s == pytest.approx(shape.seconds, abs=shape.slack_s)


@each_shape
def test_a_silent_video_is_known_as_one(shape: Shape, videos: Videos) -> None:
    video, ffmpeg = read(videos[shape.name]), videos.said(shape.name)
    assert video.has_audio == ffmpeg.has_audio
    assert video.is_silent == ("silent" in shape.name or shape.name == "fragments of 150 KB")


@each_shape
def test_a_video_that_plays_before_it_is_whole_is_known_as_one(shape: Shape, videos: Videos) -> None:
    with videos[shape.name].open("rb") as file:
        front = file.read(READ_BYTES)
    index, media = front.find(b"moov"), front.find(b"mdat")
    assert read(videos[shape.name]).streamable == (index >= 0 and (media < 0 or index < media))


@each_shape
def test_a_probe_costs_three_windows_at_most(shape: Shape, videos: Videos) -> None:
    _, reader = read_path(videos[shape.name])
    assert reader.reads <= 3
    assert reader.bytes_read <= 3 * READ_BYTES
    assert reader.steps <= 200


@each_shape
def test_a_front_that_passes_in_pieces_is_not_read_again(shape: Shape, videos: Videos) -> None:
    path = videos[shape.name]
    size = path.stat().st_size
    whole, counted = read_path(path)
    reader, asked = VideoReader(size), []
    with path.open("rb") as file:
        for offset in range(0, min(size, READ_BYTES), 10_000):
            reader.feed(offset, file.read(10_000))

        def read_range(offset: int, length: int) -> bytes:
            asked.append(offset)
            file.seek(offset)
            return file.read(length)

        assert read_all(reader, read_range, size) == whole
    assert len(asked) == counted.reads - 1
    assert all(offset >= READ_BYTES for offset in asked)


def test_there_are_thirty_shapes_and_more_and_the_page_has_each() -> None:
    page = (Path(__file__).parents[2] / "docs" / "videos.md").read_text(encoding="utf-8")
    assert len({shape.name for shape in SHAPES}) == len(SHAPES) >= 30
    assert [shape.name for shape in SHAPES if f"\n| {shape.name} | " not in page] == []
