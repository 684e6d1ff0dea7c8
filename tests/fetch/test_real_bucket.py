"""Against a real S3 server that verifies signatures, which no scripted server does."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from random import random

import httpx
import pytest
from attrs import evolve

from streamwarm.errors import ErrorCode, SourceError
from streamwarm.fetch.credentials import Bucket
from streamwarm.fetch.r2 import R2Source
from streamwarm.net.pool import open_client
from streamwarm.s3.sigv4 import S3Request, Signer, SigningKeys, object_path
from streamwarm.sandbox.fill import put_object
from streamwarm.sandbox.object_store import ObjectStore

HOSTILE_KEYS = [
    "%2e%2e/%2e%2e/secret",
    "..%2fsecret",
    "a%20b",
    "a b+c",
    "?list-type=2#x",
    "quotes '\"<>&;",
    "new\nline\r\nHost: evil",
    "…é漢字",
    "🎬 film.mp4",
    "!$&'()*,:=@[]^`{|}~",
    "/".join(["k" * 200] * 5)[:1020],
    "../secret",
    "a/../secret",
    "..",
    "nul\0byte",
]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with open_client() as opened:
        yield opened


def source_of(client: httpx.AsyncClient, bucket: Bucket) -> R2Source:
    return R2Source(client, bucket, signing_keys=SigningKeys(), now=time.time, uniform=random)


async def read(source: R2Source, key: str) -> bytes:
    async with source.open_object(key) as opened:
        return b"".join([bytes(piece) async for piece in opened.pieces()])


async def store(client: httpx.AsyncClient, bucket: Bucket, key: str, body: bytes) -> None:
    await put_object(
        client,
        bucket,
        key,
        body,
        length_bytes=len(body),
        content_type="video/mp4",
        signing_keys=SigningKeys(),
        now=time.time,
    )


async def test_hostile_names_give_their_own_object_or_an_error(
    client: httpx.AsyncClient, object_store: ObjectStore
) -> None:
    bucket = object_store.as_bucket()
    source = source_of(client, bucket)
    await store(client, bucket, "secret", b"another object")
    held = []
    for number, key in enumerate(HOSTILE_KEYS):
        body = b"object %d" % number
        try:
            await store(client, bucket, key, body)
            assert await read(source, key) == body
            assert (await source.head_object(key)).bytes == len(body)
            held.append(key)
        except SourceError as error:
            assert error.permanent  # noqa: PT017 - an error is one of the two right outcomes
    assert HOSTILE_KEYS[:11] == held
    listed = {item.r2_key async for item in source.list_objects()}
    assert listed >= set(held)


async def test_a_streamed_upload_comes_back_byte_for_byte(client: httpx.AsyncClient, object_store: ObjectStore) -> None:
    bucket = object_store.as_bucket()
    piece = bytes(range(256)) * 4096

    async def body() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield piece

    etag = await put_object(
        client,
        bucket,
        "upload/big.bin",
        body(),
        length_bytes=5 * len(piece),
        content_type="application/octet-stream",
        signing_keys=SigningKeys(),
        now=time.time,
    )
    source = source_of(client, bucket)
    info = await source.head_object("upload/big.bin")
    assert (info.bytes, info.etag, info.content_type) == (5 * len(piece), etag, "application/octet-stream")
    assert await read(source, "upload/big.bin") == piece * 5


async def test_a_listing_longer_than_a_page_names_everything(
    client: httpx.AsyncClient, object_store: ObjectStore
) -> None:
    bucket = object_store.as_bucket()
    keys = [f"paged/{number:04} +é" for number in range(12)]
    for key in keys:
        await store(client, bucket, key, b"x")
    source = source_of(client, bucket)
    assert [item.r2_key async for item in source.list_objects("paged/")] == keys
    assert [item.bytes async for item in source.list_objects("paged/0003")] == [1]
    assert [item async for item in source.list_objects("nowhere/")] == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"secret_access_key": "wrong"}, r"r2\.secret_access_key"),
        ({"access_key_id": "wrong"}, r"r2\.access_key_id"),
    ],
)
async def test_wrong_credentials_are_refused_with_the_setting_to_mend(
    client: httpx.AsyncClient, object_store: ObjectStore, changes: dict[str, str], says: str
) -> None:
    source = source_of(client, evolve(object_store.as_bucket(), **changes))
    with pytest.raises(SourceError, match=says) as caught:
        await source.check()
    assert caught.value.code is ErrorCode.SOURCE_REFUSED


async def test_a_clock_that_is_wrong_is_told_apart_from_a_wrong_key(
    client: httpx.AsyncClient, object_store: ObjectStore
) -> None:
    past = lambda: time.time() - 7200  # noqa: E731
    late = R2Source(client, object_store.as_bucket(), signing_keys=SigningKeys(), now=past, uniform=random)
    with pytest.raises(SourceError, match="clock"):
        await late.check()


async def test_a_bucket_that_is_not_there_is_named(client: httpx.AsyncClient, object_store: ObjectStore) -> None:
    source = source_of(client, evolve(object_store.as_bucket(), bucket="elsewhere"))
    with pytest.raises(SourceError, match=r"'elsewhere'; check r2\.bucket"):
        await source.check()


async def test_an_object_that_is_not_there_is_named(client: httpx.AsyncClient, object_store: ObjectStore) -> None:
    source = source_of(client, object_store.as_bucket())
    await source.check()
    with pytest.raises(SourceError, match=r"'gone\.mp4' in bucket 'media'") as caught:
        await read(source, "gone.mp4")
    assert caught.value.code is ErrorCode.SOURCE_NOT_FOUND


async def test_the_rest_of_an_object_is_served_to_the_resumed_request(
    client: httpx.AsyncClient, object_store: ObjectStore
) -> None:
    bucket = object_store.as_bucket()
    await store(client, bucket, "resume/a", b"0123456789")
    source = source_of(client, bucket)
    info = await source.head_object("resume/a")
    answer = await source._reopen(info, 4)
    try:
        assert answer.head.status == 206
        assert await answer.read(100) == b"456789"
    finally:
        await answer.aclose()
    await store(client, bucket, "resume/a", b"another one")
    with pytest.raises(SourceError) as caught:
        await source._reopen(info, 4)
    assert caught.value.code is ErrorCode.SOURCE_CHANGED


async def test_a_presigned_url_opens_its_object_until_it_expires(
    client: httpx.AsyncClient, object_store: ObjectStore
) -> None:
    bucket = object_store.as_bucket()
    await store(client, bucket, "presigned/é +.txt", b"hello")
    signer = Signer(bucket.access_key_id, bucket.secret_access_key, SigningKeys())
    host = httpx.URL(bucket.endpoint_url).netloc.decode()
    s3_request = S3Request("GET", host, object_path(bucket.bucket, "presigned/é +.txt"))
    for age_s, status in ((0, 200), (120, 403)):
        target = signer.presigned_target(s3_request, expires_s=60, now=time.time() - age_s)
        answer = await client.get(httpx.URL(bucket.endpoint_url).copy_with(raw_path=target))
        assert answer.status_code == status
