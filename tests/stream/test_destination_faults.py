"""What a bad destination may cost a user: a retry, a question, never a worker that hangs or a silent second message."""

from __future__ import annotations

import pytest
import trio

from streamwarm.backlog.settlement import Done, Failed, Release, Retry
from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.model import Kind, State
from streamwarm.sandbox.bot_api import Fault, FaultKind
from tests.worlds.latency import Network
from tests.worlds.scripted_bucket import head, holding
from tests.worlds.stream import NOW, content, job, sha256, world

SMALL = content(20_000)
LARGE = content(16_000_000)
"""More than the kernel's buffers hold on loopback, so that a peer that does not read is felt."""

FOREVER_S = 3600.0


async def test_a_destination_that_stops_reading_ends_the_attempt_after_the_body_timeout() -> None:
    async with world(holding(LARGE, cuts=[]), body_timeout_s=0.5) as w:
        w.emulator.inject(Fault(FaultKind.STALL_UPLOAD, at_byte=100_000, seconds=FOREVER_S))
        with trio.fail_after(10), pytest.raises(DestinationError) as caught:
            await w.send()
        assert (caught.value.code, caught.value.permanent) == (ErrorCode.TIMEOUT, False)
        assert w.digests == []
        assert w.source_pool.stats()["active"] == w.destination_pool.stats()["active"] == 0


async def test_an_early_refusal_is_read_though_the_destination_reads_no_more() -> None:
    async with world(holding(LARGE, cuts=[]), body_timeout_s=60.0) as w:
        description = "Request Entity Too Large"
        w.emulator.inject(
            Fault(FaultKind.REFUSE_UPLOAD, at_byte=200_000, status=413, description=description, seconds=FOREVER_S)
        )
        with trio.fail_after(10), pytest.raises(DestinationError) as caught:
            await w.send()
        assert (caught.value.code, caught.value.permanent) == (ErrorCode.TOO_LARGE, True)
        assert description in caught.value.message
        assert w.destination_pool.stats() == {"active": 0, "idle": 0, "queued": 0}


async def test_an_answer_that_never_comes_is_an_outcome_of_its_own() -> None:
    async with world(holding(SMALL, cuts=[]), answer_timeout_s=0.4) as w:
        w.emulator.inject(Fault(FaultKind.NO_ANSWER, seconds=FOREVER_S))
        with trio.fail_after(5):
            finished = await w.work()
        assert finished.error is not None
        assert finished.error.code is ErrorCode.DELIVERY_UNKNOWN
        assert isinstance(finished.settlement, Retry)
        assert finished.settlement.possible_duplicate
        assert w.digests == [sha256(SMALL)]


@pytest.mark.parametrize("on_unknown", ["retry", "hold"])
async def test_a_service_stopped_between_last_byte_and_answer_never_sends_again_in_silence(on_unknown: str) -> None:
    async with world(holding(SMALL, cuts=[]), telegram={"on_unknown": on_unknown}) as w:
        w.emulator.inject(Fault(FaultKind.NO_ANSWER, seconds=FOREVER_S))
        with trio.fail_after(10):
            finished = await w.work(stop_when=lambda: bool(w.digests))
        settlement = finished.settlement
        if on_unknown == "hold":
            assert isinstance(settlement, Failed)
            assert (settlement.state, settlement.error.code) == (State.UNKNOWN, ErrorCode.DELIVERY_UNKNOWN)
        else:
            assert isinstance(settlement, Retry)
            assert (settlement.possible_duplicate, settlement.counts, settlement.retry_at) == (True, False, NOW)


async def test_a_service_stopped_before_the_last_byte_gives_the_attempt_back() -> None:
    async with world(holding(LARGE, cuts=[])) as w:
        w.emulator.inject(Fault(FaultKind.STALL_UPLOAD, at_byte=100_000, seconds=FOREVER_S))
        with trio.fail_after(10):
            finished = await w.work(stop_when=lambda: w.destination_pool.stats()["active"] > 0)
        assert isinstance(finished.settlement, Release)


@pytest.mark.parametrize(
    ("status", "code"), [(429, ErrorCode.RATE_LIMITED), (413, ErrorCode.TOO_LARGE), (200, ErrorCode.DELIVERY_UNKNOWN)]
)
async def test_an_answer_that_breaks_off_counts_for_what_its_status_says(status: int, code: ErrorCode) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        received = b""
        async with stream:
            while not received.endswith(b"--\r\n"):
                received += await stream.receive_some()
            await stream.send_all(head(status, content_length=100, retry_after=7) + b'{"ok":')

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        base_url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        async with world(holding(SMALL, cuts=[]), base_url=base_url) as w:
            with pytest.raises(DestinationError) as caught:
                await w.send()
            assert caught.value.code is code
            assert caught.value.retry_after_s == (7 if code is ErrorCode.RATE_LIMITED else None)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("on_unknown", ["retry", "hold"])
async def test_an_answer_that_a_gateway_did_not_get_is_never_sent_again_in_silence(on_unknown: str) -> None:
    async with world(holding(SMALL, cuts=[]), telegram={"on_unknown": on_unknown}) as w:
        w.emulator.inject(Fault(FaultKind.RAW_ANSWER, status=504, body="<html>Gateway Time-out</html>", delivers=True))
        settlement = (await w.work()).settlement
        assert w.digests == [sha256(SMALL)]
        if on_unknown == "hold":
            assert isinstance(settlement, Failed)
            assert (settlement.state, settlement.error.code) == (State.UNKNOWN, ErrorCode.DELIVERY_UNKNOWN)
        else:
            assert isinstance(settlement, Retry)
            assert settlement.possible_duplicate


async def test_a_gateway_that_gives_up_on_an_upload_under_way_is_not_suspected_of_a_delivery() -> None:
    async with world(holding(LARGE, cuts=[])) as w:
        w.emulator.inject(Fault(FaultKind.REFUSE_UPLOAD, at_byte=200_000, status=504))
        finished = await w.work()
        assert finished.error is not None
        assert finished.error.code is ErrorCode.DESTINATION_UNAVAILABLE


async def test_an_upload_cut_by_its_destination_is_not_suspected_of_a_delivery() -> None:
    async with world(holding(LARGE, cuts=[])) as w:
        w.emulator.inject(Fault(FaultKind.CLOSE_UPLOAD, at_byte=300_000))
        finished = await w.work()
        assert finished.error is not None
        assert finished.error.code is ErrorCode.DESTINATION_UNAVAILABLE
        assert w.digests == []


@pytest.mark.parametrize("ending", [FaultKind.CLOSE_AFTER_ANSWER, None], ids=["known-to-be-closed", "kept-alive"])
async def test_the_next_upload_after_a_kept_alive_one_costs_one_attempt(ending: FaultKind | None) -> None:
    async with world(holding(SMALL, cuts=[])) as w:
        if ending:
            w.emulator.inject(Fault(ending))
        for message in (1, 2):
            finished = await w.work()
            assert isinstance(finished.settlement, Done)
            assert w.digests == [sha256(SMALL)] * message


async def test_a_connection_closed_under_a_large_upload_before_it_took_a_byte_costs_no_attempt() -> None:
    async with world(holding(LARGE, cuts=[]), backend=Network()) as w:
        w.emulator.inject(Fault(FaultKind.CLOSE_AFTER_ANSWER))
        await w.work(job(kind=Kind.VIDEO))
        finished = await w.work(job(kind=Kind.VIDEO))
        assert isinstance(finished.settlement, Done)
        assert finished.claim.job.attempt == 1
        assert w.digests == [sha256(LARGE)] * 2


async def test_a_small_upload_lost_on_a_connection_that_was_closed_already_is_simply_sent_again() -> None:
    async with world(holding(SMALL, cuts=[]), backend=Network()) as w:
        w.emulator.inject(Fault(FaultKind.CLOSE_AFTER_ANSWER))
        await w.work()
        finished = await w.work()
        assert isinstance(finished.settlement, Done)
        assert w.digests == [sha256(SMALL)] * 2
        assert w.emulator.traffic.requests == 2


async def test_a_small_upload_that_was_taken_on_a_reused_connection_is_never_sent_again_in_silence() -> None:
    async with world(holding(SMALL, cuts=[]), backend=Network()) as w:
        await w.work()
        w.emulator.inject(Fault(FaultKind.NO_ANSWER))
        finished = await w.work()
        assert finished.error is not None
        assert finished.error.code is ErrorCode.DELIVERY_UNKNOWN
        assert w.digests == [sha256(SMALL)] * 2


async def test_a_form_whose_last_bytes_never_left_is_not_suspected_of_a_delivery() -> None:
    async with world(holding(SMALL, cuts=[]), backend=Network(cut_before=b"\r\n--")) as w:
        finished = await w.work()
        assert finished.error is not None
        assert finished.error.code is ErrorCode.DESTINATION_UNAVAILABLE
        assert isinstance(finished.settlement, Retry)
        assert not finished.settlement.possible_duplicate
        assert w.digests == []
