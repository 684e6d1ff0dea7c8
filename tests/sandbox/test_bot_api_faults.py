"""Every fault the emulator promises happens as described, and what it says of delivery is true."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import trio

from streamwarm.model import Kind
from streamwarm.sandbox.bot_api import BotApiEmulator, Fault, FaultKind
from streamwarm.sandbox.faults import MAX_FAULTS, FaultPlan
from tests.worlds.bot_api import (
    CHANNEL,
    GROUP,
    OTHER_TOKEN,
    TOKEN,
    Client,
    connect,
    read_to_end,
    running,
    running_with_client,
    upload_frame,
)

MIB = 2**20


async def send_upload(emulator: BotApiEmulator, content: bytes) -> bytes:
    """Everything the emulator says to one upload, until it closes."""
    head, after = upload_frame(len(content))
    async with await connect(emulator) as stream, trio.open_nursery() as nursery:

        async def send() -> None:
            try:
                await stream.send_all(head + content + after)
            except trio.BrokenResourceError:
                return

        nursery.start_soon(send)
        answer = await read_to_end(stream)
        nursery.cancel_scope.cancel()
    return answer


@pytest.mark.parametrize(
    ("fault", "status", "description", "parameters"),
    [
        (
            Fault(FaultKind.RATE_LIMITED, retry_after=9),
            429,
            "Too Many Requests: retry after 9",
            {"retry_after": 9},
        ),
        (
            Fault(FaultKind.MIGRATED, migrate_to_chat_id=-1007),
            400,
            "Bad Request: group chat was upgraded to a supergroup chat",
            {"migrate_to_chat_id": -1007},
        ),
        (
            Fault(FaultKind.REFUSED, status=403, description="Forbidden: bot was kicked from the group chat"),
            403,
            "Forbidden: bot was kicked from the group chat",
            None,
        ),
        (
            Fault(FaultKind.REFUSED, status=500, description="Internal Server Error"),
            500,
            "Internal Server Error",
            None,
        ),
    ],
)
async def test_a_refusal_strikes_once_and_delivers_nothing(
    fault: Fault, status: int, description: str, parameters: dict[str, int] | None
) -> None:
    async with running_with_client() as (emulator, client):
        emulator.inject(fault)
        answered, reply = await client.upload("video")
        assert (answered, reply["description"], reply.get("parameters")) == (status, description, parameters)
        assert emulator.deliveries == ()
        assert (await client.upload("video"))[0] == 200


async def test_a_raw_answer_is_given_to_the_byte_and_delivers_only_if_told_to() -> None:
    async with running_with_client() as (emulator, client):
        for delivers, body in ((False, "<html>502 Bad Gateway</html>"), (True, '{"ok": tr')):
            emulator.inject(Fault(FaultKind.RAW_ANSWER, status=502, body=body, delivers=delivers))
            answer = await client.http.post(
                f"{client.url}/sendVideo", data={"chat_id": str(GROUP)}, files={"video": b"x"}
            )
            assert (answer.status_code, answer.text, answer.headers["content-type"]) == (
                502,
                body,
                "text/html",
            )
            assert len(emulator.deliveries) == delivers


async def test_a_reply_can_lack_its_file_or_hold_another_kind() -> None:
    async with running_with_client() as (emulator, client):
        emulator.inject(Fault(FaultKind.NO_FILE), Fault(FaultKind.RETURNED_AS, kind=Kind.DOCUMENT))
        bare = (await client.upload("video"))[1]["result"]
        assert not set(Kind) & set(bare)
        other = (await client.upload("video"))[1]["result"]
        assert set(Kind) & set(other) == {"document"}
        assert [delivery.kind for delivery in emulator.deliveries] == [Kind.VIDEO, Kind.DOCUMENT]


@pytest.mark.parametrize("kind", [FaultKind.NO_ANSWER, FaultKind.CUT_ANSWER])
async def test_a_lost_answer_leaves_the_message_delivered(kind: FaultKind) -> None:
    async with running() as emulator:
        emulator.inject(Fault(kind))
        answer = await send_upload(emulator, b"content")
        assert len(emulator.deliveries) == 1
        assert emulator.deliveries[0].sha256 == hashlib.sha256(b"content").hexdigest()
        head, _, body = answer.partition(b"\r\n\r\n")
        if kind is FaultKind.NO_ANSWER:
            assert answer == b""
        else:
            announced = int(head.partition(b"Content-Length: ")[2].split()[0])
            assert 0 < len(body) < announced


async def test_an_upload_closed_in_its_middle_delivers_nothing() -> None:
    async with running() as emulator:
        emulator.inject(Fault(FaultKind.CLOSE_UPLOAD, at_byte=MIB))
        assert await send_upload(emulator, bytes(8 * MIB)) == b""
        assert MIB <= emulator.traffic.upload_bytes < 2 * MIB
        assert emulator.deliveries == ()


async def test_a_kept_alive_connection_is_dropped_at_the_moment_of_its_reuse() -> None:
    async with running() as emulator, await connect(emulator) as stream:
        await stream.send_all(f"GET /bot{TOKEN}/getMe HTTP/1.1\r\nHost: sandbox\r\n\r\n".encode())
        assert b'"ok":true' in await stream.receive_some(65536)
        emulator.inject(Fault(FaultKind.CLOSE_UPLOAD))
        head, _ = upload_frame(7)
        await stream.send_all(head)
        assert await read_to_end(stream) == b""
        assert emulator.traffic.upload_bytes == 0


async def test_an_early_refusal_is_readable_although_the_upload_was_not_read() -> None:
    async with running() as emulator:
        emulator.inject(Fault(FaultKind.REFUSE_UPLOAD, status=413, description="Request Entity Too Large"))
        answer = await send_upload(emulator, bytes(8 * MIB))
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"Request Entity Too Large" in answer
        assert emulator.traffic.upload_bytes == 0


async def test_a_peer_that_stops_reading_goes_on_after_its_time(autojump_clock: Any) -> None:
    async with running() as emulator, await connect(emulator) as stream:
        emulator.inject(Fault(FaultKind.STALL_UPLOAD, at_byte=3, seconds=50))
        head, after = upload_frame(7)
        started = trio.current_time()
        await stream.send_all(head + b"content" + after)
        assert b'"ok":true' in await stream.receive_some(65536)
        assert trio.current_time() - started >= 50


async def test_a_slow_answer_comes_in_the_end(autojump_clock: Any) -> None:
    async with running() as emulator, await connect(emulator) as stream:
        emulator.inject(Fault(FaultKind.SLOW_ANSWER, seconds=400))
        head, after = upload_frame(7)
        await stream.send_all(head + b"content" + after)
        assert b'"ok":true' in await stream.receive_some(65536)
        assert trio.current_time() >= 400


async def test_an_answered_connection_that_closes_had_promised_to_stay() -> None:
    async with running() as emulator:
        emulator.inject(Fault(FaultKind.CLOSE_AFTER_ANSWER))
        answer = await send_upload(emulator, b"content")
        assert b'"ok":true' in answer
        assert b"connection: close" not in answer.lower()


async def test_a_fault_strikes_whom_it_is_meant_for_and_nobody_else() -> None:
    async with running_with_client() as (emulator, client):
        other = Client(emulator, client.http, OTHER_TOKEN)
        emulator.inject(
            Fault(FaultKind.RATE_LIMITED, bot_id=4242, chat_id=CHANNEL, method="sendAudio", times=2, skip=1)
        )
        assert (await other.upload("audio", chat_id=CHANNEL))[0] == 200
        assert (await client.upload("audio", chat_id=GROUP))[0] == 200
        assert (await client.upload("voice", chat_id=CHANNEL))[0] == 200
        hit = [(await client.upload("audio", chat_id=CHANNEL))[0] for _ in range(4)]
        assert hit == [200, 429, 429, 200]
        assert emulator.faults == ()


async def test_a_fault_without_end_lasts_until_it_is_cleared() -> None:
    async with running_with_client() as (emulator, client):
        emulator.inject(Fault(FaultKind.REFUSED, times=None))
        assert [(await client.upload("audio"))[0] for _ in range(3)] == [400, 400, 400]
        assert (await client.call("getMe"))[0] == 200
        emulator.clear_faults()
        assert (await client.upload("audio"))[0] == 200


@pytest.mark.parametrize(
    "members",
    [
        {"fault": FaultKind.CLOSE_UPLOAD, "chat_id": 5},
        {"fault": FaultKind.RAW_ANSWER, "status": 204},
        {"fault": FaultKind.REFUSED, "status": 99},
        {"fault": FaultKind.REFUSED, "times": 0},
        {"fault": FaultKind.SLOW_ANSWER, "seconds": float("inf")},
        {"fault": FaultKind.SLOW_ANSWER, "seconds": float("nan")},
        {"fault": FaultKind.RAW_ANSWER, "content_type": "text/html\r\nX: y"},
    ],
)
def test_a_fault_that_could_not_happen_is_refused_when_it_is_made(members: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Fault(**members)


def test_faults_cannot_pile_up_without_bound() -> None:
    plan = FaultPlan()
    for _ in range(MAX_FAULTS):
        plan.add(Fault(FaultKind.REFUSED))
    with pytest.raises(ValueError, match="clear them first"):
        plan.add(Fault(FaultKind.REFUSED))
