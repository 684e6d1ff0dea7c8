"""What the client promises those who stream through it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import h11
import httpx
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwarm.net.pool import open_client
from tests.worlds.net_peer import MemoryNetwork, Peer, echo, pieces

BIG = bytes(range(256)) * 12_000


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_an_object_comes_through_byte_for_byte_both_ways(start, ca_file: Path, tls: bool) -> None:
    side = await start(echo, tls=tls)
    url = f"{'https' if tls else 'http'}://localhost:{side.port}/"
    async with open_client(ca_file=ca_file) as client:
        for size in (0, 1, 16_384, 65_535, 65_537, len(BIG)):
            body = pieces(BIG[: size // 3], b"", BIG[size // 3 : size])
            response = await client.put(url, content=body, headers={"Content-Length": str(size)})
            assert response.content == BIG[:size]
    assert side.opened == 1


@given(cuts=st.lists(st.integers(0, 500), max_size=4), chunked=st.booleans())
@settings(max_examples=15, deadline=None)
def test_however_the_network_cuts_an_answer_the_bytes_are_the_same(cuts: list[int], chunked: bool) -> None:
    body = BIG[:400]
    if chunked:
        framed = b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(
            b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:17], body[17:])
        )
        framed += b"0\r\n\r\n"
    else:
        framed = b"Content-Length: 400\r\n\r\n" + body
    wire = b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\n" + framed
    edges = [0, *sorted(cuts), len(wire)]

    async def cut_up(peer: Peer) -> None:
        while (await peer.request())[0]:
            for begin, end in pairwise(edges):
                await peer.send(wire[begin:end])

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            network = MemoryNetwork.to(cut_up, nursery)
            async with open_client(network_backend=network) as client:
                for _ in range(2):
                    assert (await client.get("http://far/")).content == body
            assert network.side.opened == 1

    trio.run(main)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_torn_download_is_never_delivered_as_whole(start, ca_file: Path, tls: bool) -> None:
    async def torn(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 999)

    side = await start(torn, tls=tls)
    async with open_client(ca_file=ca_file) as client:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await client.get(f"{'https' if tls else 'http'}://localhost:{side.port}/")
        assert client.stats() == {"active": 0, "idle": 0, "queued": 0}


async def test_a_tls_connection_that_is_cut_does_not_pass_for_the_end_of_a_body_without_length(
    start, ca_file: Path
) -> None:
    async def cut(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 999)

    side = await start(cut, tls=True)
    async with open_client(ca_file=ca_file) as client:
        with pytest.raises(httpx.ReadError):
            await client.get(f"https://localhost:{side.port}/")


@pytest.mark.parametrize("sent", [9, 11], ids=["too short", "too long"])
async def test_an_upload_of_the_wrong_length_is_an_error_and_its_connection_is_not_used_again(start, sent: int) -> None:
    side = await start(echo)
    url = f"http://localhost:{side.port}/"
    async with open_client() as client:
        async with aclosing(pieces(b"y" * sent)) as body:
            with pytest.raises(httpx.LocalProtocolError):
                await client.put(url, content=body, headers={"Content-Length": "10"})
        assert client.stats() == {"active": 0, "idle": 0, "queued": 0}
        assert (await client.put(url, content=b"whole")).content == b"whole"


@pytest.mark.parametrize(
    "error", [h11.LocalProtocolError("mine"), httpx.WriteError("mine"), ValueError("mine")], ids=repr
)
async def test_what_the_callers_body_raises_comes_back_as_it_was(start, error: Exception) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise error

    side = await start(echo)
    async with open_client() as client:
        with pytest.raises(type(error)) as caught:
            await client.put(f"http://localhost:{side.port}/", content=broken(), headers={"Content-Length": "10"})
        assert caught.value is error
        assert client.stats()["active"] == 0


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("stays", [True, False], ids=["stays open", "closes"])
async def test_the_reason_of_an_early_refusal_is_read(start, ca_file: Path, tls: bool, stays: bool) -> None:
    refused = trio.Event()

    async def refuse(peer: Peer) -> None:
        await peer.head()
        await peer.answer(b"too large", b"413 Payload Too Large")
        refused.set()
        if stays:
            await trio.sleep_forever()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        await refused.wait()
        while True:
            yield b"x" * 100_000

    side = await start(refuse, tls=tls)
    url = f"{'https' if tls else 'http'}://localhost:{side.port}/"
    async with open_client(ca_file=ca_file) as client, aclosing(endless()) as body:
        response = await client.post(url, content=body, headers={"Content-Length": str(10**12)})
        assert (response.status_code, response.text) == (413, "too large")
        assert client.stats() == {"active": 0, "idle": 0, "queued": 0}


async def test_a_success_that_is_answered_early_does_not_cut_the_upload_short(start) -> None:
    answered = trio.Event()
    uploads: list[bytes] = []

    async def hasty(peer: Peer) -> None:
        await peer.head()
        await peer.answer(b"ok")
        answered.set()
        uploads.append(await peer.body(6))

    async def body() -> AsyncIterator[bytes]:
        yield b"abc"
        await answered.wait()
        yield b"def"

    side = await start(hasty)
    async with open_client() as client:
        response = await client.put(f"http://localhost:{side.port}/", content=body(), headers={"Content-Length": "6"})
        assert response.text == "ok"
    await side.wait_until_empty()
    assert uploads == [b"abcdef"]
