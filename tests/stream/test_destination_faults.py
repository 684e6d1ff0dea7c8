"""What a bad destination may cost a user: a retry, a question, never a worker that hangs or a silent second message."""

from __future__ import annotations

from collections.abc import Iterable

import httpcore2
import pytest
import trio
from attrs import define, field
from scripted_bucket import holding
from stream_world import content, job, sha256, world

from streamwarm.backlog.store import Again, Done
from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.model import Kind
from streamwarm.net.stream import SocketOption, TCPBackend
from streamwarm.sandbox.bot_api import Fault, FaultKind

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
        assert isinstance(finished.settlement, Again)
        assert finished.settlement.possible_duplicate
        assert w.digests == [sha256(SMALL)]


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
        assert isinstance(finished.settlement, Again)
        assert not finished.settlement.possible_duplicate
        assert w.digests == []


@define(eq=False)
class Network(httpcore2.AsyncNetworkBackend):
    """Real TCP on which a small request is on its way in full before anything comes back, as over a long distance: the
    far side's goodbye to an idle connection is seen only by whoever reads. It breaks before a write that begins with
    `cut_before`."""

    _cut_before: bytes | None = None
    _tcp: TCPBackend = field(factory=TCPBackend)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        connected = await self._tcp.connect_tcp(host, port, timeout, local_address, socket_options)
        return LongDistance(connected, self._cut_before)

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


IN_FLIGHT_BYTES = 256 * 1024


@define(eq=False)
class LongDistance(httpcore2.AsyncNetworkStream):
    _stream: httpcore2.AsyncNetworkStream
    _cut_before: bytes | None
    _in_flight: bytearray = field(factory=bytearray)
    _arrived: bool = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        await self._arrive(timeout)
        self._arrived = False
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        if self._cut_before is not None and bytes(buffer).startswith(self._cut_before):
            raise httpcore2.WriteError("the network broke")
        self._in_flight += buffer
        if len(self._in_flight) > IN_FLIGHT_BYTES:
            await self._arrive(timeout)

    async def _arrive(self, timeout: float | None) -> None:  # noqa: ASYNC109
        if self._in_flight:
            arriving, self._in_flight = bytes(self._in_flight), bytearray()
            self._arrived = True
            await self._stream.write(arriving, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> object:
        if info == "is_readable" and not self._arrived:
            return False
        return self._stream.get_extra_info(info)
