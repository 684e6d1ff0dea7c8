"""What a user loses without these: an option that is given up without a word, a default that beats what the job says,
or a video that nobody was warned about."""

from __future__ import annotations

from typing import Any

import pytest

from streamwarm.errors import InvalidOptions
from streamwarm.model import Kind
from streamwarm.send.attachment import Attachment
from streamwarm.send.destination import Media, VideoFacts
from streamwarm.send.telegram import bot_api
from streamwarm.send.telegram.answered import media_of, warnings_of
from streamwarm.send.telegram.options import lost_with_an_address, merged_options
from streamwarm.settings.telegram_options import check_options

PORTRAIT = VideoFacts(1080, 1920, 12.4, streamable=True)
AT_END = VideoFacts(1080, 1920, 12.6, streamable=False)


@pytest.mark.parametrize(
    ("named", "defaults", "facts", "sent"),
    [
        ({}, {}, None, {}),
        ({}, {}, VideoFacts(), {}),
        ({}, {}, PORTRAIT, {"width": 1080, "height": 1920, "duration": 12, "supports_streaming": True}),
        ({}, {}, AT_END, {"width": 1080, "height": 1920, "duration": 13}),
        ({}, {}, VideoFacts(0, 0, 0.0), {}),
        ({}, {}, VideoFacts(1080, None, 0.2), {"duration": 1}),
        ({}, {"width": 640, "caption": "d"}, VideoFacts(1, 2), {"width": 640, "caption": "d"}),
        ({"caption": ""}, {"caption": "d"}, None, {"caption": ""}),
        ({"supports_streaming": False}, {}, VideoFacts(streamable=True), {"supports_streaming": False}),
        ({"width": 5, "height": 6}, {"width": 7, "height": 8}, VideoFacts(9, 9), {"width": 5, "height": 6}),
    ],
)
def test_the_job_wins_then_the_defaults_then_what_the_video_says(
    named: dict[str, Any], defaults: dict[str, Any], facts: VideoFacts | None, sent: dict[str, Any]
) -> None:
    assert merged_options(named, defaults, facts) == sent


def test_only_what_fits_the_kind_is_sent() -> None:
    options = merged_options({"length": 240, "disable_content_type_detection": True}, {"title": "T"}, PORTRAIT)
    sent = {kind: {name for name, _ in bot_api.form_fields(kind, -5, options)} for kind in Kind}
    common = {"chat_id", "disable_notification"}
    assert sent[Kind.DOCUMENT] - common == {"disable_content_type_detection"}
    assert sent[Kind.VIDEO_NOTE] - common == {"length", "duration"}
    assert sent[Kind.VIDEO] - common == {"width", "height", "duration", "supports_streaming"}
    assert sent[Kind.ANIMATION] - common == {"width", "height", "duration"}
    assert sent[Kind.AUDIO] - common == {"title", "duration"}
    assert sent[Kind.PHOTO] - common == set()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"file_name": 5}, "options.file_name: must be text"),
        ({"file_name": "\udfff"}, "options.file_name: must be valid"),
        ({"thumbnail": ""}, "options.thumbnail: must be the key of a JPEG object"),
        ({"thumbnail": "é" * 513}, "options.thumbnail: must be the key of a JPEG object"),
        ({"cover": "a\0b"}, "options.cover: must be the key of a JPEG object"),
        ({"cover": {"key": "c.jpg"}}, "options.cover: must be text"),
        ({"cover": None}, "options.cover: must be text"),
        ({"disable_content_type_detection": "true"}, "must be true or false"),
        ({"length": 641}, "options.length: at most 640"),
        ({"length": True}, "options.length: must be a whole number"),
        ({"thumb": "t.jpg"}, "there is no such option; allowed: caption"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidOptions) as caught:
        check_options(options)
    assert told in str(caught.value)


def test_every_option_of_the_contract_is_taken() -> None:
    check_options(
        {
            "file_name": "x" * 5000 + "/\0",
            "thumbnail": "é" * 512,
            "cover": "../c.jpg",
            "disable_content_type_detection": True,
            "length": 640,
        }
    )


@pytest.mark.parametrize(
    ("kind", "options", "lost"),
    [
        (Kind.VIDEO, {"caption": "c", "has_spoiler": True, "title": "ignored anyway"}, []),
        (Kind.VIDEO, {"width": 1, "thumbnail": "t"}, ["thumbnail", "width"]),
        (Kind.VIDEO, {"cover": "c"}, ["cover"]),
        (Kind.VIDEO, {"supports_streaming": False, "duration": 0}, []),
        (Kind.AUDIO, {"title": "T", "performer": "P", "width": 3}, ["performer", "title"]),
        (Kind.DOCUMENT, {"disable_content_type_detection": True}, ["disable_content_type_detection"]),
        (Kind.PHOTO, {"thumbnail": "t", "width": 5, "fallback": "document"}, []),
        (Kind.VOICE, {"duration": 3}, ["duration"]),
    ],
)
def test_what_telegram_ignores_with_an_address_is_known(kind: Kind, options: dict[str, Any], lost: list[str]) -> None:
    assert lost_with_an_address(kind, options) == lost


class Picture:
    attachment = Attachment("thumbnail", "t.jpg", "options.thumbnail")


def media(kind: Kind, facts: VideoFacts | None = None, *, thumbnail: bool = False, **options: Any) -> Media:
    attached: Any = [Picture()] if thumbnail else []
    return Media("job-1", kind, "a", 5, None, options, attached=attached, facts=facts)


@pytest.mark.parametrize(
    ("sent", "kind", "answered", "warnings"),
    [
        (media(Kind.VIDEO), "video", {"width": 640, "height": 360, "duration": 3}, []),
        (media(Kind.VIDEO), "video", {"width": 0, "height": 0, "duration": 0}, ["no_dimensions"]),
        (media(Kind.VIDEO), "video", {}, ["no_dimensions"]),
        (media(Kind.VIDEO), "video", {"width": 640, "height": 0}, ["no_dimensions"]),
        (media(Kind.VIDEO), "video", {"width": 320, "height": 320, "duration": 0}, ["no_dimensions"]),
        (media(Kind.VIDEO), "video", {"width": 320, "height": 320}, ["no_dimensions"]),
        (media(Kind.VIDEO, duration=9), "video", {"width": 320, "height": 320, "duration": 9}, ["no_dimensions"]),
        (media(Kind.VIDEO), "video", {"width": 320, "height": 320, "duration": 9}, []),
        (media(Kind.VIDEO, width=320, height=320), "video", {"width": 320, "height": 320, "duration": 0}, []),
        (media(Kind.ANIMATION), "animation", {"width": 320, "height": 320, "duration": 0}, ["no_dimensions"]),
        (media(Kind.VIDEO_NOTE), "video_note", {"width": 0, "height": 0}, []),
        (media(Kind.VIDEO), "animation", {"width": 5, "height": 5}, ["other_kind"]),
        (media(Kind.DOCUMENT), "sticker", {"width": 512, "height": 512}, ["other_kind"]),
        (media(Kind.PHOTO, fallback="document"), "document", {}, ["other_kind"]),
        (media(Kind.VIDEO, AT_END), "video", {"width": 5, "height": 5}, ["index_at_end"]),
        (media(Kind.VIDEO, PORTRAIT), "video", {"width": 5, "height": 5}, []),
        (media(Kind.AUDIO, thumbnail=True), "audio", {"has_thumbnail": False}, ["no_thumbnail"]),
        (media(Kind.AUDIO, thumbnail=True), "audio", {"has_thumbnail": True}, []),
        (media(Kind.AUDIO), "audio", {"has_thumbnail": False}, []),
    ],
)
def test_a_user_is_warned_of_what_telegram_did_not_keep(
    sent: Media, kind: str, answered: dict[str, Any], warnings: list[str]
) -> None:
    assert warnings_of(sent, kind, {"has_thumbnail": False, **answered}) == warnings


@pytest.mark.parametrize(
    ("file", "media"),
    [
        ({"width": 640, "height": 360, "duration": 3, "file_name": "a.mp4"}, None),
        ({"duration": 3, "thumbnail": {"file_id": "t"}}, {"duration": 3, "has_thumbnail": True}),
        ({"thumb": {"file_id": "t"}}, {"has_thumbnail": True}),
        ({"thumbnail": None}, {}),
        ({"length": 240, "duration": 2}, {"width": 240, "height": 240, "duration": 2}),
        ({"width": "640", "height": -1, "duration": 1e9, "file_name": 5}, {}),
        ({"width": True, "height": 10**30, "file_name": ""}, {}),
        ({"file_name": "a\nb\ud800" + "c" * 400}, {"file_name": "ab?" + "c" * 251}),
    ],
)
def test_what_telegram_knows_is_kept_as_it_answered_and_nothing_odd(
    file: dict[str, Any], media: dict[str, Any] | None
) -> None:
    expected = file if media is None else media
    assert media_of(file, file) == {"has_thumbnail": False, **expected}


def test_a_photo_with_smaller_sizes_has_a_thumbnail() -> None:
    sizes = [{"width": 90, "height": 60}, {"width": 1280, "height": 853}]
    assert media_of(sizes, sizes[1]) == {"width": 1280, "height": 853, "has_thumbnail": True}
