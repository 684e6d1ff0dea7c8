"""What a user loses without these: a video that Telegram keeps as a file without a type, because its key has no
extension; or a name that breaks out of its field."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwarm.model import Kind
from streamwarm.send.telegram.multipart import frame_file
from streamwarm.send.telegram.names import file_name, is_lost_with_an_address

TYPES = [
    "video/mp4",
    "image/jpeg; charset=binary",
    "AUDIO/MPEG",
    "application/octet-stream",
    "",
    None,
    "x/y",
    "text/plain",
]

hostile = st.text("./\\;\"'a\u202e\u200d\n\t\0 é😀%", max_size=300)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=400) | hostile | st.just("x" * 5000)


@given(key=names.filter(bool), named=st.none() | names, kind=st.sampled_from(Kind), content_type=st.sampled_from(TYPES))
def test_every_name_is_short_harmless_and_one_segment(
    key: str, named: str | None, kind: Kind, content_type: str | None
) -> None:
    name = file_name(key, kind, content_type=content_type, named=named)
    assert 0 < len(name) <= 200
    assert name.isprintable()
    assert not set(name) & set('/\\";')
    assert name.strip(". ")
    frame = frame_file([], file_field="video", file_name=name, file_type="a/b", boundary="b" * 32)
    assert f'filename="{name}"\r\n'.encode() in frame.head  # as it is: nothing in it needs an escape


@given(stem=st.text("éкж漢 .-_", max_size=300), kind=st.sampled_from(Kind))
def test_a_key_without_an_extension_gets_that_of_its_content_type(stem: str, kind: Kind) -> None:
    name = file_name(f"media/{stem}", kind, content_type="video/mp4")
    assert name.endswith(".mp4")
    assert len(name) <= 200


@pytest.mark.parametrize(
    ("key", "kind", "content_type", "name"),
    [
        ("media/clip", Kind.VIDEO, "video/mp4", "clip.mp4"),
        ("media/клип", Kind.VIDEO, "video/quicktime", "клип.mov"),
        ("片/映画", Kind.DOCUMENT, "application/pdf", "映画.pdf"),
        ("media/2024.01.15", Kind.VIDEO, "video/mp4", "2024.01.15.mp4"),
        ("media/clip.v2", Kind.VIDEO, "video/mp4", "clip.v2.mp4"),
        ("media/notes.v2", Kind.DOCUMENT, "text/plain", "notes.v2"),
        ("media/Mr. Smith goes to", Kind.VIDEO, "video/mp4", "Mr. Smith goes to.mp4"),
        ("media/song", Kind.AUDIO, "audio/mpeg; x=y", "song.mp3"),
        ("media/song", Kind.AUDIO, "Audio/Mp4", "song.m4a"),
        ("media/clip.mov", Kind.VIDEO, "video/mp4", "clip.mov"),
        ("media/CLIP.MP4", Kind.VIDEO, "video/mp4", "CLIP.MP4"),
        ("media/clip", Kind.VIDEO, "application/octet-stream", "clip"),
        ("media/clip", Kind.VIDEO, None, "clip"),
        ("media/clip.", Kind.VIDEO, "video/mp4", "clip.mp4"),
        ("media/..", Kind.VIDEO, "video/mp4", "video.mp4"),
        ("media/.hidden", Kind.DOCUMENT, "text/plain", ".hidden.txt"),
        ("media/archive.tar.gz", Kind.DOCUMENT, "application/gzip", "archive.tar.gz"),
        ('media/q;"\\', Kind.DOCUMENT, "application/pdf", "q___.pdf"),
        ("x" * 1000, Kind.VIDEO, "video/mp4", "x" * 196 + ".mp4"),
    ],
)
def test_telegram_can_tell_the_type_by_the_name(key: str, kind: Kind, content_type: str | None, name: str) -> None:
    assert file_name(key, kind, content_type=content_type) == name


@pytest.mark.parametrize(
    ("named", "name"),
    [
        ("Holiday.mp4", "Holiday.mp4"),
        ("Holiday", "Holiday.mp4"),
        ("../../etc/passwd", "passwd.mp4"),
        ("/tmp/clip.mov", "clip.mov"),
        ("C:\\Users\\ann\\clip.mp4", "clip.mp4"),
        ("a\r\nX-Evil: 1.mp4", "a__X-Evil: 1.mp4"),
        ("nul\0.mp4", "nul_.mp4"),
        ('say "hi".mp4', "say _hi_.mp4"),
        ("a; name=chat_id; b.mp4", "a_ name=chat_id_ b.mp4"),
        ("😀 party 🎉.mp4", "😀 party 🎉.mp4"),
        ("👨\u200d👩\u200d👧.mp4", "👨👩👧.mp4"),
        ("gpj\u202e.mp4", "gpj_.mp4"),
        ("x" * 5000, "x" * 196 + ".mp4"),
        ("x" * 5000 + ".mov", "x" * 196 + ".mov"),
        ("", "key.mp4"),
        ("..", "key.mp4"),
        ("///", "key.mp4"),
        ("  ", "key.mp4"),
    ],
)
def test_a_named_file_is_shown_under_its_name_and_nothing_else(named: str, name: str) -> None:
    assert file_name("media/key.mp4", Kind.VIDEO, content_type="video/mp4", named=named) == name


@pytest.mark.parametrize(
    ("key", "kind", "named", "lost"),
    [
        ("media/clip.mp4", Kind.VIDEO, None, False),
        ('media/"q".mp4', Kind.VIDEO, None, False),
        ("media/clip.mp4", Kind.VIDEO, "clip.mp4", False),
        ("media/clip.mp4", Kind.VIDEO, "Holiday.mp4", True),
        ("media/clip", Kind.VIDEO, None, True),
        ("media/clip", Kind.PHOTO, "Holiday.jpg", False),
        ("media/clip", Kind.VOICE, None, False),
    ],
)
def test_a_name_that_an_address_does_not_carry_is_not_given_up(
    key: str, kind: Kind, named: str | None, lost: bool
) -> None:
    name = file_name(key, kind, content_type="video/mp4", named=named)
    assert is_lost_with_an_address(key, kind, name) is lost
