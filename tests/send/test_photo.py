"""What a user loses without these: a photo that Telegram would take is refused here, or one that it refuses is uploaded
first."""

from __future__ import annotations

import base64
import random
import struct
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.model import Kind
from streamwarm.sandbox.image_header import image_size
from streamwarm.send.destination import Media
from streamwarm.send.telegram import photo
from streamwarm.send.telegram.photo import Dimensions, Lacking, NoImage, Unreadable, look_at, why_not_a_photo
from streamwarm.send.telegram.preflight import PhotoCheck
from streamwarm.send.telegram.refusals import read_error

PICTURES = Path(__file__).with_name("pictures.b85").read_text(encoding="ascii").splitlines()
"""Of 37 × 23 pixels each, as Pillow 13 writes them."""

FILES = {name: base64.b85decode(text) for name, text in (line.split("\t") for line in PICTURES)}


def png(width: int, height: int, *_: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + bytes(16)


def gif(width: int, height: int, *_: bytes) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(30)


def webp(width: int, height: int, *_: bytes) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + size + bytes(10)


def jpeg(width: int, height: int, *before: bytes) -> bytes:
    segments = b"".join(b"\xff\xe2" + struct.pack(">H", len(data) + 2) + data for data in before)
    return b"\xff\xd8" + segments + b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, height, width, 1) + bytes(40)


@pytest.mark.parametrize("name", FILES)
def test_the_size_of_a_real_picture_is_read_from_its_front(name: str) -> None:
    assert look_at(FILES[name]) == Dimensions(37, 23)


@given(name=st.sampled_from(sorted(FILES)), cut=st.integers(0, 1000))
def test_a_picture_that_is_cut_off_is_never_misread(name: str, cut: int) -> None:
    finding = look_at(FILES[name][: photo.FIRST_BYTES + cut])
    assert finding == Dimensions(37, 23) or (isinstance(finding, Lacking) and "JPEG" in name)


sides = st.integers(1, 0x3FFF)


@given(
    width=sides,
    height=sides,
    make=st.sampled_from([png, gif, webp, jpeg]),
    profile=st.lists(st.integers(0, 65533), max_size=3),
)
def test_every_size_is_read_as_another_reader_reads_it(
    width: int, height: int, make: Callable[..., bytes], profile: list[int]
) -> None:
    front = make(width, height, *(bytes(size) for size in profile))
    assert look_at(front) == Dimensions(width, height)
    assert image_size(front) == (width, height)


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBP"]),
)
def test_no_file_at_all_makes_it_crash_and_bytes_of_no_form_are_telegrams_to_judge(data: bytes, mark: bytes) -> None:
    finding = look_at(mark + data)
    if isinstance(finding, Lacking):
        assert mark.startswith(b"\xff\xd8")
        assert finding.bytes > len(mark + data)
    if not mark and isinstance(finding, Unreadable):
        assert why_not_a_photo(finding) is None


@pytest.mark.parametrize(
    ("width", "height", "told"),
    [(9000, 1001, "10000 in width and height"), (2101, 100, "20 times"), (100, 2101, "20 times"), (9999, 2, "10000")],
)
def test_a_picture_beyond_telegrams_limits_is_told_with_its_size(width: int, height: int, told: str) -> None:
    why = why_not_a_photo(Dimensions(width, height))
    assert why is not None
    assert f"{width} × {height}" in why
    assert told in why


@pytest.mark.parametrize(("width", "height"), [(9000, 1000), (2000, 100), (100, 2000), (1, 1)])
def test_a_picture_at_telegrams_limits_is_a_photo(width: int, height: int) -> None:
    assert why_not_a_photo(Dimensions(width, height)) is None


@pytest.mark.parametrize(
    "front",
    [
        b"%PDF-1.7\n" + bytes(40),
        b"PK\x03\x04" + bytes(40),
        b"\0\0\0\x18ftypmp42" + bytes(40),
        b"\n <!DOCTYPE html><html>" + bytes(40),
        b"RIFF\0\0\0\0AVI LIST" + bytes(40),
        b"\x1aE\xdf\xa3" + bytes(40),
    ],
)
def test_a_file_of_another_format_is_no_photo(front: bytes) -> None:
    assert isinstance(look_at(front), NoImage)
    assert "not a picture" in (why_not_a_photo(look_at(front)) or "")


@pytest.mark.parametrize(
    "front",
    [
        b"\0\0\0\x18ftypheic" + bytes(40),  # Telegram may learn to take it
        b"BM" + bytes(40),
        b"just bytes" + bytes(40),
        png(0, 10),
        b"\x89PNG\r\n\x1a\n\0\0\0\x04CgBI" + bytes(40),
        b"\xff\xd8\xff\xda" + bytes(40),
        b"RIFF\0\0\0\0WEBPVP8L" + b"\xff" * 40,
        b"RIFF\0\0\0\0WEBPVP8 " + b"\xff" * 40,
        b"\xff\xd8" + b"\xff" * 1_000_000,
        b"\xff\xd8" + b"\xff\xe0\0\x02" * 100_000,
        b"\xff\xd8" + b"\xff\xe0\0\0" * 10 + bytes(40),
    ],
)
def test_what_cannot_be_read_is_left_to_telegram(front: bytes) -> None:
    assert isinstance(look_at(front), Unreadable | Lacking)
    assert why_not_a_photo(look_at(front)) is None


@define
class Front:
    """A body of which only the front is ever asked for; gives `step` bytes more each time."""

    data: bytes
    step: int = 1
    peeks: int = 0
    held: int = 0
    bytes_out: int = 0
    object_sent: bool = False

    async def peek(self, count: int) -> bytes:
        self.peeks += 1
        while self.held < min(count, len(self.data)):
            self.held = min(self.held + self.step, len(self.data))
        return self.data[: self.held]

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        raise AssertionError("nothing may be sent")
        yield b""


def media(options: dict[str, str] | None = None, size_bytes: int = 5000) -> Media:
    return Media("job-1", Kind.PHOTO, "a.jpg", size_bytes, "image/jpeg", options or {})


async def test_a_size_behind_a_camera_and_a_profile_of_half_a_megabyte_is_found() -> None:
    noise = random.Random(1)
    front = Front(jpeg(12_000, 300, *(noise.randbytes(65_000) for _ in range(9))), step=9000)
    with pytest.raises(DestinationError) as refused:
        await PhotoCheck().kind_to_send(media(), front)
    assert refused.value.code is ErrorCode.BAD_PHOTO
    assert "12000 × 300" in refused.value.message
    assert 'options.fallback to "document"' in refused.value.message


async def test_never_more_than_a_megabyte_is_held_of_a_photo_that_hides_its_size() -> None:
    hidden = Front(jpeg(12_000, 300, *(bytes(65_000) for _ in range(40))), step=100_000)
    assert await PhotoCheck().kind_to_send(media(), hidden) is Kind.PHOTO
    assert hidden.held <= photo.MOST_BYTES + hidden.step


async def test_a_photo_of_countless_tiny_segments_is_looked_at_a_few_times_only() -> None:
    hostile = Front(b"\xff\xd8" + b"\xff\xe0\0\x02" * 200_000, step=1)
    assert await PhotoCheck().kind_to_send(media(), hostile) is Kind.PHOTO
    assert hostile.peeks < 20


async def test_a_picture_telegram_would_refuse_goes_as_a_document_where_the_job_allows_it() -> None:
    check = PhotoCheck()
    fallback = media({"fallback": "document"})
    assert await check.kind_to_send(fallback, Front(png(12_000, 300))) is Kind.DOCUMENT
    assert await check.kind_to_send(fallback, Front(b"%PDF-1.7" + bytes(40))) is Kind.DOCUMENT
    assert await check.kind_to_send(fallback, Front(png(1200, 300))) is Kind.PHOTO
    assert await check.kind_to_send(media({"fallback": "document"}, 11_000_000), Front(b"")) is Kind.DOCUMENT


async def test_a_photo_that_telegram_itself_refused_goes_as_a_document_the_next_time() -> None:
    check = PhotoCheck()
    refusal = DestinationError(ErrorCode.BAD_PHOTO, "IMAGE_PROCESS_FAILED")
    assert check.after_refusal(refusal, media(), Kind.PHOTO) is refusal
    again = check.after_refusal(refusal, media({"fallback": "document"}), Kind.PHOTO)
    assert (again.permanent, again.counts) == (False, False)
    assert await check.kind_to_send(media({"fallback": "document"}), Front(png(1200, 300))) is Kind.DOCUMENT
    # As a document there is nothing left to fall back on.
    assert check.after_refusal(refusal, media({"fallback": "document"}), Kind.DOCUMENT) is refusal


NO_MEDIA = "Bad Request: wrong file identifier/HTTP URL specified"
"""What the server makes of MEDIA_EMPTY, Telegram's word for a file that is not the photo it is sent as."""


def no_media() -> DestinationError:
    return read_error(400, {"error_code": 400, "description": NO_MEDIA})


async def test_an_uploaded_photo_that_telegram_cannot_use_goes_as_a_document_where_the_job_allows_it() -> None:
    check, fallback = PhotoCheck(), media({"fallback": "document"})
    again = check.after_refusal(no_media(), fallback, Kind.PHOTO)
    assert (again.code, again.permanent, again.counts) == (ErrorCode.BAD_PHOTO, False, False)
    assert NO_MEDIA in again.message
    assert await check.kind_to_send(fallback, Front(png(1200, 300))) is Kind.DOCUMENT


async def test_an_uploaded_photo_that_telegram_cannot_use_fails_with_the_remedy_where_the_job_allows_no_document() -> (
    None
):
    check = PhotoCheck()
    refusal = check.after_refusal(no_media(), media(), Kind.PHOTO)
    assert (refusal.code, refusal.permanent) == (ErrorCode.BAD_PHOTO, True)
    assert 'options.fallback to "document"' in refusal.message
    assert await check.kind_to_send(media(), Front(png(1200, 300))) is Kind.PHOTO


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.PHOTO])
@pytest.mark.parametrize("options", [{}, {"fallback": "document"}])
def test_the_same_words_about_another_kind_are_no_photos(kind: Kind, options: dict[str, str]) -> None:
    refusal = no_media()
    sent = Media("job-1", kind, "a.bin", 5000, None, options)
    assert PhotoCheck().after_refusal(refusal, sent, kind) is refusal
    assert (refusal.code, refusal.permanent) == (ErrorCode.DESTINATION_REFUSED, True)
