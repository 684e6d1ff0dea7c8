"""A destination says whether a reference still works, and a wrong "good" or "bad" would cost a user's trust in it."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.net.pool import open_client
from streamwarm.sandbox.object_store import ObjectStore
from streamwarm.send import registry
from streamwarm.send.verifying import Verified, Verifies, Works, gives_file_ids
from streamwarm.settings.destinations import parse_destinations
from tests.worlds.destinations import CANARY, DestinationWorld, destination_world, size_of
from tests.worlds.http_sink import Fault, HttpSink, serving
from tests.worlds.scripted_bucket import NO_TLS, holding
from tests.worlds.stream import content

GOOD = Verified(Works.GOOD)


async def ask(p: DestinationWorld, result: Any) -> Verified:
    assert isinstance(p.destination, Verifies)
    return await p.destination.verify(result)


@pytest.mark.parametrize("kind", ["telegram", "s3", "s3-multipart"])
async def test_what_was_delivered_a_moment_ago_works(kind: str, object_store: ObjectStore, tmp_path: Path) -> None:
    body = content(size_of(kind))
    async with destination_world(kind, holding(body, cuts=[]), object_store, tmp_path) as p:
        done = await p.send()
        assert await ask(p, done.result) == GOOD
        assert gives_file_ids(p.destination) is (kind == "telegram")
        assert p.idle


async def test_an_id_that_is_none_and_another_bots_are_bad(object_store: ObjectStore, tmp_path: Path) -> None:
    async with destination_world("telegram", holding(content(300_000), cuts=[]), object_store, tmp_path) as p:
        done = await p.send()
        other = str(done.result["file_id"])[:-4] + "AAAA"  # signed with another token
        for file_id in ("nonsense", other):
            found = await ask(p, {**done.result, "file_id": file_id})
            assert (found.works, "file_id" in found.why) == (Works.BAD, True)


async def test_a_file_that_telegram_would_not_fetch_is_not_asked_for(object_store: ObjectStore, tmp_path: Path) -> None:
    async with destination_world("telegram", holding(content(300_000), cuts=[]), object_store, tmp_path) as p:
        p.proxy.faults += [Fault(0, p.server.refuse(500))]
        found = await ask(p, {"file_id": "any", "bytes": 20_000_001})
        assert (found.works, "20 MB" in found.why) == (Works.UNPROVEN, True)
        assert len(p.proxy.faults) == 1


WORDS = [
    (400, "Bad Request: invalid file_id", Works.BAD),
    (400, "Bad Request: wrong file_id or the file is temporarily unavailable", Works.BAD),
    (400, "Bad Request: wrong file identifier/HTTP URL specified", Works.BAD),
    (400, "Bad Request: file is too big", Works.UNPROVEN),
    (400, "Bad Request: SOMETHING_NEW", Works.UNPROVEN),
]


@pytest.mark.parametrize(("status", "words", "works"), WORDS)
async def test_each_refusal_means_what_telegram_says_and_no_more(
    status: int, words: str, works: Works, object_store: ObjectStore, tmp_path: Path
) -> None:
    async with destination_world("telegram", holding(content(300_000), cuts=[]), object_store, tmp_path) as p:
        answer = p.server.refuse(status).replace(b"No: X", words.encode())
        length = len(answer.partition(b"\r\n\r\n")[2])
        head = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
        head = [b"Content-Length: %d" % length if line.lower().startswith(b"content-length") else line for line in head]
        p.proxy.faults += [Fault(0, b"\r\n".join(head) + b"\r\n\r\n" + answer.partition(b"\r\n\r\n")[2])]
        assert (await ask(p, {"file_id": "any"})).works is works


@pytest.mark.parametrize(
    ("status", "code", "pauses"),
    [
        (429, ErrorCode.RATE_LIMITED, False),
        (401, ErrorCode.UNAUTHORIZED, True),
        (502, ErrorCode.DESTINATION_UNAVAILABLE, False),
    ],
)
async def test_a_bot_that_is_not_answered_proves_nothing_of_its_files(
    status: int, code: ErrorCode, pauses: bool, object_store: ObjectStore, tmp_path: Path
) -> None:
    async with destination_world("telegram", holding(content(300_000), cuts=[]), object_store, tmp_path) as p:
        p.proxy.faults += [Fault(0, p.server.refuse(status, **({"retry_after": 7} if status == 429 else {})))]
        with pytest.raises(DestinationError) as refused:
            await ask(p, {"file_id": "any"})
        assert (refused.value.code, refused.value.pauses_destination) == (code, pauses)
        assert status != 429 or refused.value.retry_after_s == 7


async def test_an_object_that_was_taken_away_or_replaced_in_the_bucket_is_bad(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    async with destination_world("s3", holding(content(300_000), cuts=[]), object_store, tmp_path) as p:
        done = await p.send()
        replaced = await ask(p, {**done.result, "etag": '"' + "0" * 32 + '"'})
        assert (replaced.works, "another object" in replaced.why) == (Works.BAD, True)
        missing = await ask(p, {**done.result, "key": f"{done.result['key']}-gone"})
        assert missing.works is Works.BAD
        for result in ({}, {**done.result, "bucket": "another"}, {**done.result, "key": 5}, {**done.result, "key": ""}):
            assert (await ask(p, result)).works is Works.UNPROVEN
        assert (await ask(p, {**done.result, "etag": ""})).works is Works.UNPROVEN


@asynccontextmanager
async def endpoint(sink: HttpSink) -> AsyncIterator[Verifies]:
    async with serving(sink):
        table = {"type": "http", "url": f"http://127.0.0.1:{sink.port}/up/{{r2_key}}", "allow_private": True}
        configured = parse_destinations({"tested": table | {"headers": {"Authorization": f"Bearer {CANARY}"}}})

        def open_pool(*, guarded: bool) -> Any:
            del guarded
            return open_client(connections=2, ssl_context=NO_TLS)

        opened = registry.open_destinations(configured, open_pool, now=time.time, token_hex=secrets.token_hex)
        async with opened as destinations:
            destination = destinations["tested"]
            assert isinstance(destination, Verifies)
            yield destination


async def test_an_endpoint_is_asked_for_the_location_that_it_named() -> None:
    sink = HttpSink([("ETag", '"e1"')], status=200)
    async with endpoint(sink) as destination:
        own = f"http://127.0.0.1:{sink.port}"
        for location in ("/there/a%2Fb", f"{own}/there/a%2Fb"):
            assert await destination.verify({"location": location, "etag": 'W/"e1"'}) == GOOD
        assert [(one.method, one.target) for one in sink.received] == 2 * [("HEAD", "/there/a%2Fb")]
        assert sink.received[0].headers["authorization"] == f"Bearer {CANARY}"
        assert (await destination.verify({"location": "/x", "etag": '"e2"'})).works is Works.BAD
        for status, works in [(404, Works.BAD), (410, Works.BAD), (405, Works.UNPROVEN), (302, Works.UNPROVEN)]:
            sink.status = status
            assert (await destination.verify({"location": "/x"})).works is works
        sink.status = 429
        with pytest.raises(DestinationError):
            await destination.verify({"location": "/x"})


@pytest.mark.parametrize(
    "location", [None, 5, "", "there", "//other.example/x", "http://other.example/x", "http://[", "/a b", "file:///etc"]
)
async def test_the_credentials_of_an_endpoint_go_nowhere_else(location: Any) -> None:
    sink = HttpSink(status=200)
    async with endpoint(sink) as destination:
        assert (await destination.verify({"location": location})).works is Works.UNPROVEN
        assert sink.received == []
