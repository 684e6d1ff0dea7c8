"""What clients lose without these: answers to Java, curl and old proxies, and requests that end where they should."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import trio

from streamwarm.accept.auth import Auth
from streamwarm.accept.http.server import HttpLimits
from streamwarm.watch.observations import UnexpectedError
from tests.worlds.accept import job, open_http_service, open_world
from tests.worlds.accept_clients import HANDSHAKE, api, dial, read_all

JAVA = (
    b"GET /v1/stats HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: 0\r\nHost: localhost\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\nUser-Agent: Java-http-client/17.0.15"
    b"\r\n\r\n"
)
CURL = (
    b"GET /v1/stats HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n"
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n"
)
PUSH = b'{"jobs": [{"destination": "mybot", "kind": "video", "r2_key": "a"}]}'
POST = b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n"


class Client:
    """Reads one answer after another of one connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._received = b""

    async def answer(self) -> tuple[int, str, bytes]:
        """Status, head in lower case, and body by its Content-Length."""
        head = (await self._until(b"\r\n\r\n")).decode("ascii").lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0)
        while len(self._received) < length:
            await self._receive()
        body, self._received = self._received[:length], self._received[length:]
        return int(head.split(" ")[1]), head, body

    async def _until(self, end: bytes) -> bytes:
        while end not in self._received:
            await self._receive()
        found, _, self._received = self._received.partition(end)
        return found

    async def _receive(self) -> None:
        with trio.fail_after(20):
            piece = await self.stream.receive_some()
        assert piece, "the connection ended"
        self._received += piece


@pytest.mark.parametrize(
    "wish",
    [
        JAVA,
        CURL,
        CURL.replace(b"Upgrade: h2c", b"Upgrade: TLS/1.3, h2c, websocket"),
        HANDSHAKE.replace(b"GET / ", b"GET /v1/stats ").replace(b"Host: a", b"Host: localhost"),
        POST + b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: %d\r\n\r\n" % len(PUSH) + PUSH,
    ],
)
async def test_a_wish_to_switch_to_another_protocol_is_answered_as_if_it_were_none(wish: bytes) -> None:
    async with open_world() as world, open_http_service(world) as url, await dial(url) as stream:
        client = Client(stream)
        for _ in range(3):
            await stream.send_all(wish)
            status, head, body = await client.answer()
            assert (status, "connection:" in head, "upgrade:" in head) == (200, False, False)
            assert isinstance(json.loads(body), dict)


async def test_the_preface_of_http_2_is_refused_in_words_that_its_sender_can_read() -> None:
    async with open_world() as world, open_http_service(world) as url, await dial(url) as stream:
        await stream.send_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        head, _, body = (await read_all(stream)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 505 ")
    assert json.loads(body)["detail"] == "this server speaks HTTP/1.1 only"


def answers_in(received: bytes) -> int:
    return len(re.findall(rb"HTTP/1\.1 \d", received))


SMUGGLED = b"GET /v1/stats HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        b"Transfer-Encoding: chunked\r\ncontent-length: 4\r\n",
        b"Transfer-Encoding: identity\r\nContent-Length: 4\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"Content-Length: 4\r\nContent-Length: 5\r\n",
        b"Content-Length: 4, 5\r\n",
        b"Content-Length: +4\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 0x4\r\n",
        b"Content-Length: 4 4\r\n",
        b"Content-Length: \r\n",
        b"Content-Length: 99999999999999999999999999\r\n",
        b"Content-Length : 4\r\n",
        b" Content-Length: 4\r\n",
        b"X: a\rContent-Length: 4\r\n",
        b"X: a\0b\r\n",
        b"X: a\r\n b\r\nContent-Length: 4\r\n",
        b"Host: other\r\n",
    ],
)
async def test_a_request_whose_end_could_be_read_in_two_ways_is_refused_and_nothing_after_it_is_read(
    headers: bytes,
) -> None:
    async with open_world() as world, open_http_service(world) as url, await dial(url) as stream:
        await stream.send_all(POST + headers + b"\r\n0\r\n\r\n" + SMUGGLED)
        received = await read_all(stream)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 "))
    assert b"connection: close" in head.lower()
    assert b"content-type: application/problem+json" in head
    assert answers_in(received) == 1
    assert json.loads(body)["status"] in {400, 501}


async def test_chunks_in_a_request_of_http_1_0_are_refused() -> None:
    async with open_world() as world, open_http_service(world) as url, await dial(url) as stream:
        await stream.send_all(POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        assert (await read_all(stream)).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("ends", [True, False])
async def test_a_body_that_is_cut_or_spoiled_is_named_and_pushes_nothing(ends: bool) -> None:
    async with open_world() as world, open_http_service(world) as url, await dial(url) as stream:
        await stream.send_all(POST + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(PUSH), PUSH))
        await (stream.send_eof() if ends else stream.send_all(b"zz\r\n" + SMUGGLED))
        received = await read_all(stream)
        assert received.startswith(b"HTTP/1.1 400 ")
        assert (b"ended before" if ends else b"not valid HTTP") in received
        assert answers_in(received) == 1
        assert not world.wakes
        assert not world.saw(UnexpectedError)


async def test_a_body_in_chunks_of_any_size_is_one_push() -> None:
    async with open_world() as world, open_http_service(world) as url, await dial(url) as stream:
        client = Client(stream)
        for size in (1, 7, len(PUSH)):
            pieces = [PUSH[at : at + size] for at in range(0, len(PUSH), size)]
            chunks = b"".join(b"%x;a=b\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
            await stream.send_all(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nX: y\r\n\r\n")
            status, _, body = await client.answer()
            assert (status, len(json.loads(body)["accepted"])) == (200, 1)


async def test_a_client_that_asks_first_sends_its_body_only_where_it_is_wanted() -> None:
    head = POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n" % len(PUSH)
    async with open_world() as world, open_http_service(world, auth=Auth(["canary"])) as url:
        async with await dial(url) as stream:
            client = Client(stream)
            await stream.send_all(head + b"Authorization: Bearer canary\r\n\r\n")
            assert (await client.answer())[0] == 100
            await stream.send_all(PUSH)
            assert (await client.answer())[0] == 200
        async with await dial(url) as stream:
            await stream.send_all(head + b"\r\n")
            received = await read_all(stream)
            assert received.startswith(b"HTTP/1.1 401 ")
            assert b"connection: close" in received


async def test_a_body_that_was_not_asked_for_costs_the_connection_only_if_it_is_large() -> None:
    async with open_world() as world, open_http_service(world) as url, await dial(url) as stream:
        client = Client(stream)
        for size in (10, 60_000):
            await stream.send_all(b"GET /v1/stats HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size)
            assert (await client.answer())[0] == 200
            await stream.send_all(bytes(size))
        await stream.send_all(b"GET /v1/stats HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n")
        status, head, _ = await client.answer()
        assert (status, "connection: close" in head) == (200, True)


async def test_many_requests_at_once_are_answered_in_their_order() -> None:
    async with open_world() as world, open_http_service(world) as url, await dial(url) as stream:
        await world.intake.push([job(str(number), id=f"id-{number}") for number in range(50)])
        asked = [b"GET /v1/jobs/id-%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % number for number in range(50)]
        asked[20:20] = [POST + b"Content-Length: %d\r\n\r\n" % len(PUSH) + PUSH]
        await stream.send_all(b"".join(asked))
        client = Client(stream)
        answers: list[Any] = [json.loads((await client.answer())[2]) for _ in range(51)]
    assert answers.pop(20)["accepted"]
    assert [answer["id"] for answer in answers] == [f"id-{number}" for number in range(50)]


async def test_a_client_of_http_1_0_gets_its_answer_and_then_the_end() -> None:
    async with open_world() as world, open_http_service(world) as url, await dial(url) as stream:
        await stream.send_all(b"GET /healthz HTTP/1.0\r\n\r\n")
        head, _, body = (await read_all(stream)).partition(b"\r\n\r\n")
    assert (head[:15], body) == (b"HTTP/1.1 200 OK", b"ok\n")
    assert b"connection: close" in head.lower()
    assert b"transfer-encoding" not in head.lower()


async def test_a_head_that_does_not_come_to_its_end_is_told_so() -> None:
    limits = HttpLimits(idle_s=0.2)
    async with open_world() as world, open_http_service(world, limits=limits) as url, await dial(url) as stream:
        await stream.send_all(b"GET /v1/stats HTTP/1.1\r\nHost: loc")
        received = await read_all(stream)
    assert received.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"application/problem+json" in received


async def test_an_idle_client_does_not_hold_up_the_end_and_the_last_answer_says_that_it_is_the_last() -> None:
    async with open_world() as world:
        with trio.fail_after(10):
            async with (
                open_http_service(world, limits=HttpLimits(graceful_s=60)) as url,
                await dial(url) as idle,
                await dial(url) as half,
                await dial(url) as busy,
            ):
                gate, asked = trio.Event(), trio.Event()

                async def slow() -> dict[str, object]:
                    asked.set()
                    await gate.wait()
                    return {}

                world.intake._stats = slow
                await half.send_all(b"GET /v1/st")
                await busy.send_all(SMUGGLED)
                await asked.wait()
                world.shutdown.set()
                assert await read_all(idle) == b""
                assert await read_all(half) == b""
                gate.set()
                received = await read_all(busy)
        assert received.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nconnection: close\r\n" in received


async def test_a_page_that_is_larger_than_the_sockets_hold_reaches_a_slow_reader_whole() -> None:
    async with open_world() as world, open_http_service(world) as url, await dial(url) as stream:
        await world.intake.push([job(f"{number}" + "\x01" * 1000) for number in range(500)])
        async with api(url) as client:
            whole = (await client.get("/v1/jobs?limit=500")).content
        await stream.send_all(b"GET /v1/jobs?limit=500 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        await trio.sleep(0.2)
        assert (await read_all(stream)).partition(b"\r\n\r\n")[2] == whole
