"""What a user loses to a bucket that answers oddly: objects that are there, or the right bytes at a destination."""

from __future__ import annotations

import gzip

import pytest
import trio
from trio.testing import MockClock

from streamwarm.errors import Blame, ErrorCode, SourceError
from streamwarm.fetch.r2 import ListedObject
from tests.worlds.scripted_bucket import (
    ETAG,
    Asked,
    Rig,
    Script,
    answering,
    by_path,
    chunked,
    first_then,
    head,
    holding,
    patient_clock,
    rig,
)

BODY = b"media" * 60_000
DENIED = b"<Error><Code>AccessDenied</Code></Error>"
LISTING = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


@pytest.fixture
def clock() -> MockClock:
    return patient_clock()


async def refusal(broken: Rig, r2_key: str = "media/a.mp4") -> SourceError:
    with pytest.raises(SourceError) as caught:
        await broken.read(r2_key)
    return caught.value


async def pieces_before_the_end(broken: Rig) -> tuple[bytes, SourceError]:
    """What a destination was handed of an object that turned out wrong."""
    handed = bytearray()
    try:
        async with broken.source.open_object("a.mp4") as opened:
            async for piece in opened.pieces():
                handed += piece
    except SourceError as error:
        return bytes(handed), error
    pytest.fail("the object was taken for whole")


async def test_an_object_that_goes_on_after_its_end_is_never_handed_out_whole(clock: MockClock) -> None:
    async with rig(chunked(BODY, BODY, b"more!", pause_s=0.7)) as broken:
        handed, error = await pieces_before_the_end(broken)
    assert error.code is ErrorCode.SOURCE_CHANGED
    assert len(handed) < len(BODY)


async def test_an_object_whose_end_never_comes_is_never_handed_out_whole(clock: MockClock) -> None:
    async with rig(chunked(BODY, BODY, ends=False)) as broken:
        handed, error = await pieces_before_the_end(broken)
    assert not error.permanent
    assert len(handed) < len(BODY)


async def test_a_silent_end_is_waited_for_no_longer_than_a_silent_middle(clock: MockClock) -> None:
    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        await chunked(BODY, BODY, ends=False)(asked, stream)
        if asked.method == "GET":
            await trio.sleep_forever()

    async with rig(script) as broken:
        with trio.fail_after(100):
            handed, error = await pieces_before_the_end(broken)
    assert error.code is ErrorCode.TIMEOUT
    assert len(handed) < len(BODY)


async def test_an_object_in_one_byte_chunks_arrives_whole() -> None:
    tiny = BODY[:3000]

    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        if asked.method == "HEAD":
            await stream.send_all(head(200, etag=ETAG, content_length=len(tiny)))
        else:
            chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in tiny)
            await stream.send_all(head(200, etag=ETAG, transfer_encoding="chunked") + chunks + b"0\r\n\r\n")

    async with rig(script) as honest:
        assert await honest.read() == tiny


@pytest.mark.parametrize("status", [304, 400, 403, 405, 406, 409, 416, 418, 501, 505])
async def test_a_refused_range_costs_an_attempt_and_not_the_object(status: int, clock: MockClock) -> None:
    async with rig(first_then(holding(BODY, cuts=[100_000]), answering(status))) as broken:
        error = await refusal(broken)
        assert (error.permanent, error.counts) == (False, True)
        broken.bucket.script = holding(BODY, cuts=[])
        assert await broken.read() == BODY


@pytest.mark.parametrize("size_bytes", [1, 63, 3_000, 300_000, 3_000_000])
@pytest.mark.parametrize("cuts", [3, 20, 60])
async def test_an_object_that_is_cut_again_and_again_but_moves_gets_there(
    size_bytes: int, cuts: int, clock: MockClock
) -> None:
    body = bytes(size_bytes)
    step = -(-size_bytes // (cuts + 1))
    async with rig(holding(body, cuts=[step] * min(cuts, size_bytes - 1))) as broken:
        assert await broken.read() == body


async def test_an_etag_that_a_proxy_made_weak_is_the_same_object() -> None:
    async with rig(chunked(BODY, BODY, etag=f"W/{ETAG}")) as honest:
        assert await honest.read() == BODY


@pytest.mark.parametrize(
    "page", [b"<Error><Code>SlowDown</Code></Error>", b"<!doctype html><title>Log in</title>", b"{}"]
)
async def test_a_page_instead_of_the_object_is_never_delivered(page: bytes) -> None:
    async with rig(answering(200, page, content_type="text/html")) as broken:
        error = await refusal(broken)
        assert "ETag" in error.message
        assert not error.permanent
        broken.bucket.script = holding(BODY, cuts=[])
        assert await broken.read() == BODY


@pytest.mark.parametrize("encoding", ["aws-chunked", "AWS-Chunked", "aws-chunked,identity", "identity, aws-chunked"])
async def test_how_an_upload_travelled_is_not_passed_on(encoding: str) -> None:
    stored = answering(200, BODY, etag=ETAG, content_encoding=encoding)
    async with rig(stored) as honest, honest.source.open_object("a.mp4") as opened:
        assert opened.info.content_encoding is None


async def test_the_encoding_that_is_stored_beside_it_is_passed_on() -> None:
    stored = answering(200, gzip.compress(BODY), etag=ETAG, content_encoding="aws-chunked, gzip")
    async with rig(stored) as honest, honest.source.open_object("a.mp4") as opened:
        assert opened.info.content_encoding == "gzip"


async def test_an_object_that_the_bucket_unpacks_names_its_encoding() -> None:
    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        if asked.method == "HEAD":
            await stream.send_all(head(200, etag=ETAG, content_length=99, content_encoding="gzip"))
        else:
            await chunked(BODY, BODY, etag=f"W/{ETAG}")(asked, stream)

    async with rig(script) as broken:
        error = await refusal(broken)
    assert error.code is ErrorCode.SOURCE_REFUSED
    assert "gzip" in error.message


DOUBTFUL = ["AccessDenied", "SignatureDoesNotMatch"]


@pytest.mark.parametrize("code", DOUBTFUL)
async def test_a_refusal_in_a_bucket_that_can_be_listed_is_of_the_object(code: str) -> None:
    refused = answering(403, f"<Error><Code>{code}</Code></Error>".encode())
    async with rig(by_path({"?": answering(200, LISTING), "a.mp4": refused})) as broken:
        error = await refusal(broken)
        await broken.source.probe()
    assert (error.blame, error.permanent) == (Blame.UNSURE, True)


async def test_a_bucket_that_cannot_be_listed_but_read_is_not_down() -> None:
    scripts = {
        "?": answering(403, DENIED),
        "good.mp4": answering(200, BODY, etag=ETAG),
        "a.mp4": answering(403, DENIED),
    }
    async with rig(by_path(scripts)) as broken:
        with pytest.raises(SourceError):
            await broken.source.probe()  # nothing was ever read with this key
        assert await broken.read("media/good.mp4") == BODY
        await broken.source.probe()


async def test_an_object_that_was_deleted_since_it_was_read_does_not_stop_the_bucket() -> None:
    gone = answering(404, b"<Error><Code>NoSuchKey</Code></Error>")
    async with rig(answering(200, BODY, etag=ETAG)) as broken:
        assert await broken.read("media/good.mp4") == BODY
        broken.bucket.script = by_path({"?": answering(403, DENIED), "good.mp4": gone})
        await broken.source.probe()
        assert broken.bucket.asked[-1].target.endswith(b"good.mp4")


async def test_a_key_that_lists_and_cannot_read_is_the_buckets_fault() -> None:
    async with rig(by_path({"?": listing(b"1.mp4", b"2.mp4", b"3.mp4"), ".mp4": answering(403, DENIED)})) as broken:
        with pytest.raises(SourceError, match="AccessDenied"):
            await broken.source.probe()


async def test_one_denied_object_at_the_head_of_a_bucket_does_not_stop_it() -> None:
    scripts = {
        "?": listing(b"1.mp4", b"2.mp4"),
        "1.mp4": answering(403, DENIED),
        "2.mp4": answering(200, BODY, etag=ETAG),
    }
    async with rig(by_path(scripts)) as broken:
        await broken.source.probe()
        assert broken.bucket.asked[-1].target.endswith(b"2.mp4")  # the one that is given ends the probe


async def test_an_outage_of_reading_alone_is_an_outage() -> None:
    async with rig(by_path({"?": listing(b"1.mp4"), ".mp4": answering(503)})) as broken:
        with pytest.raises(SourceError, match="503"):
            await broken.source.probe()


async def test_a_bucket_without_objects_is_well() -> None:
    async with rig(answering(200, LISTING)) as broken:
        await broken.source.probe()
        assert len(broken.bucket.asked) == 1


@pytest.mark.parametrize("code", DOUBTFUL)
async def test_a_bucket_that_refuses_everything_is_down(code: str) -> None:
    async with rig(answering(200, BODY, etag=ETAG)) as broken:
        assert await broken.read("media/good.mp4") == BODY
        broken.bucket.script = answering(403, f"<Error><Code>{code}</Code></Error>".encode())
        with pytest.raises(SourceError):
            await broken.source.probe()


def listing(*keys: bytes, token: str = "") -> Script:
    items = b"".join(b"<Contents><Key>%s</Key><Size>5</Size><ETag>e</ETag></Contents>" % key for key in keys)
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>".encode()
    return answering(200, b"<ListBucketResult>" + items + (more if token else b"") + b"</ListBucketResult>")


@pytest.mark.parametrize("tokens", ["A", "AB", "ABC", "xAB", "xyzABCDEFGHIJK"])
async def test_a_listing_that_goes_in_circles_ends(tokens: str) -> None:
    once = [token for token in tokens if token.islower()]
    circle = [token for token in tokens if token.isupper()]
    pages = iter(once)

    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        nonlocal circle
        token = next(pages, "") or circle[0]
        circle = circle if token.islower() else [*circle[1:], circle[0]]
        await listing(b"a", token=token)(asked, stream)

    async with rig(script) as broken:
        with pytest.raises(SourceError, match="repeats"):
            async for _ in broken.source.list_objects():
                pass
        assert len(broken.bucket.asked) <= 4 * len(tokens) + 4


async def test_one_odd_key_in_a_listing_hides_no_other() -> None:
    async with rig(listing(b"a", b"b\x01c", b"d & e", b"", b"z")) as honest:
        keys = [item.r2_key async for item in honest.source.list_objects()]
    assert keys == ["a", "b\x01c", "d & e", "z"]


async def test_an_object_whose_size_a_listing_lacks_is_still_listed() -> None:
    page = b"<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>"
    async with rig(answering(200, page)) as honest:
        assert [item async for item in honest.source.list_objects()] == [ListedObject("a", None, "")]
