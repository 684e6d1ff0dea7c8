"""The S3 destination alone: its settings, how a big object is cut, what answers mean, how an upload is completed."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from streamwarm.backlog.settlement import Done, Retry
from streamwarm.errors import DestinationError, ErrorCode, InvalidJob, InvalidOptions, SettingsError
from streamwarm.model import Kind, NewJob
from streamwarm.s3.bounds import MOST_BYTES, MOST_PARTS, TRACES
from streamwarm.sandbox.object_store import ObjectStore
from streamwarm.send.destination import Media
from streamwarm.send.s3.answers import (
    etag_of_parts,
    part_sizes,
    read_refusal,
)
from streamwarm.send.s3.destination import S3Destination
from streamwarm.settings.convert import structure_table
from streamwarm.settings.destinations import parse_destinations, secrets_in
from streamwarm.settings.s3 import S3Settings
from tests.worlds.destinations import MIB, Bytes, s3_bucket, size_of
from tests.worlds.http_sink import Fault, refusal
from tests.worlds.scripted_bucket import NO_TLS
from tests.worlds.stream import content, sha256

TABLE = {
    "type": "s3",
    "endpoint_url": "https://s3.example",
    "bucket": "media",
    "access_key_id": "id-canary",
    "secret_access_key": "key-canary",
}
JOB = NewJob("backup", Kind.VIDEO, "media/a.mp4")
MEDIA = Media("job-1", Kind.VIDEO, "media/a.mp4", 5, "video/mp4", {})


def settings(**changes: Any) -> S3Settings:
    return structure_table(S3Settings, {**TABLE, **changes}, "[destinations.backup]")


@pytest.mark.parametrize(
    ("key", "value", "because"),
    [
        ("endpoint_url", "s3.example", "https://HOST"),
        ("endpoint_url", "https://user:pass-canary@s3.example", "credentials"),
        ("endpoint_url", "https://s3.example/media", "after the host"),
        ("endpoint_url", "https://s3.example?x=1", "after the host"),
        ("endpoint_url", "https://s3.example:99999", "URL"),
        ("bucket", "a/b", "slashes"),
        ("bucket", "", "empty"),
        ("region", "a b", "spaces"),
        ("access_key_id", "id canary", "spaces"),
        ("access_key_id", "id\ncanary", "line break"),
        ("secret_access_key", "", "empty"),
        ("key", "fixed", "{r2_key}"),
        ("key", "{name}", "placeholder"),
        ("key", "{r2_key", "brace"),
        ("key", "a\n{r2_key}", "printed"),
        ("key", ".streamwarm/{r2_key}", "notes"),
        ("part_bytes", 1024, "5 MiB"),
        ("part_bytes", "many", "whole number"),
        ("part_byte", 1, "did you mean part_bytes?"),
    ],
)
def test_a_wrong_setting_is_refused_with_key_and_remedy(key: str, value: Any, because: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(**{key: value})
    message = str(caught.value)
    assert message.startswith(f"[destinations.backup] {key}: ")
    assert because in message
    assert "canary" not in message


def test_both_keys_are_secrets() -> None:
    assert secrets_in(parse_destinations({"backup": TABLE})) == ["id-canary", "key-canary"]
    assert "canary" not in repr(settings())


def destination(made: Any, client: httpx.AsyncClient) -> S3Destination:
    return S3Destination("backup", made, client, now=time.time, token_hex=secrets.token_hex)


def test_a_job_that_can_have_no_name_there_is_refused_at_push() -> None:
    client = httpx.AsyncClient(verify=NO_TLS)
    by_digest = destination(settings(key="{sha256}"), client)
    with pytest.raises(InvalidJob, match="sha256"):
        by_digest.check_job(JOB)
    by_digest.check_job(evolve(JOB, sha256="ab" * 32))
    prefixed = destination(settings(key="copies/{r2_key}"), client)
    with pytest.raises(InvalidJob, match="1030 bytes"):
        prefixed.check_job(evolve(JOB, r2_key="k" * 1023))
    plain = destination(settings(), client)
    with pytest.raises(InvalidJob, match="notes"):
        plain.check_job(evolve(JOB, r2_key=f"{TRACES}x"))
    with pytest.raises(InvalidOptions, match=r"options\.caption"):
        plain.check_job(evolve(JOB, options={"caption": "x"}))
    with pytest.raises(DestinationError, match="5 TiB") as caught:
        plain.check_media(evolve(MEDIA, bytes=MOST_BYTES + 1))
    assert caught.value.code is ErrorCode.TOO_LARGE


@given(st.integers(1, MOST_BYTES), st.integers(5 * MIB, 5 << 30))
def test_parts_are_equal_but_for_the_last_and_no_more_than_s3_takes(total: int, part_bytes: int) -> None:
    sizes = part_sizes(total, part_bytes)
    assert sum(sizes) == total
    assert len(sizes) <= MOST_PARTS
    assert len(set(sizes[:-1])) <= 1
    assert 0 < sizes[-1] <= sizes[0]
    assert len(sizes) == 1 or part_bytes <= sizes[0] <= 5 << 30


def test_the_etag_of_parts_is_what_s3_makes_of_them() -> None:
    parts = ['"4f08eef4096726bff1125e1b1b734644"', '"abf7f0c50f9f08c680c97d669f346e3c"']
    assert etag_of_parts(parts) == '"c78e341343eb71f14fdef21464e0afa3-2"'  # as SeaweedFS answered for these two
    assert etag_of_parts(['"not-an-md5"']) is None


@pytest.mark.parametrize(
    ("status", "code", "expected", "says"),
    [
        (301, "PermanentRedirect", ErrorCode.DESTINATION_REFUSED, "region"),
        (403, "AccessDenied", ErrorCode.DESTINATION_REFUSED, "permission"),
        (403, "SignatureDoesNotMatch", ErrorCode.UNAUTHORIZED, "secret_access_key"),
        (403, "InvalidAccessKeyId", ErrorCode.UNAUTHORIZED, "access_key_id"),
        (403, "RequestTimeTooSkewed", ErrorCode.UNAUTHORIZED, "clock"),
        (401, "", ErrorCode.UNAUTHORIZED, "access_key_id"),
        (404, "NoSuchBucket", ErrorCode.DESTINATION_REFUSED, "check bucket"),
        (404, "NoSuchUpload", ErrorCode.DESTINATION_UNAVAILABLE, "404"),
        (400, "EntityTooLarge", ErrorCode.TOO_LARGE, "part_bytes"),
        (411, "MissingContentLength", ErrorCode.DESTINATION_REFUSED, "411"),
        (429, "", ErrorCode.RATE_LIMITED, "429"),
        (503, "SlowDown", ErrorCode.RATE_LIMITED, "503"),
        (500, "InternalError", ErrorCode.DESTINATION_UNAVAILABLE, "500"),
        (502, "", ErrorCode.DESTINATION_UNAVAILABLE, "502"),
    ],
)
def test_every_refusal_says_what_to_do(status: int, code: str, expected: ErrorCode, says: str) -> None:
    body = f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode() if code else b""
    error = read_refusal(status, body, bucket="media", key="a.mp4", retry_after=None, now=0.0)
    assert error.code is expected
    assert says in error.message
    assert error.counts == (expected not in {ErrorCode.UNAUTHORIZED, ErrorCode.RATE_LIMITED})


@pytest.mark.parametrize("key", ["a/../b", "..", "a//b", "a b", "é", "a%2e", "/a", "a/"])
def test_a_name_that_a_server_tidies_stops_no_other_object(key: str) -> None:
    body = b"<Error><Code>SignatureDoesNotMatch</Code></Error>"
    error = read_refusal(403, body, bucket="media", key=key, retry_after=None, now=0.0)
    assert (error.pauses_destination, error.counts, error.permanent) == (False, True, False)
    plain = read_refusal(403, body, bucket="media", key="media/a-1_x.mp4", retry_after=None, now=0.0)
    assert (plain.pauses_destination, plain.counts) == (True, False)


def test_one_key_written_too_often_holds_up_no_other() -> None:
    one_key = read_refusal(429, b"", bucket="media", key="a", retry_after=None, now=0.0)
    assert (one_key.pauses_destination, one_key.retry_after_s) == (False, 2.0)
    everything = read_refusal(429, b"", bucket="media", key="a", retry_after="9", now=0.0)
    assert (everything.pauses_destination, everything.retry_after_s) == (True, 9.0)


BODY = content(size_of("s3-multipart"))


async def test_a_success_that_turns_out_an_error_publishes_nothing(object_store: ObjectStore, tmp_path: Path) -> None:
    late = refusal(200, b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>m</Message></Error>")
    async with s3_bucket(object_store, tmp_path, BODY) as p:
        assert p.far.ends
        p.road.applies = p.far.ends
        p.road.faults.append(Fault(0, late))
        finished = await p.work()
        assert finished.error is not None
        assert finished.error.code is ErrorCode.DESTINATION_UNAVAILABLE
        assert await p.is_untouched()


async def test_a_last_step_that_was_lost_and_never_happened_is_unknown_and_made_again(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    async with s3_bucket(object_store, tmp_path, BODY) as p:
        assert p.far.ends
        p.road.applies = p.far.ends
        p.road.faults += [Fault(0), Fault(0)]
        finished = await p.work()
        assert finished.error is not None
        assert finished.error.code is ErrorCode.DELIVERY_UNKNOWN
        assert isinstance(finished.settlement, Retry)
        assert await p.is_untouched()
        assert isinstance((await p.work()).settlement, Done)
        assert [digest for _, digest in await p.far.holds()] == [sha256(BODY)]


HALF_AN_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n<CompleteMultipartUpl"


@pytest.mark.parametrize(
    "fault", [Fault(0), Fault(), Fault(answer=HALF_AN_ANSWER)], ids=["unmade", "made", "half-told"]
)
async def test_a_last_step_whose_answer_was_lost_is_made_again_without_another_upload(
    fault: Fault, object_store: ObjectStore, tmp_path: Path
) -> None:
    async with s3_bucket(object_store, tmp_path, BODY) as p:
        assert p.far.ends
        p.road.applies = p.far.ends
        p.road.faults.append(fault)
        delivered = await p.send()
        assert delivered.result["etag"].endswith('-2"')
        assert [digest for _, digest in await p.far.holds()] == [sha256(BODY)]
        assert await p.far.leftovers() == []
        assert sum("partNumber=" in request for request in p.road.requests) == 2


async def test_a_small_object_costs_one_request_and_a_big_one_is_cut(object_store: ObjectStore, tmp_path: Path) -> None:
    async with s3_bucket(object_store, tmp_path, content(5 * MIB)) as p:
        delivered = await p.send()
        assert len(p.road.requests) == 1
        assert delivered.result["bucket"] == object_store.bucket
        assert delivered.result["key"].endswith("/media/a.mp4")
    async with s3_bucket(object_store, tmp_path, content(10 * MIB + 1)) as p:
        delivered = await p.send()
        assert delivered.result["etag"].endswith('-3"')
        assert sum("partNumber=" in request for request in p.road.requests) == 3


async def test_the_next_part_moves_while_the_last_is_answered_and_no_third(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    body = content(20 * MIB + 1)
    async with s3_bucket(object_store, tmp_path, body, body_timeout_s=1.0) as p:
        p.road.applies = lambda request: b"partNumber=" in request.target
        p.road.faults += [Fault(stays=True)] * 9  # no part is ever answered
        finished = await p.work()
        assert finished.error is not None
        assert finished.error.code is ErrorCode.TIMEOUT
        assert sum("partNumber=" in request for request in p.road.requests) == 2
        assert await p.is_untouched()


@pytest.mark.parametrize("size_bytes", [1000, len(BODY)], ids=["one-request", "parts"])
async def test_an_object_keeps_its_type_and_its_encoding(
    size_bytes: int, object_store: ObjectStore, tmp_path: Path
) -> None:
    async with s3_bucket(object_store, tmp_path, BODY) as p:
        media = evolve(MEDIA, bytes=size_bytes, content_type="image/svg+xml; charset=utf-8", content_encoding="gzip")
        reference = await p.destination.deliver(media, Bytes(BODY[:size_bytes]))
        head = await p.destination._client.ask("HEAD", reference["key"])  # type: ignore[attr-defined]
        assert head.headers["Content-Type"] == "image/svg+xml; charset=utf-8"
        assert head.headers["Content-Encoding"] == "gzip"


async def test_an_upload_that_cannot_be_noted_or_begun_in_time_is_not_begun(
    object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with s3_bucket(object_store, tmp_path, BODY) as p:
        p.road.applies = lambda request: TRACES.encode() in request.target and request.method == b"PUT"
        p.road.faults.append(Fault(0, refusal(403, b"<Error><Code>AccessDenied</Code></Error>")))
        finished = await p.work()
        assert finished.error is not None
        assert finished.error.code is ErrorCode.DESTINATION_REFUSED
        assert TRACES in finished.error.message
        assert await p.is_untouched()

        monkeypatch.setattr("streamwarm.send.s3.multipart.BEGIN_S", 0.3)
        p.road.applies = lambda request: b"?uploads" in request.target
        p.road.faults.append(Fault(0, stays=True))
        with trio.fail_after(30):
            finished = await p.work()
        assert finished.error is not None
        assert finished.error.code is ErrorCode.TIMEOUT
        assert await p.is_untouched()
        assert not any("partNumber=" in request for request in p.road.requests)
