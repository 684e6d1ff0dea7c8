"""An object arrives as it is stored, and whatever else a bucket answers is refused by name, over real sockets."""

from __future__ import annotations

import gzip
from email.utils import formatdate

import pytest
import trio
from trio.testing import MockClock

from streamwarm.errors import Blame, ErrorCode
from tests.worlds.scripted_bucket import (
    ETAG,
    NOW,
    Asked,
    answering,
    head,
    patient_clock,
    refusal,
    rig,
    s3_error,
)

BODY = b"media" * 40_000
ZIPPED = gzip.compress(BODY)


@pytest.fixture
def clock() -> MockClock:
    return patient_clock()


async def test_an_object_arrives_as_stored_with_what_its_head_tells() -> None:
    async with (
        rig(answering(200, BODY, etag=ETAG, content_type="video/mp4")) as honest,
        honest.source.open_object("a.mp4") as opened,
    ):
        assert (opened.info.bytes, opened.info.etag) == (len(BODY), ETAG)
        assert (opened.info.content_type, opened.info.content_encoding) == ("video/mp4", None)
        assert opened.origin == "stream"
        assert b"".join([bytes(piece) async for piece in opened.pieces()]) == BODY
        assert honest.bucket.asked[0].headers["accept-encoding"] == "identity"


async def test_an_object_stored_encoded_is_delivered_exactly_as_stored() -> None:
    stored = answering(200, ZIPPED, etag=ETAG, content_encoding="gzip")
    async with rig(stored) as honest, honest.source.open_object("a.svgz") as opened:
        assert opened.info.content_encoding == "gzip"
        assert opened.info.bytes == len(ZIPPED)
        assert b"".join([bytes(piece) async for piece in opened.pieces()]) == ZIPPED


@pytest.mark.parametrize("length_told", [True, False])
async def test_an_object_compressed_on_the_way_is_refused_by_name(length_told: bool) -> None:
    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        if asked.method == "HEAD":
            await stream.send_all(head(200, etag=ETAG, content_length=len(BODY)))
        elif length_told:
            await stream.send_all(head(200, etag=ETAG, content_length=len(ZIPPED), content_encoding="gzip") + ZIPPED)
        else:
            await stream.send_all(head(200, etag=ETAG, transfer_encoding="chunked", content_encoding="gzip"))
            await stream.send_all(b"%x\r\n%s\r\n0\r\n\r\n" % (len(ZIPPED), ZIPPED))

    error = await refusal(script)
    assert error.code is ErrorCode.SOURCE_REFUSED
    assert "gzip" in error.message


async def test_an_object_decompressed_on_the_way_is_refused_by_name() -> None:
    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        if asked.method == "HEAD":
            await stream.send_all(head(200, etag=ETAG, content_length=len(ZIPPED), content_encoding="gzip"))
        else:
            await stream.send_all(head(200, etag=ETAG, transfer_encoding="chunked"))
            await stream.send_all(b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY))

    error = await refusal(script)
    assert error.code is ErrorCode.SOURCE_REFUSED
    assert "gzip" in error.message


async def test_an_object_replaced_between_two_heads_is_not_mixed_up() -> None:
    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        etag = '"etag-2"' if asked.method == "HEAD" else ETAG
        await answering(200, ZIPPED, etag=etag, content_encoding="gzip")(asked, stream)

    assert (await refusal(script)).code is ErrorCode.SOURCE_CHANGED


@pytest.mark.parametrize(
    ("status", "body", "code", "says"),
    [
        (404, s3_error("NoSuchKey"), ErrorCode.SOURCE_NOT_FOUND, "'media/a.mp4' in bucket 'media'"),
        (404, b"", ErrorCode.SOURCE_NOT_FOUND, "'media/a.mp4'"),
        (404, s3_error("NoSuchBucket"), ErrorCode.SOURCE_REFUSED, "check r2.bucket"),
        (403, s3_error("SignatureDoesNotMatch"), ErrorCode.SOURCE_REFUSED, "r2.secret_access_key"),
        (403, s3_error("RequestTimeTooSkewed"), ErrorCode.SOURCE_REFUSED, "clock"),
        (403, s3_error("InvalidAccessKeyId"), ErrorCode.SOURCE_REFUSED, "r2.access_key_id"),
        (403, b"<html>proxy</html>", ErrorCode.SOURCE_REFUSED, "403"),
        (401, s3_error("Unauthorized"), ErrorCode.SOURCE_REFUSED, "Unauthorized"),
        (400, s3_error("KeyTooLongError", "at most 1024"), ErrorCode.SOURCE_REFUSED, "at most 1024"),
        (301, s3_error("PermanentRedirect"), ErrorCode.SOURCE_REFUSED, "redirect"),
        (204, b"", ErrorCode.SOURCE_REFUSED, "204"),
        (206, b"x", ErrorCode.SOURCE_REFUSED, "206"),
        (429, b"", ErrorCode.SOURCE_UNAVAILABLE, "429"),
        (500, b"not xml", ErrorCode.SOURCE_UNAVAILABLE, "500"),
        (502, b"<html>", ErrorCode.SOURCE_UNAVAILABLE, "502"),
        (503, s3_error("SlowDown"), ErrorCode.SOURCE_UNAVAILABLE, "SlowDown"),
        (400, s3_error("RequestTimeout"), ErrorCode.SOURCE_UNAVAILABLE, "RequestTimeout"),
    ],
)
async def test_every_refusal_says_what_to_do(status: int, body: bytes, code: ErrorCode, says: str) -> None:
    error = await refusal(answering(status, body))
    assert error.code is code
    assert says in error.message
    of_one_key = any(word in body for word in (b"KeyTooLongError", b"SignatureDoesNotMatch", b"proxy"))
    assert error.permanent is (code is ErrorCode.SOURCE_NOT_FOUND or of_one_key)
    if of_one_key and b"KeyTooLong" not in body:
        assert error.blame is Blame.UNSURE  # a probe of the bucket decides


@pytest.mark.parametrize(
    ("retry_after", "expected"),
    [
        ("7", 7.0),
        (formatdate(NOW + 90, usegmt=True), 90.0),
        (formatdate(NOW - 90, usegmt=True), 0.0),
        ("9" * 40, 86400.0),
        ("soon", None),
        ("-5", None),
        ("nan", None),
    ],
)
async def test_the_silence_a_source_asks_for_is_kept(retry_after: str, expected: float | None) -> None:
    error = await refusal(answering(503, retry_after=retry_after))
    assert error.retry_after_s == expected


async def test_an_entity_bomb_in_an_error_is_not_expanded() -> None:
    bomb = b'<!DOCTYPE e [<!ENTITY a "boom">]><Error><Code>&a;</Code></Error>'
    assert "boom" not in (await refusal(answering(403, bomb))).message


async def test_an_endless_error_page_is_not_read_to_its_end(clock: MockClock) -> None:
    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        await stream.send_all(head(403, connection="close"))
        while True:
            await stream.send_all(b"x" * 65536)

    assert (await refusal(script)).code is ErrorCode.SOURCE_REFUSED


async def test_an_empty_object_is_refused_before_a_byte_is_uploaded() -> None:
    error = await refusal(answering(200, b"", etag=ETAG))
    assert error.code is ErrorCode.SOURCE_EMPTY
    assert error.permanent


async def test_a_size_that_a_server_keeps_to_itself_is_refused() -> None:
    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        if asked.method == "HEAD":
            await stream.send_all(head(200, etag=ETAG))
        else:
            await stream.send_all(head(200, etag=ETAG, connection="close") + BODY)
            await stream.aclose()

    error = await refusal(script)
    assert error.code is ErrorCode.SOURCE_REFUSED
    assert "length" in error.message
