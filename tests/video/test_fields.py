"""What a viewer loses if a rarer way to write a file is not understood: size, length or sound of the video."""

from __future__ import annotations

import pytest

from streamwarm.video import READ_BYTES, Unreadable, Video, VideoReader
from tests.video.boxes import ALL_ONES, box, elst, ftyp, full, mdhd, moov, mvhd, numbers, stsd, tkhd, trak
from tests.video.files import read_all, read_bytes

MEDIA = box("mdat", bytes(1000))
SOUND = trak(2, "soun", description=stsd(name="mp4a"))
LONG_TABLES = box("stsz", bytes(3 * READ_BYTES))


def video(*parts: bytes) -> Video:
    found = read_bytes(b"".join(parts))
    assert isinstance(found, Video), found
    return found


def test_a_plain_file_is_read() -> None:
    assert video(ftyp(), moov(trak(), SOUND), MEDIA) == Video(64, 48, 2.0, True, True, True, "isom")


@pytest.mark.parametrize("version", [0, 1])
def test_headers_of_both_versions_are_read(version: int) -> None:
    track = trak(header=tkhd(1, version=version, size=(80, 60)), media=mdhd(version=version), description=stsd((0, 0)))
    found = video(ftyp(), moov(track, header=mvhd(2500, version=version)), MEDIA)
    assert (found.width, found.height, found.duration_s) == (80, 60, 2.5)


def test_a_length_beyond_32_bits_is_read() -> None:
    assert video(ftyp(), moov(trak(), header=mvhd(10**13, 10**9, version=1)), MEDIA).duration_s == 10_000


@pytest.mark.parametrize(("version", "unknown"), [(0, 0), (0, ALL_ONES), (1, 0), (1, (1 << 64) - 1), (0, 1 << 31)])
class TestAMovieWithoutALength:
    """`mvhd` has 0, all ones, or more than a month."""

    def test_has_that_of_its_longest_track(self, version: int, unknown: int) -> None:
        header = mvhd(unknown, 1 if unknown == 1 << 31 else 1000, version=version)
        tracks = (
            trak(header=tkhd(1, 0), media=mdhd(3000)),
            trak(2, "soun", header=tkhd(2, 0), media=mdhd(90_000, 30_000)),
        )
        assert video(ftyp(), moov(*tracks, header=header), MEDIA).duration_s == 3.0

    def test_has_that_of_its_edit_list(self, version: int, unknown: int) -> None:
        header = mvhd(unknown, 1000, version=version)
        edits = box("edts", elst((500, -1), (1500, 200), version=version))
        track = trak(header=tkhd(1, ALL_ONES), between=edits, media=mdhd(9000))
        if unknown != 1 << 31:
            assert video(ftyp(), moov(track, header=header), MEDIA).duration_s == 2.0

    def test_has_none_if_nothing_says_it(self, version: int, unknown: int) -> None:
        track = trak(header=tkhd(1, 0), media=mdhd(0))
        header = mvhd(unknown, 0, version=version)
        found = video(ftyp(), moov(track, header=header), MEDIA)
        assert (found.duration_s, found.whole_seconds, found.width) == (None, None, 64)


def test_a_length_of_all_ones_is_unknown_even_if_it_would_be_a_day() -> None:
    assert video(ftyp(), moov(trak(), header=mvhd(ALL_ONES, 90_000)), MEDIA).duration_s == pytest.approx(2000 / 90_000)


@pytest.mark.parametrize(("length", "shown"), [(1, 1), (499, 1), (1499, 1), (1500, 2), (59_500, 60)])
def test_the_bot_api_gets_whole_seconds_and_never_0_for_a_short_video(length: int, shown: int) -> None:
    assert video(ftyp(), moov(trak(), header=mvhd(length)), MEDIA).whole_seconds == shown


def test_what_stands_before_the_index_is_passed() -> None:
    between = (
        box("wide"),
        box("free", bytes(300)),
        box("skip"),
        box("uuid", bytes(16), b"camera"),
        box("udta", b"abc"),
    )
    assert video(ftyp(), *between, moov(trak()), MEDIA).streamable
    assert not video(ftyp(), *between, MEDIA, *between, moov(trak())).streamable


@pytest.mark.parametrize("first", ["wide", "moov", "mdat", "free", "skip", "pnot"])
def test_an_old_mov_without_a_brand_is_read(first: str) -> None:
    front = b"" if first == "moov" else box(first, bytes(12))
    found = video(front, moov(trak()), MEDIA)
    assert (found.width, found.brand, found.streamable) == (64, "", first != "mdat")


def test_media_without_a_byte_before_the_index_delays_no_player() -> None:
    assert video(ftyp(), box("mdat"), moov(trak()), MEDIA).streamable


def test_a_brand_that_is_no_text_is_none() -> None:
    assert video(box("ftyp", b"\xff\xfe\x80\x81"), moov(trak()), MEDIA).brand == ""


def test_a_box_with_a_64_bit_size_is_passed_even_if_it_is_small() -> None:
    assert not video(ftyp(), box("mdat", bytes(99), wide=True), moov(trak())).streamable
    wide = box("moov", mvhd(), trak(), wide=True)
    assert video(ftyp(), wide, MEDIA).width == 64


def test_a_box_of_size_0_reaches_to_the_end() -> None:
    assert video(ftyp(), MEDIA, box("moov", mvhd(), trak(), size=0)).width == 64
    assert video(ftyp(), moov(trak()), box("mdat", bytes(50), size=0)).streamable
    found = read_bytes(ftyp() + box("mdat", moov(trak()), size=0))
    assert found == Unreadable("ends before its movie header (moov) does", is_mp4=True)


def test_quicktime_ends_a_list_of_boxes_with_a_0() -> None:
    track = trak(description=stsd((64, 48), bytes(4)))
    assert video(ftyp("qt  "), box("moov", mvhd(), track, SOUND, box("udta", bytes(4)), bytes(4)), MEDIA).has_audio
    # More bytes behind the 0 are padding.
    padded = box("moov", mvhd(), trak(description=stsd((64, 48), bytes(40))), SOUND, bytes(400))
    assert video(ftyp("qt  "), padded, MEDIA).has_audio


def test_the_picture_is_found_behind_sounds_whose_tables_are_long() -> None:
    sounds = (trak(number, "soun", tables=LONG_TABLES) for number in (1, 2))
    assert video(ftyp(), MEDIA, moov(*sounds, trak(3))).width == 64


def test_sound_is_found_behind_a_picture_whose_tables_are_long() -> None:
    assert video(ftyp(), moov(trak(tables=LONG_TABLES), SOUND), MEDIA).has_audio is True
    assert video(ftyp(), moov(trak(tables=LONG_TABLES)), MEDIA).has_audio is False


def reads(*parts: bytes) -> int:
    content = b"".join(parts)
    reader = VideoReader(len(content))
    read_all(reader, lambda offset, length: content[offset : offset + length], len(content))
    return reader.reads


def test_no_window_is_read_for_what_is_known_or_cannot_be_there() -> None:
    picture, sound = trak(tables=LONG_TABLES), trak(2, "soun", tables=LONG_TABLES)
    notes = box("udta", bytes(100))
    assert reads(ftyp(), moov(picture, sound, trak(3, "text"), notes), MEDIA) == 2
    assert reads(ftyp(), moov(picture, notes), MEDIA) == 1
    assert reads(ftyp(), moov(picture, box("udta", bytes(1000))), MEDIA) == 2


def test_sound_that_four_windows_do_not_reach_is_unknown_and_the_size_is_not_lost() -> None:
    texts = (trak(number, "text", tables=LONG_TABLES) for number in (2, 3, 4))
    found = video(ftyp(), MEDIA, box("free", bytes(2 * READ_BYTES)), moov(trak(tables=LONG_TABLES), *texts, SOUND))
    assert (found.width, found.has_audio, found.is_silent, found.duration_s) == (64, None, False, 2.0)


def test_a_picture_that_four_windows_do_not_reach_is_no_silence() -> None:
    sounds = (trak(number, "soun", tables=LONG_TABLES) for number in range(1, 6))
    found = read_bytes(b"".join((ftyp(), moov(*sounds, trak(6)))))
    assert found == Unreadable("has its movie header (moov) in more pieces than are read", is_mp4=True)


def test_pictures_of_chapters_and_covers_are_not_the_video() -> None:
    chapters = box("tref", box("chap", numbers("II", 3, 4)))
    picture = trak(3, header=tkhd(3, size=(500, 500)), description=stsd((500, 500), name="jpeg"))
    book = video(ftyp("M4B "), moov(trak(1, "soun", between=chapters), picture, trak(4, "text")), MEDIA)
    assert (book.has_video, book.has_audio, book.width) == (False, True, None)
    film = video(ftyp(), moov(trak(1, "soun", between=chapters), picture, trak(5)), MEDIA)
    assert (film.width, film.height) == (64, 48)


def test_a_disabled_track_is_shown_only_if_there_is_no_other() -> None:
    disabled = trak(1, header=tkhd(1, flags=0), description=stsd((32, 32)))
    assert video(ftyp(), moov(disabled, trak(2)), MEDIA).width == 64
    assert video(ftyp(), moov(disabled), MEDIA).width is not None


@pytest.mark.parametrize("brand", ["heic", "mif1", "avif", "avis", "msf1", "hevc", "crx "])
def test_a_picture_in_the_same_boxes_is_no_video(brand: str) -> None:
    found = read_bytes(ftyp(brand) + box("meta", bytes(64)) + moov(trak()) + MEDIA)
    assert found == Unreadable("is a picture, not a video", is_mp4=False)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"\0\0\0\x18fty",
        b"\x1a\x45\xdf\xa3" + bytes(60),
        b"RIFF\x24\0\0\0AVI LIST",
        b"plain text, not a box",
        bytes(99),
    ],
)
def test_another_format_is_sent_as_today(content: bytes) -> None:
    assert read_bytes(content) == Unreadable("is not an MP4 or MOV file", is_mp4=False)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (ftyp() + box("moov", box("cmov", bytes(60))) + MEDIA, "has a compressed movie header (cmov)"),
        (ftyp() + MEDIA, "ends before its movie header (moov) does"),
        (ftyp() + box("mdat", size=10**6), "ends before its movie header (moov) does"),
        (ftyp() + moov() + MEDIA, "has neither a picture nor sound in its movie header (moov)"),
        (ftyp() + moov(trak(1, "text")) + MEDIA, "has neither a picture nor sound in its movie header (moov)"),
        (ftyp() + moov(trak())[:150], "ends before its movie header (moov) does"),
        (ftyp() + box("free", size=7) + moov(trak()), "has a box 'free' with an impossible size at byte 28"),
        (
            ftyp() + box("free", wide=True, size=15) + moov(trak()),
            "has a box 'free' with an impossible size at byte 28",
        ),
    ],
)
def test_a_video_that_cannot_be_read_says_why(content: bytes, why: str) -> None:
    assert read_bytes(content) == Unreadable(why, is_mp4=True)


def test_a_file_cut_off_behind_its_headers_is_read() -> None:
    cut = (ftyp() + moov(trak(tables=LONG_TABLES), SOUND))[:1000]
    assert read_bytes(cut) == Video(64, 48, 2.0, True, True, None, "isom")


def test_a_track_without_a_size_has_none() -> None:
    track = trak(header=tkhd(1, size=(0, 0)), description=stsd((0, 0)))
    found = video(ftyp(), moov(track, SOUND), MEDIA)
    assert (found.width, found.height, found.has_video) == (None, None, True)


def test_a_picture_stretched_beyond_all_screens_has_no_size() -> None:
    wide = trak(description=stsd((65_535, 2), box("pasp", numbers("II", 15, 1))))
    assert video(ftyp(), moov(wide), MEDIA).width is None


def test_a_track_that_lacks_its_headers_is_passed() -> None:
    cut = trak(6, header=full("tkhd", 0, 3)), trak(7, media=full("mdhd", 0, 0))
    broken = *cut, box("trak", tkhd(7)), box("trak", tkhd(8), box("mdia", mdhd()))
    assert video(ftyp(), moov(*broken, trak(), SOUND), MEDIA) == Video(64, 48, 2.0, True, True, True, "isom")
    # Each of them may have been a sound.
    for one in broken:
        assert video(ftyp(), moov(one, trak()), MEDIA).has_audio is None


def test_a_movie_header_that_is_cut_short_costs_the_length_alone() -> None:
    track = trak(header=tkhd(1, 0), media=mdhd(3000))
    found = video(ftyp(), moov(track, header=full("mvhd", 0, 0)), MEDIA)
    assert (found.width, found.height, found.duration_s) == (64, 48, 3.0)
