"""Hand-off, attempt by attempt: the destination fetches, refuses, never answers or reveals what it should not."""

from __future__ import annotations

import json
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

import pytest
import trio
from attrs import define

from streamwarm.backlog.settlement import Done, Retry
from streamwarm.errors import AttemptError, DestinationError, ErrorCode, SourceError
from streamwarm.model import Kind
from streamwarm.sandbox.bot_api import Fault, FaultKind
from streamwarm.watch.observations import BytesMoved, HandoffRefused
from tests.worlds.scripted_bucket import ETAG, Asked, Script, answering, head
from tests.worlds.stream import content, job, sha256, world

AUTO = {"handoff": "auto"}
VIDEO = job(kind=Kind.VIDEO)
BODY = content(200_000)


def film(body: bytes = BODY, **headers: object) -> Script:
    return answering(200, body, **{"etag": ETAG, "content_type": "video/mp4", **headers})


async def test_an_object_that_telegram_fetches_passes_no_worker() -> None:
    async with world(film(), telegram=AUTO) as w:
        finished = await w.work(VIDEO)
        assert isinstance(finished.settlement, Done)
        result = finished.settlement.result
        assert (result["source"], result["sha256"], result["bytes"]) == ("handoff", None, len(BODY))
        assert result["kind"] == "video"
        (delivery,) = w.emulator.deliveries
        assert (delivery.origin, delivery.sha256) == ("url", sha256(BODY))
        # The only one who read it is Telegram.
        (fetched,) = [asked for asked in w.bucket_rig.bucket.asked if asked.method == "GET"]
        assert b"X-Amz-Signature=" in fetched.target
        assert not any(isinstance(seen, BytesMoved) for seen in [*w.observed, *w.bucket_rig.observed])


@pytest.mark.parametrize(
    "said",
    [
        "failed to get HTTP URL content",
        "wrong type of the web page content",
        "wrong file identifier/HTTP URL specified",
        "file is too big",
        "IMAGE_PROCESS_FAILED",
        "WEBPAGE_CURL_FAILED",
    ],
)
async def test_what_telegram_cannot_fetch_is_streamed_within_the_same_attempt(said: str) -> None:
    async with world(film(), telegram=AUTO) as w:
        w.emulator.inject(Fault(FaultKind.REFUSED, description=f"Bad Request: {said}"))
        finished = await w.work(VIDEO)
        assert isinstance(finished.settlement, Done)
        assert finished.settlement.result["source"] == "stream"
        assert finished.settlement.result["sha256"] == sha256(BODY)
        (refused,) = [seen for seen in w.observed if isinstance(seen, HandoffRefused)]
        assert said in refused.why


async def test_an_object_stored_compressed_or_of_another_type_is_streamed() -> None:
    for script in (film(content_encoding="gzip"), film(content_type="application/octet-stream")):
        async with world(script, telegram=AUTO) as w:
            delivered = await w.send(VIDEO)
            assert (delivered.result["source"], w.emulator.deliveries[0].origin) == ("stream", "upload")


async def test_a_digest_is_verified_unless_the_settings_say_that_it_need_not_be() -> None:
    named = job(kind=Kind.VIDEO, sha256=sha256(BODY))
    async with world(film(), telegram=AUTO) as w:
        assert (await w.send(named)).result["source"] == "stream"
    async with world(film(), telegram={**AUTO, "handoff_unverified": True}) as w:
        result = (await w.send(named)).result
        assert (result["source"], result["sha256"]) == ("handoff", None)


async def test_without_the_setting_no_address_leaves_the_house() -> None:
    async with world(film()) as w:
        assert (await w.send(VIDEO)).result["source"] == "stream"
        assert not any(b"X-Amz-Signature" in asked.target for asked in w.bucket_rig.bucket.asked)


async def test_an_object_that_was_replaced_while_telegram_fetched_it_is_sent_again() -> None:
    heads = 0

    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        nonlocal heads
        heads += asked.method == "HEAD"
        tag = ETAG if heads < 2 else '"etag-2"'
        await film(etag=tag)(asked, stream)

    async with world(script, telegram=AUTO) as w:
        with pytest.raises(SourceError) as caught:
            await w.send(VIDEO)
        assert (caught.value.code, caught.value.permanent) == (ErrorCode.SOURCE_CHANGED, False)
        assert (await w.send(VIDEO)).result["source"] == "stream"


async def test_a_reference_in_hand_is_kept_when_the_bucket_cannot_be_asked_again() -> None:
    heads = 0

    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        nonlocal heads
        heads += asked.method == "HEAD"
        await (film() if heads < 2 else answering(403))(asked, stream)

    async with world(script, telegram=AUTO) as w:
        assert (await w.send(VIDEO)).result["source"] == "handoff"


async def test_a_bucket_that_answers_no_head_is_streamed_from() -> None:
    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        await (answering(405) if asked.method == "HEAD" else film())(asked, stream)

    async with world(script, telegram=AUTO) as w:
        assert (await w.send(VIDEO)).result["source"] == "stream"


async def test_an_object_that_is_not_there_is_told_as_ever() -> None:
    async with world(answering(404), telegram=AUTO) as w:
        with pytest.raises(SourceError) as caught:
            await w.send(VIDEO)
        assert caught.value.code is ErrorCode.SOURCE_NOT_FOUND


async def test_empty_and_oversize_objects_are_not_handed_over() -> None:
    for size, code in ((0, ErrorCode.SOURCE_EMPTY), (50_000_001, ErrorCode.TOO_LARGE)):

        async def script(_: Asked, stream: trio.SocketStream, size: int = size) -> None:
            await stream.send_all(head(200, content_length=size, etag=ETAG, content_type="video/mp4"))

        async with world(script, telegram=AUTO) as w:
            with pytest.raises((SourceError, DestinationError)) as caught:
                await w.send(VIDEO)
            assert caught.value.code is code
            assert w.emulator.traffic.requests == 0


async def test_a_lost_answer_to_a_hand_off_is_unknown_and_the_next_attempt_streams() -> None:
    async with world(film(), telegram=AUTO) as w:
        for fault in (FaultKind.NO_ANSWER, FaultKind.CUT_ANSWER):
            named = job(id=f"job-{fault}", kind=Kind.VIDEO)
            w.emulator.inject(Fault(fault))
            finished = await w.work(named)
            assert isinstance(finished.settlement, Retry)
            assert finished.settlement.error.code is ErrorCode.DELIVERY_UNKNOWN
            assert finished.settlement.possible_duplicate
            assert (await w.send(named)).result["source"] == "stream"


async def test_a_far_side_that_never_answers_a_hand_off_is_left_in_time() -> None:
    async with world(film(), telegram=AUTO, answer_timeout_s=0.3) as w:
        w.emulator.inject(Fault(FaultKind.SLOW_ANSWER, seconds=600))
        with pytest.raises(DestinationError) as caught:
            await w.send(VIDEO)
        assert caught.value.code is ErrorCode.DELIVERY_UNKNOWN
        assert (await w.send(VIDEO)).result["source"] == "stream"


async def test_a_429_to_a_hand_off_is_no_verdict_on_it() -> None:
    async with world(film(), telegram=AUTO) as w:
        w.emulator.inject(Fault(FaultKind.RATE_LIMITED, retry_after=7))
        with pytest.raises(DestinationError) as caught:
            await w.send(VIDEO)
        assert (caught.value.code, caught.value.retry_after_s) == (ErrorCode.RATE_LIMITED, 7)
        assert (await w.send(VIDEO)).result["source"] == "handoff"


Answer = Callable[[str], tuple[int, bytes]]


@define
class LeakyServer:
    """A Bot API that answers a hand-off with words made from the address it was given, and takes no upload."""

    answer: Answer
    base_url: str = ""
    signature: str = ""

    async def serve(self, stream: trio.SocketStream) -> None:
        received = b""
        async with stream:
            while b"multipart/form-data" not in received and b"X-Amz-Signature" not in received:
                received += await stream.receive_some()
            if b"multipart/form-data" in received:
                return
            (url,) = parse_qs(received.partition(b"\r\n\r\n")[2].decode())["video"]
            self.signature = url.rpartition("=")[2]
            status, body = self.answer(url)
            await stream.send_all(head(status, content_length=len(body), content_type="application/json") + body)

    def is_leaked_in(self, text: str) -> bool:
        parts = (self.signature[start : start + 8] for start in range(57))
        return "x-amz" in text.lower() or any(part in text for part in parts)


@asynccontextmanager
async def leaky_server(answer: Answer) -> AsyncIterator[LeakyServer]:
    server = LeakyServer(answer)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, server.serve, 0)
        server.base_url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        yield server
        nursery.cancel_scope.cancel()


def saying(status: int, words: Callable[[str], str]) -> Answer:
    def answer(url: str) -> tuple[int, bytes]:
        return status, json.dumps({"ok": False, "error_code": status, "description": words(url)}).encode()

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        saying(500, lambda url: f"Internal: could not get {url}"),
        saying(429, lambda url: f"Too Many Requests for {url}"),
        saying(403, lambda url: f"Forbidden: {url.rpartition('=')[2][:30]}"),
        saying(401, lambda url: f"Unauthorized {url}".replace("&", "&amp;")),
        saying(400, lambda url: f"Bad Request: chat not found, {url[-64:]}"),
        saying(400, lambda url: f"Bad Request: wrong type of the web page content at {url}"),
        lambda url: (502, f"<html>{url}</html>".encode()),
        lambda url: (200, json.dumps({"ok": True, "result": url}).encode()),
        lambda url: (200, json.dumps({"ok": True, "result": {"video": {"file_id": url}}}).encode()),
    ],
)
async def test_an_answer_that_quotes_the_signed_address_tells_it_to_nobody(answer: Answer) -> None:
    # The redactor masks nothing here (`stream_world`): what keeps the address is the hand-off itself.
    async with leaky_server(answer) as server, world(film(), telegram=AUTO, base_url=server.base_url) as w:
        finished = await w.work(VIDEO)
        assert finished.error is not None
        assert len(server.signature) == 64
        assert not server.is_leaked_in(repr((finished, finished.error, w.observed)))
    async with leaky_server(answer) as server, world(film(), telegram=AUTO, base_url=server.base_url) as w:
        with pytest.raises(AttemptError) as caught:
            await w.send(VIDEO)
        assert len(server.signature) == 64
        assert not server.is_leaked_in(repr((caught.value, caught.value.message, caught.value.args)))
        assert not server.is_leaked_in("".join(traceback.format_exception(caught.value)))


async def test_a_paused_bucket_is_asked_for_nothing_by_a_hand_off() -> None:
    async with world(film(), telegram=AUTO) as w:
        w.bucket_rig.source.set_offline(True)
        finished = await w.work(VIDEO)
        assert isinstance(finished.settlement, Retry)
        assert "paused" in finished.settlement.error.message
        assert w.bucket_rig.bucket.asked == []
        assert len(w.emulator.deliveries) == 0
        assert not any(isinstance(seen, HandoffRefused) for seen in w.observed)
