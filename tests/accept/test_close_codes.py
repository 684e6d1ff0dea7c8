"""What a client's developer loses if a connection ends without a word: every broken rule has its close code (RFC 6455).

And what everybody else loses if one such client costs more than its connection.
"""

from __future__ import annotations

import struct
import tracemalloc

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from streamwarm.watch.observations import ClientDisconnected, UnexpectedError
from tests.accept.test_answer_budget import BATCH, fill
from tests.accept.test_strangers import assert_serves, close_code, frame, upgraded
from tests.worlds.accept import World, open_websocket_service, open_world, quick
from tests.worlds.accept_clients import open_client, read_all

CALL = b'{"jsonrpc":"2.0","id":1,"method":"list"}'


def with_reserved_bit(data: bytes, bit: int) -> bytes:
    return bytes([data[0] | bit]) + data[1:]


def with_long_length(opcode: int, payload: bytes, code: int) -> bytes:
    """A frame whose length is written in more bytes than it needs, which section 5.2 forbids."""
    length = struct.pack("!H" if code == 126 else "!Q", len(payload))
    return bytes([0x80 | opcode, 0x80 | code]) + length + bytes(4) + payload


BROKEN = {
    "text that is not UTF-8": (frame(1, b"\xff\xfe"), 1007),
    "a surrogate in UTF-8": (frame(1, b"\xed\xa0\x80"), 1007),
    "overlong UTF-8": (frame(1, b"\xc0\xaf"), 1007),
    "UTF-8 that breaks off": (frame(1, "é".encode()[:1]), 1007),
    "UTF-8 that goes wrong in a later fragment": (frame(1, b"ab", final=False) + frame(0, b"\xff"), 1007),
    "an unmasked frame": (frame(1, CALL, masked=False), 1002),
    "an unmasked ping": (frame(9, b"", masked=False), 1002),
    "the first reserved bit (compression)": (with_reserved_bit(frame(1, CALL), 0x40), 1002),
    "the second reserved bit": (with_reserved_bit(frame(1, CALL), 0x20), 1002),
    "the third reserved bit": (with_reserved_bit(frame(9, b""), 0x10), 1002),
    "a reserved opcode": (frame(3, b""), 1002),
    "a reserved control opcode": (frame(11, b""), 1002),
    "a ping in fragments": (frame(9, b"a", final=False), 1002),
    "a close in fragments": (frame(8, b"\x03\xe8", final=False), 1002),
    "a ping that is too long": (frame(9, b"x" * 126), 1002),
    "a close that is too long": (frame(8, b"\x03\xe8" + b"x" * 200), 1002),
    "a continuation of nothing": (frame(0, b"a"), 1002),
    "a new message before the last has ended": (frame(1, b"a", final=False) + frame(1, b"b"), 1002),
    "a close with half a code": (frame(8, b"\x03"), 1002),
    "a close with a code that does not exist": (frame(8, struct.pack("!H", 999)), 1002),
    "a close with a code that is never sent": (frame(8, struct.pack("!H", 1006)), 1002),
    "a close with a reserved code": (frame(8, struct.pack("!H", 1100)), 1002),
    "a close whose reason is not UTF-8": (frame(8, b"\x03\xe8\xff"), 1007),
    "a length in too many bytes": (with_long_length(1, CALL, 126), 1002),
    "a length in far too many bytes": (with_long_length(1, CALL, 127), 1002),
    "a length with its sign bit": (b"\x81\xff" + b"\xff" * 8 + bytes(4), 1002),
    "a message that is too long": (frame(1, b"x" * (1 << 20) + b"x"), 1009),
    "fragments that are too long together": (frame(1, b"x" * (1 << 20), final=False) + frame(0, b"x"), 1009),
    "characters that fit and bytes that do not": (frame(1, "\U0001f600".encode() * 262_145), 1009),
    "binary data that is too long": (frame(2, b"\0" * (1 << 20) + b"\0"), 1009),
    "a good close": (frame(8, struct.pack("!H", 1000)), 1000),
    "a good close of an application": (frame(8, struct.pack("!H", 4321) + b"bye"), 4321),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_who_breaks_the_protocol_learns_so_from_the_close_code(name: str) -> None:
    data, code = BROKEN[name]
    async with open_world() as world, open_websocket_service(world) as url, open_client(url) as bystander:
        async with await upgraded(url) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, data)
            assert close_code(await read_all(stream)) == code
        assert (await bystander.call("list"))["jobs"] == []
        await world.wait_for(ClientDisconnected)
        if code < 1010 and code != 1000:
            assert str(code) in world.saw(ClientDisconnected)[0].reason
        assert not world.saw(UnexpectedError)


async def test_who_breaks_the_protocol_in_the_middle_of_a_conversation_gets_its_answers_first() -> None:
    async with open_world() as world, open_websocket_service(world) as url, await upgraded(url) as stream:
        await stream.send_all(frame(1, CALL))
        received = b""
        while b'"jobs"' not in received:
            received += await stream.receive_some()
        await stream.send_all(frame(1, CALL, masked=False))
        assert close_code(await read_all(stream)) == 1002


async def test_a_client_that_sends_all_of_a_message_that_is_too_long_before_it_reads_learns_why() -> None:
    """A socket that is closed with unread input sends a reset, which discards the close frame."""
    async with open_world() as world, open_websocket_service(world) as url, await upgraded(url) as stream:
        await stream.send_all(frame(1, b"x" * (4 << 20)))
        assert close_code(await read_all(stream)) == 1009


async def test_a_client_that_only_closes_without_a_code_is_answered_without_one() -> None:
    async with open_world() as world, open_websocket_service(world) as url, await upgraded(url) as stream:
        await stream.send_all(frame(8, b""))
        assert await read_all(stream) == b"\x88\x00"


async def hang(*_: object) -> None:
    await trio.sleep_forever()


async def test_a_client_that_closes_need_not_wait_for_a_store_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = quick(graceful_s=0.1)
    async with open_world() as world, open_websocket_service(world, limits=limits) as url:
        monkeypatch.setattr(world.intake, "list_jobs", hang)
        async with await upgraded(url) as stream:
            await stream.send_all(frame(1, CALL) + frame(8, struct.pack("!H", 1000)))
            with trio.fail_after(5):
                assert close_code(await read_all(stream)) == 1000


def first_bytes(received: bytearray) -> list[int]:
    """The first byte of every frame that the server sent: whether it ends a message, and what it is."""
    found, at = [], 0
    while at < len(received):
        found.append(received[at])
        length, head = received[at + 1], 2
        if length >= 126:
            head = 4 if length == 126 else 10
            length = int.from_bytes(received[at + 2 : at + head], "big")
        at += head + length
    return found


async def ask_for_much(stream: trio.SocketStream, world: World) -> bytearray:
    """Ask for a long answer and read its first bytes. The rest then waits for the client."""
    await fill(world.intake, 600)
    await stream.send_all(frame(1, BATCH.encode()))
    received = bytearray(await stream.receive_some(2))
    assert received == b"\x01\x7f", "the first frame is not a fragment"
    await wait_all_tasks_blocked(0.1)
    return received


async def test_a_notice_waits_for_the_end_of_an_answer_in_fragments() -> None:
    async with open_world() as world, open_websocket_service(world) as url, await upgraded(url) as stream:
        received = await ask_for_much(stream, world)
        world.intake.drain(30)
        await wait_all_tasks_blocked(0.1)
        with trio.fail_after(30):
            while b"draining" not in received[-1000:]:
                received += await stream.receive_some()
        assert first_bytes(received) == [0x01, *[0x00] * (len(first_bytes(received)) - 3), 0x80, 0x81]


async def test_a_shutdown_in_the_middle_of_an_answer_ends_with_its_close_code() -> None:
    async with open_world() as world, open_websocket_service(world) as url, await upgraded(url) as stream:
        await ask_for_much(stream, world)
        world.shutdown.set()
        await wait_all_tasks_blocked(0.1)
        assert close_code(await read_all(stream)) == 1001
        assert not world.saw(UnexpectedError)


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=1, max_size=60))
def test_garbage_of_any_kind_ends_in_a_close_frame_or_waits_for_the_rest_of_a_frame(data: bytes) -> None:
    async def main() -> None:
        async with open_world() as world, open_websocket_service(world) as url:
            async with await upgraded(url) as stream:
                await stream.send_all(data)
                await stream.send_eof()
                received = await read_all(stream)
            assert received == b"" or 0x80 <= received[0] <= 0x8A
            await assert_serves(url)
            assert not world.saw(UnexpectedError)

    trio.run(main)


@pytest.mark.parametrize(("text", "thousands"), [("", 100), ("\u20ac", 20)])
async def test_a_message_of_endless_tiny_fragments_costs_no_more_memory_than_its_bytes(
    text: str, thousands: int
) -> None:
    """Empty fragments count nothing against the longest message, so a list of them would grow for ever."""
    async with open_world() as world, open_websocket_service(world) as url, await upgraded(url) as stream:
        await stream.send_all(frame(1, text.encode(), final=False))
        tiny = frame(0, text.encode(), final=False) * 1000

        async def send(pieces: int) -> None:
            for _ in range(pieces):
                await stream.send_all(tiny)
            await stream.send_all(frame(9, b"read"))
            while not (await stream.receive_some()).endswith(b"read"):
                pass

        await send(5)
        tracemalloc.start()
        try:
            await send(thousands)
            grown, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert grown < 400_000, "fragments are kept one by one"
