"""What every destination owes its users, asked of all of them: exact bytes or nothing, a reason for every refusal, and
nothing left behind."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import h11
import pytest
import trio

from streamwarm.backlog.settlement import Done, Failed, Retry
from streamwarm.errors import DestinationError, ErrorCode, SourceError
from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.cancelling import cancelled_at
from tests.worlds.destinations import CANARY, HTTP_KINDS, KINDS, DestinationWorld, destination_world, size_of
from tests.worlds.http_sink import Fault, refusal
from tests.worlds.latency import Network
from tests.worlds.scripted_bucket import Script, answering, chunked, first_then, holding
from tests.worlds.stream import NOW, content, sha256

LARGE = content(16_000_000)
"""More than the kernel's buffers hold on loopback, so that a peer that does not read is felt."""

HOSTILE_KEYS = [
    "../up", "%2e%2e/x", "a//b", "a b+c&d=e?f#g", "line\nbreak\r\nX-Evil: 1", "q\"uo'te;{r2_key}", "🎬/é", "x" * 900
]  # fmt: skip

Open = Callable[..., AbstractAsyncContextManager[DestinationWorld]]
every_kind = pytest.mark.parametrize("kind", KINDS)
every_http_kind = pytest.mark.parametrize("kind", HTTP_KINDS)


@pytest.fixture
def opened(object_store: ObjectStore, tmp_path: Path) -> Open:
    def open_world(kind: str, script: Script, **settings: Any) -> AbstractAsyncContextManager[DestinationWorld]:
        return destination_world(kind, script, object_store, tmp_path, **settings)

    return open_world


@every_kind
@pytest.mark.parametrize("size_bytes", [1, 262_144, None], ids=["one-byte", "one-piece", "many-pieces"])
async def test_the_object_arrives_as_it_is_and_its_reference_is_recorded(
    kind: str, size_bytes: int | None, opened: Open
) -> None:
    body = content(size_bytes or size_of(kind))
    async with opened(kind, holding(body, cuts=[])) as p:
        delivered = await p.send(p.job(sha256=sha256(body)))
        assert await p.server.holds() == [(p.server.name_of("media/a.mp4"), sha256(body))]
        assert await p.server.leftovers() == []
        assert (delivered.result["sha256"], delivered.result["bytes"]) == (sha256(body), len(body))
        assert json.loads(json.dumps(delivered.result)) == delivered.result
        assert p.idle


@every_kind
async def test_a_download_that_breaks_and_goes_on_is_not_felt_at_the_destination(kind: str, opened: Open) -> None:
    body = content(size_of(kind))
    async with opened(kind, holding(body, cuts=[len(body) // 3, len(body) // 2])) as p:
        await p.send(p.job(sha256=sha256(body)))
        assert len(p.bucket.reopened_at) == 2
        assert await p.server.holds() == [(p.server.name_of("media/a.mp4"), sha256(body))]
        assert await p.server.leftovers() == []


@every_kind
async def test_an_object_with_another_digest_is_never_published(kind: str, opened: Open) -> None:
    async with opened(kind, holding(content(size_of(kind)), cuts=[])) as p:
        with pytest.raises(SourceError) as caught:
            await p.send(p.job(sha256="00" * 32))
        assert caught.value.code is ErrorCode.SHA256_MISMATCH
        assert await p.is_untouched()
        assert p.idle


@every_kind
async def test_an_object_that_breaks_off_is_never_published(kind: str, opened: Open) -> None:
    body = content(size_of(kind))
    torn = first_then(holding(body, cuts=[len(body) - 1000]), answering(412))
    async with opened(kind, torn) as p:
        with pytest.raises(SourceError) as caught:
            await p.send()
        assert caught.value.code is ErrorCode.SOURCE_CHANGED
        assert await p.is_untouched()
        assert p.idle


@every_kind
@pytest.mark.parametrize("ends", [True, False], ids=["goes-on", "never-ends"])
async def test_an_object_whose_end_is_in_doubt_is_never_published(kind: str, ends: bool, opened: Open) -> None:
    body = content(size_of(kind))
    more = [b"five."] if ends else []
    async with opened(kind, chunked(body, body, *more, ends=ends, pause_s=0.3), body_timeout_s=1.0) as p:
        with pytest.raises(SourceError) as caught:
            await p.send()
        assert not caught.value.permanent
        assert await p.is_untouched()
        assert p.idle


@every_http_kind
@pytest.mark.parametrize("stays", [False, True], ids=["closes", "stays-open-unread"])
async def test_an_early_refusal_is_read(kind: str, stays: bool, opened: Open) -> None:
    async with opened(kind, holding(LARGE, cuts=[]), body_timeout_s=2.0) as p:
        p.proxy.faults.append(Fault(100_000, p.server.refuse(413), stays))
        with trio.fail_after(30), pytest.raises(DestinationError) as caught:
            await p.send()
        assert (caught.value.code, caught.value.permanent) == (ErrorCode.TOO_LARGE, True)
        assert "413" in caught.value.message
        assert await p.is_untouched()
        assert p.idle


@every_http_kind
async def test_a_destination_that_stops_reading_ends_the_attempt(kind: str, opened: Open) -> None:
    async with opened(kind, holding(LARGE, cuts=[]), body_timeout_s=0.5) as p:
        p.proxy.faults.append(Fault(100_000, stays=True))
        with trio.fail_after(30), pytest.raises(DestinationError) as caught:
            await p.send()
        assert (caught.value.code, caught.value.permanent) == (ErrorCode.TIMEOUT, False)
        assert await p.is_untouched()
        assert p.idle


@every_http_kind
async def test_too_many_requests_costs_no_attempt_and_names_the_time(kind: str, opened: Open) -> None:
    body = content(size_of(kind))
    async with opened(kind, holding(body, cuts=[])) as p:
        p.proxy.faults.append(Fault(0, p.server.refuse(429, retry_after=7)))
        finished = await p.work()
        assert finished.error is not None
        assert finished.error.code is ErrorCode.RATE_LIMITED
        (error,) = finished.pauses
        assert error.code is ErrorCode.RATE_LIMITED
        assert error.pauses_destination or error.pauses_lane
        assert isinstance(finished.settlement, Retry)
        assert (finished.settlement.counts, finished.settlement.retry_at) == (False, NOW + 7)
        assert isinstance((await p.work()).settlement, Done)
        assert await p.server.holds() == [(p.server.name_of("media/a.mp4"), sha256(body))]
        assert await p.server.leftovers() == []


@every_http_kind
@pytest.mark.parametrize(
    "answer", [refusal(503), refusal(502, b"<html>\xff</html>", content_type="text/html"), b"\0\1\2 rubbish\r\n\r\n"]
)
async def test_an_outage_is_tried_again(kind: str, answer: bytes, opened: Open) -> None:
    body = content(size_of(kind))
    async with opened(kind, holding(body, cuts=[])) as p:
        p.proxy.faults.append(Fault(10, answer))
        finished = await p.work()
        assert finished.error is not None
        assert finished.error.code is ErrorCode.DESTINATION_UNAVAILABLE
        assert isinstance(finished.settlement, Retry)
        assert isinstance((await p.work()).settlement, Done)
        assert await p.server.holds() == [(p.server.name_of("media/a.mp4"), sha256(body))]
        assert await p.server.leftovers() == []


@every_http_kind
async def test_an_upload_cut_in_the_middle_is_not_suspected_of_a_delivery(kind: str, opened: Open) -> None:
    async with opened(kind, holding(LARGE, cuts=[])) as p:
        p.proxy.faults.append(Fault(1_000_000))
        finished = await p.work()
        assert finished.error is not None
        assert finished.error.code is ErrorCode.DESTINATION_UNAVAILABLE
        assert isinstance(finished.settlement, Retry)
        assert not finished.settlement.possible_duplicate
        assert await p.is_untouched()


@every_http_kind
async def test_a_lost_answer_is_an_outcome_of_its_own_unless_the_object_itself_tells(kind: str, opened: Open) -> None:
    body = content(size_of(kind))
    async with opened(kind, holding(body, cuts=[])) as p:
        p.proxy.applies = p.server.ends or p.proxy.applies
        p.proxy.faults.append(Fault())
        finished = await p.work()
        if p.server.ends is None:
            assert finished.error is not None
            assert finished.error.code is ErrorCode.DELIVERY_UNKNOWN
            assert isinstance(finished.settlement, Retry)
            assert finished.settlement.possible_duplicate
            finished = await p.work()
        assert isinstance(finished.settlement, Done)
        assert set(await p.server.holds()) == {(p.server.name_of("media/a.mp4"), sha256(body))}
        assert await p.server.leftovers() == []


@every_http_kind
async def test_an_answer_that_never_comes_ends_the_attempt(kind: str, opened: Open) -> None:
    async with opened(kind, holding(content(size_of(kind)), cuts=[]), answer_timeout_s=0.5) as p:
        p.proxy.applies = p.server.ends or p.proxy.applies
        p.proxy.faults.append(Fault(stays=True))
        with trio.fail_after(30):
            finished = await p.work()
        assert finished.error is not None
        assert finished.error.code is ErrorCode.DELIVERY_UNKNOWN
        assert p.idle


@every_http_kind
async def test_a_connection_that_was_closed_while_it_idled_costs_no_attempt(kind: str, opened: Open) -> None:
    body = content(20_000)
    async with opened(kind, holding(body, cuts=[]), backend=Network()) as p:
        await p.send()
        await p.proxy.close_idle()
        finished = await p.work()
        assert isinstance(finished.settlement, Done)
        assert {digest for _, digest in await p.server.holds()} == {sha256(body)}


@every_kind
async def test_an_attempt_cancelled_anywhere_leaves_nothing_behind(kind: str, opened: Open) -> None:
    body = content(size_of(kind, 2_000_000))
    async with opened(kind, holding(body, cuts=[])) as p:
        await p.send()
        descriptors = len(os.listdir("/proc/self/fd"))
        step, cancelled = 1, 0
        while await cancelled_at(step, p.send):
            assert p.idle
            assert await p.server.leftovers() == []
            cancelled += 1
            step += 1 if step < 40 else step // 3
        assert cancelled > 8
        assert {digest for _, digest in await p.server.holds()} == {sha256(body)}
    gc.collect()  # an unclosed generator would complain here, and a complaint is an error
    assert len(os.listdir("/proc/self/fd")) <= descriptors


@every_kind
async def test_a_hostile_key_is_exactly_that_name_or_an_error(kind: str, opened: Open) -> None:
    async with opened(kind, holding(content(1000), cuts=[])) as p:
        expected = []
        for number, key in enumerate(HOSTILE_KEYS):
            body = content(1000, seed=number)
            p.bucket.bucket.script = holding(body, cuts=[])
            try:
                await p.send(p.job(r2_key=key))
            except DestinationError as error:
                assert kind.startswith("s3")
                assert error.permanent  # noqa: PT017
            else:
                expected.append((p.server.name_of(key), sha256(body)))
        assert len(expected) >= len(HOSTILE_KEYS) - 2
        held = await p.server.holds()
        assert sorted(digest for _, digest in held) == sorted(digest for _, digest in expected)
        if kind != "telegram":  # it shows names, and cleans them up
            assert sorted(held) == sorted(expected)


@every_http_kind
async def test_no_secret_is_in_any_error(kind: str, opened: Open) -> None:
    def echo(request: h11.Request) -> bytes:
        said = request.target + b" " + b" ".join(name + b": " + value for name, value in request.headers)
        xml = b"<Error><Code>No</Code><Message>" + said.replace(b"<", b"").replace(b"&", b" ") + b"</Message></Error>"
        text = json.dumps({"ok": False, "error_code": 400, "description": said.decode()}).encode()
        body, named = (xml, "application/xml") if kind.startswith("s3") else (text, "application/json")
        return refusal(400, body, content_type=named)

    async with opened(kind, holding(content(size_of(kind)), cuts=[])) as p:
        assert len(p.secrets) >= 1
        for fault in (Fault(10, echo), Fault(None, echo), Fault()):
            p.proxy.faults.append(fault)
            finished = await p.work()
            assert finished.error is not None
            assert isinstance(finished.settlement, Retry | Failed)
            told = f"{finished.error.message} {finished.settlement.error}"
            assert not any(secret in told for secret in [*p.secrets, CANARY])
