"""What the client promises those who stream through it."""

from __future__ import annotations

import ssl
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
from trio.testing import MockClock

from streamwarm.errors import SettingsError
from streamwarm.net.pool import open_client
from streamwarm.net.tls import client_context
from tests.worlds.net_peer import MemoryNetwork, Peer

BIG = bytes(range(256)) * 12_000
CANARY = "bot123456:CANARY-token"


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def echo(peer: Peer) -> None:
    while True:
        head, body = await peer.request()
        if not head:
            return
        await peer.answer(body)


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


async def test_a_connection_that_the_peer_closed_while_idle_is_not_used(start) -> None:
    async def once(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"%d" % peer.number)

    side = await start(once)
    async with open_client() as client:
        for number in range(1, 4):
            assert (await client.get(f"http://localhost:{side.port}/")).text == str(number)
            await side.wait_until_empty()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        b"HTTP/1.1 200 OK\r\n\r\nok",
    ],
    ids=["close", "HTTP/1.0", "surplus", "until closed"],
)
async def test_bytes_of_one_answer_never_reach_the_next_request(start, answer: bytes) -> None:
    async def once(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)

    side = await start(once)
    async with open_client() as client:
        for _ in range(2):
            assert (await client.get(f"http://localhost:{side.port}/")).text == "ok"
    assert side.opened == 2


async def test_an_idle_connection_is_given_up_after_its_time(start, mock_clock: MockClock) -> None:
    side = await start(echo)
    url = f"http://localhost:{side.port}/"
    async with open_client(keepalive_s=150) as client:
        await client.put(url, content=b"1")
        mock_clock.jump(149)
        await client.put(url, content=b"2")
        assert side.opened == 1
        mock_clock.jump(151)
        await client.put(url, content=b"3")
        assert side.opened == 2
        assert client.stats()["idle"] == 1


async def test_there_are_never_more_connections_than_allowed_and_nobody_waits_for_ever(start) -> None:
    go_on = trio.Event()
    most = 0

    async def slow(peer: Peer) -> None:
        nonlocal most
        while (await peer.request())[0]:
            most = max(most, client.stats()["active"] + client.stats()["idle"])
            await go_on.wait()
            await peer.answer(b"ok")

    one, other = await start(slow), await start(slow)
    async with open_client(connections=2) as client:
        async with trio.open_nursery() as nursery:
            for side in (one, other, one, other):
                nursery.start_soon(client.get, f"http://localhost:{side.port}/")
            with trio.fail_after(5):
                while client.stats()["queued"] < 2:
                    await trio.lowlevel.checkpoint()
            assert client.stats() == {"active": 2, "idle": 0, "queued": 2}
            with pytest.raises(httpx.PoolTimeout):
                await client.get(f"http://localhost:{one.port}/", timeout=httpx.Timeout(5, pool=0.01))
            go_on.set()
        assert client.stats() == {"active": 0, "idle": 2, "queued": 0}
    assert most == 2
    await one.wait_until_empty()
    await other.wait_until_empty()


async def test_a_far_side_that_goes_silent_is_given_up(autojump_clock: MockClock, memory) -> None:
    async def silent(peer: Peer) -> None:
        await peer.head()
        await trio.sleep_forever()

    async def stalls(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await trio.sleep_forever()

    for handler, after_s, content in ((silent, 30, None), (stalls, 60, None), (silent, 600, b"x")):
        async with open_client(network_backend=memory(handler)) as client:
            began = trio.current_time()
            with pytest.raises(httpx.ReadTimeout):
                await client.request("PUT", "http://far/", content=content)
            assert trio.current_time() - began == pytest.approx(after_s)


async def test_a_far_side_that_stops_reading_is_given_up(start, autojump_clock: MockClock) -> None:
    async def deaf(peer: Peer) -> None:
        await peer.head()
        await trio.sleep_forever()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield BIG

    side = await start(deaf)
    async with open_client() as client, aclosing(endless()) as body:
        with pytest.raises(httpx.WriteTimeout):
            await client.put(f"http://127.0.0.1:{side.port}/", content=body, headers={"Content-Length": "1" * 15})
        assert client.stats() == {"active": 0, "idle": 0, "queued": 0}


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_refusal_by_a_far_side_that_stopped_reading_does_not_hold_a_worker(
    start, ca_file: Path, tls: bool
) -> None:
    writing = trio.Event()

    async def refuses(peer: Peer) -> None:
        await peer.head()
        await writing.wait()
        await peer.answer(b"no", status=b"413 Too Large")
        await trio.sleep_forever()

    async def more_than_the_kernel_takes() -> AsyncIterator[bytes]:
        yield b"x"
        writing.set()
        yield BIG * 20

    side = await start(refuses, tls=tls)
    url = f"{'https' if tls else 'http'}://localhost:{side.port}/"
    async with (
        open_client(ca_file=ca_file, body_timeout_s=60) as client,
        aclosing(more_than_the_kernel_takes()) as body,
    ):
        with trio.fail_after(30):  # half of body_timeout_s
            answer = await client.put(url, content=body, headers={"Content-Length": "1" * 15})
        assert (answer.status_code, answer.content) == (413, b"no")
        assert client.stats() == {"active": 0, "idle": 0, "queued": 0}


async def test_a_far_side_that_is_not_there_is_named_with_the_reason() -> None:
    async with open_client() as client:
        with pytest.raises(httpx.ConnectError, match=r"127\.0\.0\.1:1.*Connection refused"):
            await client.get("http://127.0.0.1:1/")
        with pytest.raises(httpx.ConnectError, match=r"localhost:1.*Connection refused"):
            await client.get("http://localhost:1/")
        assert client.stats() == {"active": 0, "idle": 0, "queued": 0}


async def test_a_certificate_that_does_not_fit_is_refused(start, ca_file: Path) -> None:
    side = await start(echo, tls=True)
    async with open_client() as client:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await client.get(f"https://localhost:{side.port}/")
    async with open_client(ca_file=ca_file) as client:
        with pytest.raises(httpx.ConnectError, match="mismatch"):
            await client.get(f"https://127.0.0.1:{side.port}/")
        assert client.stats()["active"] == 0
    await side.wait_until_empty()


async def test_tls_1_2_is_the_oldest_that_is_spoken(start, ca_file: Path, server_context: ssl.SSLContext) -> None:
    assert client_context(ca_file).minimum_version == ssl.TLSVersion.TLSv1_2
    server_context.maximum_version = ssl.TLSVersion.TLSv1_2
    side = await start(echo, tls=True)
    async with open_client(ca_file=ca_file) as client:
        assert (await client.put(f"https://localhost:{side.port}/", content=BIG)).content == BIG


def test_a_ca_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "roots.pem"
    empty.write_text("nothing")
    for path in (empty, tmp_path / "missing.pem"):
        with pytest.raises(SettingsError, match=r"pool\.ca_file.*" + path.name):
            open_client(ca_file=path)


async def test_no_failure_tells_the_path_of_a_request_which_holds_the_bot_token(start) -> None:
    async def gone(peer: Peer) -> None:
        await peer.head()

    side = await start(gone)
    failures: list[httpx.TransportError] = []
    async with open_client() as client:
        for url in (
            f"http://localhost:{side.port}/{CANARY}",
            f"http://localhost:1/{CANARY}",
            f"ftp://a/{CANARY}",
        ):
            with pytest.raises(httpx.TransportError) as caught:
                await client.post(url, content=b"x")
            failures.append(caught.value)
    assert all(CANARY not in f"{error!s}{error!r}{error.__cause__!r}" for error in failures)


async def test_requests_carry_nothing_of_the_environment_or_of_earlier_answers(
    start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    heads: list[bytes] = []

    async def curious(peer: Peer) -> None:
        while head := (await peer.request())[0]:
            heads.append(head.lower())
            await peer.answer(b"", extra=b"Set-Cookie: a=b\r\nLocation: /elsewhere\r\n", status=b"302 Found")

    side = await start(curious)
    async with open_client() as client:
        for _ in range(2):
            assert (await client.get(f"http://localhost:{side.port}/")).status_code == 302
    assert len(heads) == 2
    assert all(b"accept-encoding: identity" in head and b"cookie" not in head for head in heads)
    assert all(b"user-agent: streamwarm/" in head for head in heads)
