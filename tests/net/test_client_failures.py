"""What the client does when the server fails, and what its errors and requests keep to themselves."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import httpx
import pytest
import trio
from trio.testing import MockClock

from streamwarm.errors import SettingsError
from streamwarm.net.pool import open_client
from streamwarm.net.tls import client_context
from tests.worlds.net_peer import Peer, echo

BIG = bytes(range(256)) * 12_000
CANARY = "bot123456:CANARY-token"


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
