"""Answers in tiny pieces and without end: they cost a bounded time, and everything else goes on meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from streamwarm.net.http11 import HEAD_LINES, MOST_INFORMATIONAL
from streamwarm.net.pool import open_client
from tests.worlds.net_peer import Peer
from tests.worlds.turns import MOST_CALLS, counted_turns

BODY = bytes(range(256)) * 1200
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ONE_BYTE_CHUNKS = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n"


def sending(wire: bytes) -> Callable[[Peer], object]:
    async def handler(peer: Peer) -> None:
        while (await peer.request())[0]:
            await peer.send(wire)

    return handler


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_an_object_in_one_byte_chunks_does_not_keep_others_waiting(start, ca_file: Path, tls: bool) -> None:
    side = await start(sending(CHUNKED + ONE_BYTE_CHUNKS), tls=tls)
    async with open_client(ca_file=ca_file) as client:
        url = f"{'https' if tls else 'http'}://localhost:{side.port}/"
        await client.get(url)
        async with counted_turns() as turns, client.stream("GET", url) as response:
            pieces = [piece async for piece in response.aiter_raw()]
    assert b"".join(pieces) == BODY
    assert turns.most_calls < MOST_CALLS
    assert len(pieces) < len(BODY) / 100, "they arrived together, and must go up together"
    assert side.opened == 1


@pytest.mark.parametrize("chunked", [True, False])
async def test_an_object_that_dribbles_in_is_left_to_gather(start, chunked: bool) -> None:
    count = 2000

    async def dribbles(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED if chunked else b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % count)
        for byte in BODY[:count]:
            await peer.send(b"1\r\n%c\r\n" % byte if chunked else b"%c" % byte)
        await peer.send(b"0\r\n\r\n" if chunked else b"")

    side = await start(dribbles)
    async with open_client() as client, client.stream("GET", f"http://127.0.0.1:{side.port}/") as response:
        pieces = [piece async for piece in response.aiter_raw()]
    assert b"".join(pieces) == BODY[:count]
    assert len(pieces) < count / 10


@pytest.mark.parametrize("at_once", [True, False])
async def test_informational_answers_without_end_are_given_up(start, at_once: bool) -> None:
    async def floods(peer: Peer) -> None:
        await peer.head()
        while True:
            await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" * (10_000 if at_once else 1))

    side = await start(floods)
    url = f"http://127.0.0.1:{side.port}/"
    async with open_client() as client, counted_turns() as turns:
        with pytest.raises(httpx.RemoteProtocolError, match="informational"):
            await client.get(url)
        with pytest.raises(httpx.RemoteProtocolError, match="informational"):
            await client.put(url, content=b"x" * 10)
        assert client.stats() == {"active": 0, "idle": 0, "queued": 0}
    assert turns.most_calls < MOST_CALLS


async def test_a_server_that_says_for_long_that_it_works_is_waited_for(memory) -> None:
    side = memory(sending(b"HTTP/1.1 102 Processing\r\n\r\n" * MOST_INFORMATIONAL + CHUNKED + b"0\r\n\r\n"))
    async with open_client(network_backend=side) as client:
        assert (await client.get("http://far/")).status_code == 200


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n" + b"a:\r\n" * (HEAD_LINES * 40),
        b"HTTP/1.1 103 Early\r\n" + b"a:\r\n" * (HEAD_LINES - 10) + b"\r\nHTTP/1.1 200 OK\r\n" + b"a:\r\n" * HEAD_LINES,
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 300_000,
    ],
    ids=["lines", "lines of several heads", "bytes"],
)
async def test_a_head_without_end_is_refused(start, head: bytes) -> None:
    side = await start(sending(head + b"\r\n\r\n"))
    async with open_client() as client, counted_turns() as turns:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"http://127.0.0.1:{side.port}/")
    assert turns.most_calls < MOST_CALLS


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 40\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        CHUNKED + b"3\r\nabc\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ],
    ids=["both lengths", "both lengths, turned", "more behind chunks", "more behind a length", "chunks of HTTP/1.0"],
)
async def test_bytes_behind_a_doubtful_end_are_never_the_next_answer(start, wire: bytes) -> None:
    side = await start(sending(wire))
    async with open_client() as client:
        for opened in (1, 2):
            assert (await client.get(f"http://127.0.0.1:{side.port}/")).content == b"abc"
            assert side.opened == opened


@pytest.mark.parametrize(
    "coding",
    [b"gzip, chunked", b"chunked, chunked", b"xchunked", b"identity", b"chunked\r\nTransfer-Encoding: chunked"],
)
async def test_a_coding_that_is_not_understood_is_refused(start, coding: bytes) -> None:
    side = await start(sending(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n3\r\nabc\r\n0\r\n\r\n" % coding))
    async with open_client() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"http://127.0.0.1:{side.port}/")
        assert client.stats() == {"active": 0, "idle": 0, "queued": 0}


@pytest.mark.parametrize("wire", [b"5\r\nabcdef\r\n0\r\n\r\n", b"zz\r\n", b"3\r\nabc\r\n", b"3\r\nabc\r\n0\r\n"])
async def test_a_chunked_answer_that_is_malformed_or_cut_off_is_never_whole(start, wire: bytes) -> None:
    async def cut(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + wire)

    side = await start(cut)
    async with open_client() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"http://127.0.0.1:{side.port}/")
        assert client.stats() == {"active": 0, "idle": 0, "queued": 0}
