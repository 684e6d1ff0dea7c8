"""Requests that are built the short way say what httpx would have said, or a server answers them differently."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import httpx
import pytest

from streamwarm.net.pool import PooledClient, open_client

URL = httpx.URL("http://far.example:8080/bot/sendPhoto?a=b")


async def pieces() -> AsyncIterator[bytes]:
    yield b"abc"


def said(request: httpx.Request) -> tuple[str, str, list[tuple[bytes, bytes]], object]:
    headers = sorted(request.headers.raw)
    return request.method, str(request.url), headers, request.extensions["timeout"]


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"host": "signed.example", "accept-encoding": "identity", "Range": "bytes=5-"}),
        ("HEAD", {"X-Any": "thing"}),
        ("POST", {"Content-Type": "a/b; boundary=c", "Content-Length": "3"}),
        ("PUT", {"CONTENT-LENGTH": "3", "user-agent": "mine"}),
    ],
)
async def test_a_request_says_the_same_whichever_way_it_was_built(method: str, headers: Mapping[str, str]) -> None:
    async with open_client() as client:
        for timeout in (httpx.USE_CLIENT_DEFAULT, httpx.Timeout(7.0), None):
            content = None if method in {"GET", "HEAD"} else pieces()
            short = client.build_request(method, URL, headers=headers, content=content, timeout=timeout)
            long = httpx.AsyncClient.build_request(
                client, method, URL, headers=headers, content=content, timeout=timeout
            )
            assert said(short) == said(long)
            assert isinstance(short.stream, httpx.AsyncByteStream)
            assert b"".join([piece async for piece in short.stream]) == (b"abc" if content else b"")


async def test_what_the_short_way_does_not_know_goes_httpx_s_own(client: PooledClient) -> None:
    unmeasured = client.build_request("POST", URL, headers={"X-Any": "thing"}, content=pieces())
    assert unmeasured.headers["Transfer-Encoding"] == "chunked"
    empty = client.build_request("POST", URL, headers={"X-Any": "thing"})
    assert empty.headers["Content-Length"] == "0"
    asked = client.build_request("GET", URL, headers={"X-Any": "thing"}, params={"c": "d"})
    assert asked.url.query == b"c=d"


@pytest.fixture
async def client() -> AsyncIterator[PooledClient]:
    async with open_client() as opened:
        yield opened
