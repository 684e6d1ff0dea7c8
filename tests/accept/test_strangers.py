"""What the service loses to hostile websocket clients, or to clients on bad networks, without these (faults 29, 30)."""

from __future__ import annotations

import json
import os
import struct

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio_websocket import ConnectionClosed

from streamwarm.model import Progress
from streamwarm.watch.observations import ClientDisconnected, ConnectionRefused, UnexpectedError
from tests.worlds.accept import World, job, open_websocket_service, open_world, quick
from tests.worlds.accept_clients import HANDSHAKE, dial, open_client, read_all, send_to_the_end


async def assert_serves(url: str) -> None:
    async with open_client(url) as client:
        assert (await client.call("list"))["jobs"] == []


def frame(opcode: int, payload: bytes, *, final: bool = True, masked: bool = True) -> bytes:
    """One client frame (RFC 6455, section 5.2), masked with zeros."""
    head = bytes([(0x80 if final else 0) | opcode])
    mask_bit = 0x80 if masked else 0
    if len(payload) < 126:
        head += bytes([mask_bit | len(payload)])
    elif len(payload) < 1 << 16:
        head += bytes([mask_bit | 126]) + struct.pack("!H", len(payload))
    else:
        head += bytes([mask_bit | 127]) + struct.pack("!Q", len(payload))
    return head + (bytes(4) if masked else b"") + payload


async def upgraded(url: str) -> trio.SocketStream:
    stream = await dial(url)
    await stream.send_all(HANDSHAKE)
    reply = b""
    while not reply.endswith(b"\r\n\r\n"):
        reply += await stream.receive_some(1)
    assert reply.startswith(b"HTTP/1.1 101")
    return stream


def close_code(received: bytes) -> int:
    """The code of the close frame at the end of what the server sent."""
    at = received.rindex(b"\x88")
    code: int = struct.unpack("!H", received[at + 2 : at + 4])[0]
    return code


MALFORMED = [
    HANDSHAKE.replace(b"Host: a", b"Host: \xff"),
    HANDSHAKE.replace(b"Host: a", b"X: \xff\xfe"),
    HANDSHAKE.replace(b"Host: a\r\n", b""),
    HANDSHAKE.replace(b"Version: 13", b"Version: 7"),
    HANDSHAKE.replace(b"Version: 13", b"Version: \xe9"),
    HANDSHAKE.replace(b"Upgrade: websocket", b"Upgrade: tea"),
    HANDSHAKE.replace(b"Connection: Upgrade", b"Connection: \xff"),
    HANDSHAKE.replace(b"Version: 13", b"Version: 13\r\nSec-WebSocket-Protocol: \xff"),
    HANDSHAKE.replace(b"Version: 13", b"Version: 13\r\nSec-WebSocket-Extensions: \xff"),
    HANDSHAKE.replace(b"GET", b"POST"),
    HANDSHAKE.replace(b"GET / ", b"GET /\xff "),
    HANDSHAKE.replace(b"GET / ", b"GET /" + b"a" * 100_000 + b" "),
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\r\n" * 50_000,
    b"\0" * 100,
]


@pytest.mark.parametrize("number", range(len(MALFORMED)))
async def test_a_malformed_handshake_ends_that_connection_and_no_other(number: int) -> None:
    async with open_world() as world, open_websocket_service(world) as url:
        async with open_client(url) as bystander:
            async with await dial(url) as stream:
                await send_to_the_end(stream, MALFORMED[number])
                received = await read_all(stream)
            assert received == b"" or received.startswith(b"HTTP/1.1 4")
            assert (await bystander.call("list"))["jobs"] == []
        assert world.saw(ConnectionRefused)
        assert not world.saw(UnexpectedError)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(HANDSHAKE) - 3), st.integers(0, 255)), min_size=1, max_size=3))
def test_no_handshake_whatever_ends_the_service(changes: list[tuple[int, int]]) -> None:
    mangled = bytearray(HANDSHAKE)
    for place, byte in changes:
        mangled[place] = byte

    async def main() -> None:
        async with open_world() as world, open_websocket_service(world) as url:
            async with await dial(url) as stream:
                await send_to_the_end(stream, bytes(mangled))
                await read_all(stream)
            await assert_serves(url)

    trio.run(main)


async def test_silent_half_open_connections_by_the_hundred_keep_nobody_out() -> None:
    limits = quick(max_handshakes=20, handshake_s=1000)
    async with open_world() as world, open_websocket_service(world, limits=limits) as url:
        streams = [await dial(url) for _ in range(100)]
        for stream in streams:
            await stream.send_all(b"GET / HTTP/1.1\r\nHo")
        await assert_serves(url)
        await world.wait_for(ConnectionRefused, 80)
        for stream in streams:
            await stream.aclose()


async def test_a_handshake_that_does_not_finish_is_cut_off(autojump_clock: trio.testing.MockClock) -> None:
    async with open_world() as world, open_websocket_service(world) as url, await dial(url) as stream:
        await stream.send_all(HANDSHAKE[:-2])
        assert await read_all(stream) == b""


async def test_a_message_over_a_mebibyte_is_refused_with_1009_which_its_sender_gets_to_read() -> None:
    async with open_world() as world, open_websocket_service(world) as url:
        async with await upgraded(url) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(send_whatever_comes, stream, frame(1, b"x" * (4 << 20)))
            assert close_code(await read_all(stream)) == 1009
        async with await upgraded(url) as stream:
            await stream.send_all(frame(1, "\U0001f600".encode() * 300_000))
            assert close_code(await receive_until_closed(stream)) == 1009
        await assert_serves(url)


async def send_whatever_comes(stream: trio.SocketStream, data: bytes) -> None:
    try:
        await stream.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return


async def receive_until_closed(stream: trio.SocketStream) -> bytes:
    """What the server sends up to its close frame. The frame is answered."""
    received = bytes(await stream.receive_some())
    await stream.send_all(frame(8, struct.pack("!H", 1009)))
    return received + await read_all(stream)


async def test_a_message_of_exactly_a_mebibyte_is_read() -> None:
    async with open_world() as world, open_websocket_service(world) as url, open_client(url) as client:
        text = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "list", "params": {}})
        await client.connection.send_message(text + " " * ((1 << 20) - len(text)))
        assert (await client.receive())["result"]["jobs"] == []


async def test_a_message_in_fragments_with_a_ping_between_is_one_message() -> None:
    async with open_world() as world, open_websocket_service(world) as url, await upgraded(url) as stream:
        text = b'{"jsonrpc":"2.0","id":1,"method":"list"}'
        await stream.send_all(
            frame(1, text[:7], final=False) + frame(9, b"hello") + frame(0, text[7:9], final=False) + frame(0, text[9:])
        )
        received = b""
        with trio.fail_after(5):
            while b'"jobs"' not in received:
                received += await stream.receive_some()
        assert received.startswith(b"\x8a\x05hello")


async def test_a_binary_frame_is_refused_politely() -> None:
    async with open_world() as world, open_websocket_service(world) as url, open_client(url) as client:
        await client.connection.send_message(b"\x00\xff")
        reply = await client.receive()
        assert (reply["id"], reply["error"]["code"]) == (None, -32600)
        assert (await client.call("list"))["jobs"] == []


@pytest.mark.parametrize(
    "data",
    [
        frame(1, b"\xff\xfe"),
        frame(3, b""),
        frame(0, b"a"),
        frame(9, b"x" * 126),
        frame(1, b"a", masked=False),
        frame(8, b"\x00"),
    ],
)
async def test_a_broken_frame_ends_that_connection_and_no_other(data: bytes) -> None:
    async with open_world() as world, open_websocket_service(world) as url:
        async with await upgraded(url) as stream:
            await stream.send_all(data)
            await read_all(stream)
        await assert_serves(url)
        assert world.saw(ClientDisconnected)
        assert not world.saw(UnexpectedError)


async def test_bad_json_is_answered_and_the_conversation_goes_on() -> None:
    async with open_world() as world, open_websocket_service(world) as url, open_client(url) as client:
        for text in ("{", "[" * 200_000, '{"a":1,"a":2}', "NaN"):
            await client.connection.send_message(text)
            assert (await client.receive())["error"]["code"] == -32700
        assert (await client.call("push", jobs=[job("\ud800")]))["rejected"][0]["code"] == "invalid_job"


async def flood(world: World) -> None:
    """Push more events than the buffers of a loopback connection can hold."""
    for batch in range(6):
        await world.intake.push([job(f"{batch}-{number}-" + "k" * 1000) for number in range(1000)])


async def test_a_client_that_never_reads_is_dropped_and_others_go_on() -> None:
    limits = quick(send_within_s=0.3)
    async with open_world() as world, open_websocket_service(world, limits=limits) as url:
        deaf = await upgraded(url)
        await deaf.send_all(frame(1, b'{"jsonrpc":"2.0","id":1,"method":"watch"}'))
        async with open_client(url) as client:
            await flood(world)
            while not world.saw(ClientDisconnected):
                assert await client.call("stats") == {"queue": {"queued": 0}}
            assert "read" in world.saw(ClientDisconnected)[0].reason
        await deaf.aclose()


async def test_a_client_that_vanishes_while_watching_takes_nothing_with_it() -> None:
    async with open_world() as world, open_websocket_service(world) as url:
        stream = await upgraded(url)
        await stream.send_all(frame(1, b'{"jsonrpc":"2.0","id":1,"method":"watch"}'))
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, struct.pack("ii", 1, 0))
        await stream.aclose()
        world.progress["job-1"] = Progress("job-1", 1, 1, 1)
        await world.intake.push([job()])
        await world.wait_for(ClientDisconnected)
        assert not world.saw(UnexpectedError)


async def test_garbage_after_the_upgrade_ends_only_that_client() -> None:
    async with open_world() as world, open_websocket_service(world) as url:
        async with open_client(url) as bystander:
            for _ in range(20):
                async with await upgraded(url) as stream:
                    await send_whatever_comes(stream, os.urandom(200))
                    await stream.send_eof()
                    await read_all(stream)
            assert (await bystander.call("list"))["jobs"] == []
        assert not world.saw(UnexpectedError)


async def test_no_task_and_no_connection_is_left_when_the_service_is_cancelled() -> None:
    async with open_world() as world:
        before = trio.lowlevel.current_statistics().tasks_living
        with trio.CancelScope() as scope:
            async with open_websocket_service(world) as url, open_client(url) as client, await dial(url):
                await client.call("watch")
                scope.cancel()
                await trio.lowlevel.checkpoint()
        assert trio.lowlevel.current_statistics().tasks_living == before


async def test_a_call_after_the_connection_closed_says_so() -> None:
    async with open_world() as world, open_websocket_service(world) as url, open_client(url) as client:
        await client.connection.aclose()
        with pytest.raises(ConnectionClosed):
            await client.call("list")
