"""What a user loses without these: what was asked for is lost in a hand-off, a bot's defaults reach no message, and
nobody learns what Telegram made of the file."""

from __future__ import annotations

from typing import Any

import pytest

from streamwarm.errors import ErrorCode
from streamwarm.model import Job, Kind
from streamwarm.sandbox.bot_api import Fault, FaultKind
from streamwarm.send.destination import Media, VideoFacts
from tests.worlds.scripted_bot_api import jpeg, scripted_bot_api
from tests.worlds.scripted_bucket import ETAG, Script, answering, by_path
from tests.worlds.stream import content, job, world
from tests.worlds.whole_body import Bytes

BODY = content(60_000)


def film(body: bytes = BODY, content_type: str = "video/mp4") -> Script:
    return answering(200, body, etag=ETAG, content_type=content_type)


def video(**options: Any) -> Job:
    return job(kind=Kind.VIDEO, options=options)


AUDIO = {"r2_key": "media/a.mp3", "kind": Kind.AUDIO}


@pytest.mark.parametrize(
    ("one", "content_type"),
    [
        *((video(**{name: 7}), "video/mp4") for name in ("width", "height", "duration")),
        (video(supports_streaming=True), "video/mp4"),
        (video(file_name="Holiday.mp4"), "video/mp4"),
        (job(kind=Kind.VIDEO, r2_key="media/clip"), "video/mp4"),
        (job(kind=Kind.ANIMATION, options={"width": 7}), "video/mp4"),
        (job(**AUDIO, options={"title": "T"}), "audio/mpeg"),
        (job(**AUDIO, options={"performer": "P"}), "audio/mpeg"),
        (job(**AUDIO, options={"duration": 3}), "audio/mpeg"),
        (job(r2_key="a.pdf", options={"disable_content_type_detection": True}), "application/pdf"),
        (job(r2_key="a", options={}), "application/pdf"),
        (job(kind=Kind.VOICE, options={"duration": 3}), "audio/ogg"),
    ],
)
@pytest.mark.parametrize("by_default", [False, True], ids=["options", "defaults"])
async def test_what_telegram_would_ignore_with_an_address_is_streamed(
    one: Job, content_type: str, by_default: bool
) -> None:
    telegram: dict[str, Any] = {"handoff": "auto"}
    if by_default:
        telegram["defaults"] = one.options
        one = job(kind=one.kind, r2_key=one.r2_key)
    async with world(film(content_type=content_type), telegram=telegram) as w:
        result = (await w.send(one)).result
        assert (result["source"], w.emulator.deliveries[0].origin) == ("stream", "upload")
        assert not any(b"X-Amz-Signature" in asked.target for asked in w.bucket_rig.bucket.asked)


async def test_a_video_that_telegram_would_not_measure_is_streamed() -> None:
    for size_bytes, source in ((10_000_000, "handoff"), (10_000_001, "stream")):
        async with world(film(content(size_bytes)), telegram={"handoff": "auto"}) as w:
            assert (await w.send(video())).result["source"] == source


async def test_what_is_lost_in_no_hand_off_is_handed_over() -> None:
    options = {"caption": "c", "has_spoiler": True, "supports_streaming": False, "title": "of no video"}
    async with world(film(), telegram={"handoff": "auto", "defaults": {"caption": "d", "length": 3}}) as w:
        result = (await w.send(video(**options))).result
        assert (result["source"], result["warnings"]) == ("handoff", ["no_dimensions"])  # it is no MP4
        assert w.emulator.deliveries[0].caption == "c"


async def test_a_bots_defaults_reach_the_message_and_the_job_overrides_them() -> None:
    defaults = {"caption": "of the bot", "width": 640, "height": 360, "title": "T", "file_name": "every.mp4"}
    async with world(film(), telegram={"defaults": defaults}) as w:
        await w.send(video(caption="of the job"))
        fields, name = w.emulator.deliveries[0].fields, w.emulator.deliveries[0].file_name
        assert (w.emulator.deliveries[0].caption, fields["width"], fields["height"]) == ("of the job", "640", "360")
        assert name == "every.mp4"
        assert "title" not in fields  # no video has one
        await w.send(job(kind=Kind.AUDIO))
        assert w.emulator.deliveries[1].fields["title"] == "T"


async def test_a_photo_falls_back_to_a_document_by_default_where_the_bot_says_so() -> None:
    async with world(film(content(20_000), "image/jpeg"), telegram={"defaults": {"fallback": "document"}}) as w:
        w.emulator.inject(Fault(FaultKind.REFUSED, description="Bad Request: IMAGE_PROCESS_FAILED"))
        await w.work(job(kind=Kind.PHOTO, r2_key="a.jpg"))
        finished = await w.work(job(kind=Kind.PHOTO, r2_key="a.jpg"))
        result: Any = finished.settlement
        assert (result.result["kind"], result.result["warnings"]) == ("document", ["other_kind"])


async def test_a_photo_that_is_too_large_goes_as_a_document_by_default_where_the_bot_says_so() -> None:
    async with world(film(content(10_000_001), "image/jpeg"), telegram={"defaults": {"fallback": "document"}}) as w:
        assert (await w.send(job(kind=Kind.PHOTO, r2_key="a.jpg"))).result["kind"] == "document"


@pytest.mark.parametrize(
    ("kind", "returned", "file", "media", "warnings"),
    [
        (
            Kind.VIDEO,
            None,
            {"width": 1080, "height": 1920, "duration": 3, "file_name": "a.mp4", "thumbnail": {"file_id": "t"}},
            {"width": 1080, "height": 1920, "duration": 3, "file_name": "a.mp4", "has_thumbnail": True},
            [],
        ),
        (
            Kind.VIDEO,
            None,
            {"width": 320, "height": 320, "duration": 0},
            {"width": 320, "height": 320, "duration": 0, "has_thumbnail": False},
            ["no_dimensions"],
        ),
        (Kind.DOCUMENT, "sticker", {"width": 512, "height": 512}, None, ["other_kind"]),
        (Kind.VIDEO, "document", {"file_name": "a.mp4"}, None, ["other_kind"]),
        (Kind.AUDIO, None, {"duration": 9}, {"duration": 9, "has_thumbnail": False}, []),
    ],
)
async def test_the_result_says_what_telegram_made_of_the_file(
    kind: Kind, returned: str | None, file: dict[str, Any], media: dict[str, Any] | None, warnings: list[str]
) -> None:
    answer = {"file_id": "AgAC", "file_unique_id": "u", **file}
    async with scripted_bot_api(file=answer, kind=returned) as api, world(film(), base_url=api.base_url) as w:
        result = (await w.send(job(kind=kind))).result
        assert result["media"] == (media or {**file, "has_thumbnail": False})
        assert result["warnings"] == warnings


@pytest.mark.parametrize(("came_back", "warnings"), [({"thumbnail": {"file_id": "t"}}, []), ({}, ["no_thumbnail"])])
async def test_a_thumbnail_that_telegram_dropped_is_told(came_back: dict[str, Any], warnings: list[str]) -> None:
    bucket = by_path({".jpg": answering(200, jpeg(90, 90), etag=ETAG), "a.mp4": film()})
    answer = {"file_id": "AgAC", "file_unique_id": "u", "width": 5, "height": 5, **came_back}
    async with scripted_bot_api(file=answer) as api, world(bucket, base_url=api.base_url) as w:
        result = (await w.send(video(thumbnail="t.jpg"))).result
        assert result["warnings"] == warnings
        assert result["media"]["has_thumbnail"] is not bool(warnings)


@pytest.mark.parametrize("options", [{"cover": "c.jpg"}, {"cover": "c.jpg", "thumbnail": "t.jpg"}])
async def test_a_cover_that_telegram_itself_refuses_is_named(options: dict[str, Any]) -> None:
    bucket = by_path({".jpg": answering(200, jpeg(90, 90), etag=ETAG), "a.mp4": film()})
    async with (
        scripted_bot_api(refuses="Bad Request: IMAGE_PROCESS_FAILED") as api,
        world(bucket, base_url=api.base_url) as w,
    ):
        worked = await w.work(video(**options))
        assert worked.error is not None
        assert (worked.error.code, worked.error.permanent) == (ErrorCode.BAD_PHOTO, True)
        assert worked.error.message.startswith("options.cover: c.jpg: ")


@pytest.mark.parametrize("streamable", [True, False])
async def test_what_a_video_says_of_itself_goes_with_it_where_nobody_names_it(streamable: bool) -> None:
    facts = VideoFacts(1080, 1920, 12.0, streamable=streamable)
    answer = {"file_id": "AgAC", "file_unique_id": "u", "width": 1080, "height": 1920}
    async with (
        scripted_bot_api(file=answer) as api,
        world(film(), base_url=api.base_url, telegram={"defaults": {"duration": 99}}) as w,
    ):
        media = Media("job-1", Kind.VIDEO, "a.mp4", 4, "video/mp4", {"caption": "c"}, facts=facts)
        body: Any = Bytes(b"film")
        result = await w.destination.deliver(media, body)
        (sent,) = api.sent
        measured = {name: sent.fields[name] for name in ("width", "height", "duration")}
        assert measured == {"width": "1080", "height": "1920", "duration": "99"}
        assert sent.fields.get("supports_streaming") == ("true" if streamable else None)
        assert result["warnings"] == ([] if streamable else ["index_at_end"])
