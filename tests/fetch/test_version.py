"""What a user loses if the bucket cannot be asked which version it has: every check, or the truth about an object."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from streamwarm.errors import Blame, ErrorCode, SourceError
from streamwarm.fetch.source import ObjectVersion
from tests.worlds.scripted_bucket import Asked, Script, answering, head, patient_clock, rig, s3_error

MODIFIED = "Mon, 02 Mar 2026 12:00:00 GMT"
AT = 1_772_452_800.0


@pytest.mark.parametrize(("etag", "plain"), [('"e-1"', "e-1"), ('W/"e-1"', "e-1"), ("e-1", "e-1"), ('""', None)])
async def test_the_version_is_told_by_head_bare_and_without_weakness(etag: str, plain: str | None) -> None:
    async with rig(answering(200, b"x" * 100, etag=etag, last_modified=MODIFIED)) as r:
        for _ in range(3):
            assert await r.source.version_of("a") == ObjectVersion(plain, AT)
    assert [asked.method for asked in r.bucket.asked] == ["HEAD"] * 3


async def test_an_answer_without_a_length_or_a_date_still_tells_the_version() -> None:
    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        await stream.send_all(head(200, etag='"e"', last_modified="yesterday", transfer_encoding="chunked"))

    async with rig(script) as r:
        assert await r.source.version_of("a") == ObjectVersion("e", None)


def without_heads(status: int, then: Script) -> Script:
    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        await (answering(status) if asked.method == "HEAD" else then)(asked, stream)

    return script


def ranged(etag: str) -> Script:
    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        assert asked.headers["range"] == "bytes=0-0"
        await stream.send_all(head(206, etag=etag, content_length=1, content_range="bytes 0-0/100") + b"x")

    return script


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 501])
async def test_where_head_is_refused_the_first_byte_tells_the_version(status: int) -> None:
    async with rig(without_heads(status, ranged('"e-2"'))) as r:
        for _ in range(3):
            assert (await r.source.version_of("a")).etag == "e-2"
        # HEAD is not tried again for a minute, and the connection is used again.
        assert [asked.method for asked in r.bucket.asked] == ["HEAD", "GET", "GET", "GET"]
        assert r.bucket.connections == 1


async def test_where_ranges_are_ignored_the_body_is_not_read() -> None:
    sent = 0

    async def endless(asked: Asked, stream: trio.SocketStream) -> None:
        nonlocal sent
        await stream.send_all(head(200, etag='"e-3"', content_length=10**12))
        while True:
            await stream.send_all(b"x" * 65536)
            sent += 65536

    async with rig(without_heads(405, endless)) as r:
        with trio.fail_after(20):
            assert (await r.source.version_of("a")).etag == "e-3"
        await r.bucket.all_closed()


async def test_where_ranges_are_refused_too_a_plain_get_tells() -> None:
    async def plain(asked: Asked, stream: trio.SocketStream) -> None:
        refused = answering(403, s3_error("AccessDenied"))
        await (refused if "range" in asked.headers else answering(200, b"x", etag='"e-4"'))(asked, stream)

    async with rig(without_heads(403, plain)) as r:
        assert (await r.source.version_of("a")).etag == "e-4"


async def refusal(script: Script) -> SourceError:
    async with rig(script) as r:
        with pytest.raises(SourceError) as caught:
            await r.source.version_of("a")
    return caught.value


async def test_a_missing_object_and_a_missing_bucket_are_told_apart() -> None:
    gone = await refusal(answering(404, s3_error("NoSuchKey")))
    assert (gone.code, gone.blame) == (ErrorCode.SOURCE_NOT_FOUND, Blame.OBJECT)
    bucket = await refusal(answering(404, s3_error("NoSuchBucket")))
    assert bucket.blame is Blame.BUCKET
    wordless = await refusal(answering(404))
    assert (wordless.code, wordless.blame) == (ErrorCode.SOURCE_NOT_FOUND, Blame.UNSURE)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_busy_bucket_is_not_asked_twice_at_once(status: int) -> None:
    async with rig(answering(status)) as r:
        with pytest.raises(SourceError) as caught:
            await r.source.version_of("a")
    assert caught.value.passing
    assert len(r.bucket.asked) == 1


async def test_a_server_that_swallows_heads_is_asked_by_get(autojump_clock: MockClock) -> None:
    async def silent(asked: Asked, stream: trio.SocketStream) -> None:
        if asked.method == "HEAD":
            await trio.sleep(3600)
        await ranged('"e-5"')(asked, stream)

    async with rig(silent) as r:
        assert (await r.source.version_of("a")).etag == "e-5"


@pytest.fixture
def autojump_clock() -> MockClock:
    return patient_clock()
