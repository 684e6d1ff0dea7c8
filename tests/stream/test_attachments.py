"""What a user loses without these: a video without its preview for ever, because Telegram drops a wrong thumbnail in
silence; or a chat, a bot or a bucket that is blamed for one wrong picture."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from attrs import frozen

from streamwarm.backlog.settlement import Done, Failed, Retry
from streamwarm.errors import DestinationError, ErrorCode, SourceError
from streamwarm.model import Kind
from streamwarm.stream.transfer import transfer
from tests.worlds.cancelling import cancelled_at
from tests.worlds.scripted_bot_api import ScriptedBotApi, jpeg, scripted_bot_api
from tests.worlds.scripted_bucket import ETAG, Asked, Script, answering, by_path, first_then, head, holding, s3_error
from tests.worlds.stream import NOW, World, content, job, new_attempt, work_once, world

VIDEO = content(700_000)
SMALL = jpeg(320, 180, 20_000)
LARGE = jpeg(1920, 1080, 2_000_000)
"""A cover of more than is read whole."""

THUMBNAIL, COVER = {"thumbnail": "t.jpg"}, {"cover": "c.jpg"}
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (64).to_bytes(4, "big") * 2 + bytes(300)


def size_of(body: bytes | None) -> str:
    return "none" if body is None else str(len(body))


def silent_after(size_bytes: int, body: bytes) -> Script:
    """Announces the whole object, sends so much of it and falls silent."""

    async def script(_: Asked, stream: trio.SocketStream) -> None:
        await stream.send_all(head(200, content_length=len(body), etag=ETAG) + body[:size_bytes])
        await trio.sleep_forever()

    return script


@frozen
class Place:
    w: World
    api: ScriptedBotApi


@asynccontextmanager
async def place(
    thumbnail: bytes | Script = SMALL,
    cover: bytes | Script = LARGE,
    video: bytes | Script = VIDEO,
    *,
    body_timeout_s: float = 10.0,
    **telegram: Any,
) -> AsyncIterator[Place]:
    """A bucket with `a.mp4`, `t.jpg` and `c.jpg`, and a Bot API that keeps what it gets."""

    def script(one: bytes | Script) -> Script:
        return holding(one, cuts=[]) if isinstance(one, bytes) else one

    bucket = by_path({"a.mp4": script(video), "t.jpg": script(thumbnail), "c.jpg": script(cover)})
    async with (
        scripted_bot_api(file={"file_id": "AgAC", "file_unique_id": "u", "thumbnail": {}}) as api,
        world(bucket, base_url=api.base_url, telegram=telegram, body_timeout_s=body_timeout_s) as w,
    ):
        yield Place(w, api)


@pytest.mark.parametrize("kind", [Kind.VIDEO, Kind.AUDIO, Kind.DOCUMENT, Kind.ANIMATION, Kind.VIDEO_NOTE])
async def test_a_thumbnail_goes_in_the_same_form_with_every_kind_that_takes_one(kind: Kind) -> None:
    async with place() as p:
        assert isinstance((await p.w.work(job(kind=kind, options=THUMBNAIL))).settlement, Done)
        (sent,) = p.api.sent
        assert sent.length == sent.body_bytes
        reference = sent.fields["thumbnail"]
        assert reference.startswith("attach://")
        picture = sent.files[reference.removeprefix("attach://")]
        assert (picture.content, picture.content_type) == (SMALL, "image/jpeg")
        assert picture.name.endswith(".jpg")
        assert sent.files[kind.value].content == VIDEO
        assert sent.order[-1] == kind.value  # its last piece is the one that is withheld


@pytest.mark.parametrize("thumbnail", [None, jpeg(1, 1, 200), SMALL, jpeg(320, 320, 204_799)], ids=size_of)
@pytest.mark.parametrize("cover", [None, jpeg(90, 90, 300), jpeg(640, 360, 262_144), LARGE], ids=size_of)
async def test_the_length_is_exact_and_every_byte_arrives_whatever_goes_together(
    thumbnail: bytes | None, cover: bytes | None
) -> None:
    given = {"thumbnail": ("t.jpg", thumbnail), "cover": ("c.jpg", cover)}
    options = {name: key for name, (key, body) in given.items() if body is not None}
    async with place(thumbnail or SMALL, cover or LARGE) as p:
        await p.w.send(job(kind=Kind.VIDEO, options={**options, "caption": "é"}))
        (sent,) = p.api.sent
        assert sent.length == sent.body_bytes
        assert sent.files["video"].content == VIDEO
        assert len(sent.files) == 1 + len(options)
        for name in options:
            assert sent.files[sent.fields[name].removeprefix("attach://")].content == given[name][1]
        assert p.w.source_pool.stats()["active"] == 0


async def test_a_small_picture_holds_no_connection_while_its_object_is_sent() -> None:
    busy: list[int] = []

    async def video(asked: Asked, stream: trio.SocketStream) -> None:
        busy.append(p.w.source_pool.stats()["active"])
        await holding(VIDEO, cuts=[])(asked, stream)

    async with place(cover=jpeg(640, 360, 262_144), video=video) as p:
        await p.w.send(job(kind=Kind.VIDEO, options=THUMBNAIL | COVER))
        assert busy == [1]


async def test_telegrams_rule_for_equal_sizes_counts_all_files_of_a_form() -> None:
    async with place() as p:
        departed: list[int] = []

        async def depart(_: object, size_bytes: int) -> float:
            departed.append(size_bytes)
            return NOW

        for options in ({}, THUMBNAIL, THUMBNAIL | COVER):
            attempt = new_attempt(job(kind=Kind.VIDEO, options=options), p.w.destination, depart=depart)
            await transfer(attempt, p.w.bucket_rig.source, body_timeout_s=10.0)
        first, second, third = (sum(len(file.content) for file in sent.files.values()) for sent in p.api.sent)
        assert departed == [first, second, third]
        assert first < second < third


@pytest.mark.parametrize("kind", [Kind.PHOTO, Kind.VOICE])
async def test_a_kind_that_takes_no_thumbnail_is_sent_without_asking_for_one(kind: Kind) -> None:
    async with place(answering(404)) as p:
        await p.w.send(job(kind=kind, options=THUMBNAIL | COVER))
        assert "thumbnail" not in p.api.sent[0].fields
        assert {asked.target for asked in p.w.bucket_rig.bucket.asked} == {b"/media/media/a.mp4"}


BAD_THUMBNAILS = [
    (answering(404, s3_error("NoSuchKey")), ErrorCode.SOURCE_NOT_FOUND, "t.jpg"),
    (answering(200, b"", etag='"e"'), ErrorCode.SOURCE_EMPTY, "empty"),
    (PNG, ErrorCode.BAD_PHOTO, "not a JPEG"),
    (b"<html>sign in</html>" * 9, ErrorCode.BAD_PHOTO, "not a JPEG"),
    (jpeg(4000, 3000), ErrorCode.BAD_PHOTO, "4000 × 3000"),
    (jpeg(321, 20), ErrorCode.BAD_PHOTO, "320"),
    (jpeg(20, 321), ErrorCode.BAD_PHOTO, "320"),
    (jpeg(320, 180, 204_800), ErrorCode.TOO_LARGE, "204799"),
    (jpeg(320, 180, 5_000_000), ErrorCode.TOO_LARGE, "204799"),
    (jpeg(320, 180)[:24], ErrorCode.BAD_PHOTO, "damaged"),
    (b"\xff\xd8\xff", ErrorCode.BAD_PHOTO, "damaged"),
    (b"\xff", ErrorCode.BAD_PHOTO, "not a JPEG"),
    (jpeg(0, 0), ErrorCode.BAD_PHOTO, "damaged"),
]
BAD_COVERS = [
    (answering(404, s3_error("NoSuchKey")), ErrorCode.SOURCE_NOT_FOUND, "c.jpg"),
    (PNG, ErrorCode.BAD_PHOTO, "not a JPEG"),
    (jpeg(9000, 1001), ErrorCode.BAD_PHOTO, "9000 × 1001"),
    (jpeg(2100, 100), ErrorCode.BAD_PHOTO, "20 times"),
    (jpeg(1920, 1080, 10_000_001), ErrorCode.TOO_LARGE, "10000000"),
]


@pytest.mark.parametrize(
    ("name", "picture", "code", "told"),
    [("thumbnail", *case) for case in BAD_THUMBNAILS] + [("cover", *case) for case in BAD_COVERS],
)
@pytest.mark.parametrize("whose", ["options", "defaults"])
async def test_a_wrong_picture_fails_its_job_by_name_before_a_byte_is_sent(
    name: str, picture: bytes | Script, code: ErrorCode, told: str, whose: str
) -> None:
    given = THUMBNAIL | COVER
    named = {name: given[name]}
    options, defaults = (named, {}) if whose == "options" else ({}, named)
    pictures = {name: picture}
    async with place(**pictures, defaults=defaults) as p:
        worked = await p.w.work(job(kind=Kind.VIDEO, options=options))
        assert isinstance(worked.settlement, Failed)
        assert worked.error is not None
        assert (worked.error.code, worked.error.permanent) == (code, True)
        assert worked.error.message.startswith(f"{whose}.{name}: ")
        assert told in worked.error.message
        assert p.api.begun == 0
        assert worked.pauses == []
        assert p.w.source_pool.stats()["active"] == 0


async def test_a_cover_that_does_not_go_with_the_videos_size_fails_before_the_upload() -> None:
    async with place() as p:
        worked = await p.w.work(job(kind=Kind.VIDEO, options=COVER | {"width": 7680, "height": 4320}))
        assert worked.error is not None
        assert (worked.error.code, worked.error.permanent) == (ErrorCode.DESTINATION_REFUSED, True)
        assert worked.error.message.startswith("options.cover: ")
        assert p.api.begun == 0


@pytest.mark.parametrize(("name", "key"), [("thumbnail", "t.jpg"), ("cover", "c.jpg")])
async def test_a_picture_that_is_replaced_while_it_is_read_is_never_spliced(name: str, key: str) -> None:
    body = SMALL if name == "thumbnail" else LARGE
    torn = first_then(holding(body, cuts=[len(body) - 500]), first_then(answering(412), holding(body, cuts=[])))
    pictures = {name: torn}
    async with place(**pictures) as p:
        worked = await p.w.work(job(kind=Kind.VIDEO, options={name: key}))
        assert isinstance(worked.settlement, Retry)
        assert worked.settlement.error.code is ErrorCode.SOURCE_CHANGED
        assert worked.settlement.error.message.startswith(f"options.{name}: ")
        assert p.api.sent == []
        assert isinstance((await p.w.work(job(kind=Kind.VIDEO, options={name: key}))).settlement, Done)


@pytest.mark.parametrize(("name", "key"), [("thumbnail", "t.jpg"), ("cover", "c.jpg")])
async def test_a_download_of_a_picture_that_breaks_and_goes_on_is_not_felt(name: str, key: str) -> None:
    body = SMALL if name == "thumbnail" else LARGE
    pictures = {name: holding(body, cuts=[len(body) // 2, 100])}
    async with place(**pictures) as p:
        await p.w.send(job(kind=Kind.VIDEO, options={name: key}))
        (sent,) = p.api.sent
        assert sent.files[f"attached_{name}"].content == body


async def test_an_outage_of_the_bucket_while_a_picture_is_read_is_the_buckets_fault() -> None:
    async with place(answering(503)) as p:

        async def is_of_the_bucket(error: SourceError) -> bool:
            return error.code is ErrorCode.SOURCE_UNAVAILABLE

        worked = await work_once(
            job(kind=Kind.VIDEO, options=THUMBNAIL),
            p.w.bucket_rig.source,
            p.w.destination,
            body_timeout_s=10.0,
            is_of_the_bucket=is_of_the_bucket,
        )
        assert isinstance(worked.settlement, Retry)
        assert not worked.settlement.counts
        assert worked.settlement.error.message.startswith("options.thumbnail: ")


async def test_a_paused_bucket_is_not_asked_for_a_picture_again_and_again() -> None:
    async with place() as p:

        async def is_of_the_bucket(_: SourceError) -> bool:
            return True

        p.w.bucket_rig.source.set_offline(True)
        worked = await work_once(
            job(kind=Kind.VIDEO, options=THUMBNAIL),
            p.w.bucket_rig.source,
            p.w.destination,
            body_timeout_s=10.0,
            is_of_the_bucket=is_of_the_bucket,
        )
        assert isinstance(worked.settlement, Retry)
        assert (worked.settlement.counts, worked.settlement.retry_at) == (False, NOW + 30)
        assert p.w.bucket_rig.bucket.asked == []


async def test_an_upload_cut_within_its_cover_is_told_from_a_connection_that_took_nothing() -> None:
    async with place() as p:
        p.api.closes_after = 900_000
        with pytest.raises(DestinationError) as caught:
            await p.w.send(job(kind=Kind.VIDEO, options=COVER))
        assert caught.value.code is ErrorCode.DESTINATION_UNAVAILABLE
        assert "broke off after" in caught.value.message
        assert p.api.begun == 1


async def test_a_bucket_that_falls_silent_within_a_cover_is_named_as_the_one_that_did() -> None:
    async with place(cover=silent_after(300_000, LARGE), body_timeout_s=0.2) as p:
        with pytest.raises(SourceError) as caught:
            await p.w.send(job(kind=Kind.VIDEO, options=COVER))
        assert caught.value.code is ErrorCode.TIMEOUT
        assert p.api.sent == []


async def test_an_attempt_cancelled_anywhere_leaves_no_connection_in_use() -> None:
    async with place() as p:
        both = job(kind=Kind.VIDEO, options=THUMBNAIL | COVER)
        await p.w.send(both)
        step, cancelled = 1, 0
        while await cancelled_at(step, lambda: p.w.send(both)):
            for pool in (p.w.source_pool, p.w.destination_pool):
                assert pool.stats()["active"] == pool.stats()["queued"] == 0
            cancelled += 1
            step += 1 if step < 40 else step // 3
        assert cancelled > 8
