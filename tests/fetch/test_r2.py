"""Faults 5 to 8 and 32, listings and refusals, over real sockets."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from email.utils import formatdate
from functools import partial

import httpx
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from streamwarm.errors import ErrorCode, SourceError
from streamwarm.fetch.bucket import Bucket
from streamwarm.fetch.r2 import ListedObject, R2Source
from streamwarm.s3.sigv4 import SigningKeys, object_path
from tests.worlds.scripted_bucket import (
    CANARY,
    ETAG,
    NOW,
    Asked,
    Script,
    answering,
    first_then,
    head,
    holding,
    patient_clock,
    plain_client,
    pooled_client,
    rig,
)

BODY = b"media" * 40_000
ZIPPED = gzip.compress(BODY)


@pytest.fixture
def clock() -> MockClock:
    return patient_clock()


async def refusal(script: Script, r2_key: str = "media/a.mp4") -> SourceError:
    async with rig(script) as broken:
        with pytest.raises(SourceError) as caught:
            await broken.read(r2_key)
        assert CANARY not in f"{caught.value!r} {caught.value} {caught.value.message}"
    return caught.value


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


async def silent(asked: Asked, stream: trio.SocketStream) -> None:
    """Say nothing until the other side hangs up."""
    await stream.receive_some()
    await stream.aclose()


async def silent_after_head(asked: Asked, stream: trio.SocketStream) -> None:
    await stream.send_all(head(200, etag=ETAG, content_length=1000) + b"x")
    await silent(asked, stream)


async def trickling(asked: Asked, stream: trio.SocketStream) -> None:
    await stream.send_all(head(200, etag=ETAG, content_length=1000))
    while True:
        await stream.send_all(b"x")
        await trio.sleep(5)


@pytest.mark.parametrize(
    ("script", "at_most_s"),
    [(silent, 31), (silent_after_head, 61), (trickling, 66)],
    ids=["silent", "silent after the head", "trickling"],
)
async def test_a_source_that_stalls_gives_its_worker_back(script: Script, at_most_s: float, clock: MockClock) -> None:
    started_at = trio.current_time()
    error = await refusal(script)
    assert error.code is ErrorCode.TIMEOUT
    assert not error.permanent
    assert trio.current_time() - started_at <= at_most_s


async def test_a_slow_destination_does_not_make_the_source_look_stalled(clock: MockClock) -> None:
    async with rig(holding(BODY, cuts=[])) as honest, honest.source.open_object("a.mp4") as opened:
        got = bytearray()
        async for piece in opened.pieces():
            got += piece
            await trio.sleep(100)
        assert got == BODY


def s3_error(code: str, message: str = "no") -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


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
    assert error.permanent is (code is not ErrorCode.SOURCE_UNAVAILABLE)


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


async def test_a_bucket_that_cannot_be_reached_is_tried_again() -> None:
    bucket = Bucket("http://127.0.0.1:9", "media", "auto", "id", CANARY)
    async with pooled_client() as client:
        source = R2Source(client, bucket, signing_keys=SigningKeys(), now=lambda: NOW)
        with pytest.raises(SourceError) as caught:
            async with source.open_object("media/a.mp4"):
                pass
    assert caught.value.code is ErrorCode.SOURCE_UNAVAILABLE
    assert not caught.value.permanent


async def test_a_kept_connection_that_died_in_the_meantime_costs_no_attempt() -> None:
    async def hang_up(asked: Asked, stream: trio.SocketStream) -> None:
        await stream.aclose()

    async with rig(first_then(hang_up, holding(BODY, cuts=[]))) as broken:
        assert await broken.read() == BODY


async def test_a_server_that_hangs_up_on_everything_is_unavailable() -> None:
    async def hang_up(asked: Asked, stream: trio.SocketStream) -> None:
        await stream.aclose()

    assert (await refusal(hang_up)).code is ErrorCode.SOURCE_UNAVAILABLE


async def endless(asked: Asked, stream: trio.SocketStream) -> None:
    await stream.send_all(head(200, etag=ETAG, content_length=10**12))
    while True:
        await stream.send_all(b"x" * 65536)


async def test_leaving_an_object_early_leaves_no_connection_and_no_slot_taken() -> None:
    async with rig(endless, open_http=partial(pooled_client, 1)) as honest:
        for _ in range(3):
            async with honest.source.open_object("a.mp4") as opened:
                assert await anext(opened.pieces())
        await honest.bucket.all_closed()


async def test_leaving_an_object_unread_leaves_no_connection() -> None:
    async with rig(endless, open_http=partial(pooled_client, 1)) as honest:
        async with honest.source.open_object("a.mp4"):
            pass
        await honest.bucket.all_closed()


@pytest.mark.parametrize("script", [silent, silent_after_head, endless], ids=lambda script: script.__name__)
async def test_a_cancelled_transfer_leaves_no_connection_and_no_slot_taken(script: Script) -> None:
    async with rig(script, open_http=partial(pooled_client, 1)) as honest:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(honest.read)
            await honest.bucket.first_asked.wait()
            nursery.cancel_scope.cancel()
        await honest.bucket.all_closed()
        honest.bucket.script = holding(BODY, cuts=[])
        assert await honest.read() == BODY


async def pausing(asked: Asked, stream: trio.SocketStream) -> None:
    await stream.send_all(head(200, etag=ETAG, content_length=1000) + b"x")
    await trio.sleep(5)
    await stream.send_all(b"x" * 999)


async def test_a_read_that_was_cancelled_is_not_taken_for_the_end(clock: MockClock) -> None:
    async with rig(pausing) as honest, honest.source.open_object("a.mp4") as opened:
        pieces = opened.pieces()
        got = await anext(pieces)
        with trio.move_on_after(1):
            await anext(pieces)
        assert got + b"".join([bytes(piece) async for piece in pieces]) == b"x" * 1000


hostile_keys = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    st.text("./%2eE+?#&= ~\\\n\r\0\"'é🎬", min_size=1, max_size=20),
)


async def read_each(keys: list[str], open_http: Callable[[], httpx.AsyncClient]) -> None:
    async with rig(answering(200, b"x", etag=ETAG), open_http=open_http) as honest:
        for key in keys:
            assert await honest.read(key) == b"x"
        assert [asked.target for asked in honest.bucket.asked] == [object_path("media", key).encode() for key in keys]


@settings(max_examples=15)
@given(st.lists(hostile_keys, min_size=1, max_size=10))
def test_a_hostile_name_goes_onto_the_wire_exactly_as_it_was_signed(keys: list[str]) -> None:
    trio.run(read_each, keys, plain_client)


@settings(max_examples=15)
@given(st.lists(hostile_keys, min_size=1, max_size=10))
def test_the_pooled_client_too_sends_a_hostile_name_as_it_was_signed(keys: list[str]) -> None:
    trio.run(read_each, keys, pooled_client)


@pytest.mark.parametrize("r2_key", ["", "\ud800", "x" * 1025, "é" * 513])
async def test_a_name_that_no_object_can_have_never_becomes_another_request(r2_key: str) -> None:
    async with rig(answering(200, b"x")) as honest:
        with pytest.raises(SourceError) as caught:
            await honest.read(r2_key)
        assert caught.value.code is ErrorCode.SOURCE_NOT_FOUND
        assert honest.bucket.asked == []


def page(*keys: str, token: str = "") -> bytes:
    items = "".join(f"<Contents><Key>{key}</Key><Size>5</Size><ETag>e</ETag></Contents>" for key in keys)
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    return (
        '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<EncodingType>url</EncodingType>{items}{more}</ListBucketResult>"
    ).encode()


async def test_a_listing_of_several_pages_names_every_object_once() -> None:
    pages = first_then(answering(200, page("a%2Bb+c", "%0A%F0%9F%8E%AC", token="t/1")), answering(200, page("d")))
    async with rig(pages) as honest:
        listed = [item async for item in honest.source.list_objects("p/ä")]
        assert listed == [ListedObject(key, 5, "e") for key in ("a+b c", "\n🎬", "d")]
        assert b"prefix=p%2F%C3%A4" in honest.bucket.asked[0].target
        assert b"continuation-token=t%2F1" in honest.bucket.asked[1].target


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"",
        page("a")[:-30],
        b'<!DOCTYPE x [<!ENTITY a "b">]>' + page("a"),
        page("a").replace(b"<Size>5</Size>", b"<Size>-5</Size>"),
        page("a", token="x").replace(b">x<", b"><"),
        page("a", token="same"),
        page("a", token="x" * 70_000),
    ],
)
async def test_a_listing_that_makes_no_sense_is_an_error_and_ends(body: bytes) -> None:
    async with rig(answering(200, body)) as broken:
        with pytest.raises(SourceError) as caught:
            async for _ in broken.source.list_objects():
                pass
        assert caught.value.code is ErrorCode.SOURCE_REFUSED


async def test_a_check_with_bad_credentials_names_the_setting() -> None:
    async with rig(answering(403, s3_error("InvalidAccessKeyId"))) as broken:
        with pytest.raises(SourceError, match=r"r2\.access_key_id"):
            await broken.source.check()


async def test_a_size_that_a_server_keeps_to_itself_is_refused() -> None:
    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        if asked.method == "HEAD":
            await stream.send_all(head(200, etag=ETAG))
        else:
            await stream.send_all(head(200, etag=ETAG, connection="close") + BODY)
            await stream.aclose()

    error = await refusal(script)
    assert error.code is ErrorCode.SOURCE_REFUSED
    assert "size" in error.message


@pytest.mark.parametrize(
    ("endpoint_url", "says"),
    [
        ("acct.r2.cloudflarestorage.com", "https://HOST"),
        ("ftp://host", "https://HOST"),
        ("https://user:pw@host", "credentials"),
        ("https://acct.r2.cloudflarestorage.com/media", "bucket"),
        ("https://host/?x", "bucket"),
        ("http://[::1", "URL"),
    ],
)
def test_an_endpoint_that_would_sign_another_path_is_refused(endpoint_url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Bucket(endpoint_url, "media", "auto", "id", CANARY)


def test_a_key_id_that_cannot_stand_in_a_header_is_refused() -> None:
    with pytest.raises(ValueError, match="access_key_id"):
        Bucket("https://host", "media", "auto", "id\r\nx: y", CANARY)


def test_a_bucket_never_shows_its_secret() -> None:
    assert CANARY not in repr(Bucket("https://host", "media", "auto", "id", CANARY))
