"""Names, listings and addresses: what is asked of a bucket is what was meant, and what was signed (fault 32)."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwarm.errors import ErrorCode, SourceError
from streamwarm.fetch.credentials import Bucket
from streamwarm.fetch.r2 import ListedObject
from streamwarm.s3.sigv4 import object_path
from tests.worlds.scripted_bucket import (
    CANARY,
    ETAG,
    answering,
    first_then,
    plain_client,
    pooled_client,
    rig,
    s3_error,
)

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
