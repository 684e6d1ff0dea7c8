"""A destination must not lead a worker into the network it stands in, whatever its name resolves to (fault 17)."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
import trio
from attrs import define, field

from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.net.backend import Stream
from streamwarm.net.guard import GuardedBackend
from streamwarm.net.pool import open_client
from streamwarm.net.stream import TCPBackend
from tests.worlds.net_peer import Peer, Server

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@define(eq=False)
class Names(trio.abc.HostnameResolver):
    """Answers look-ups from a list, one entry each time, and counts them."""

    answers: Iterator[list[str]]
    asked: int = 0

    async def getaddrinfo(self, host: Any, port: Any, *_: Any, **__: Any) -> Any:
        self.asked += 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(self.answers)]

    async def getnameinfo(self, *_: Any) -> Any:
        raise NotImplementedError


@define(eq=False)
class Routed:
    """A network in which the listed addresses lead to a server of the test, and no other address exists."""

    ports: dict[str, int]
    dialled: list[str] = field(factory=list)
    _tcp: TCPBackend = field(factory=TCPBackend)

    async def connect_tcp(self, host: str, port: int, *arguments: Any, **named: Any) -> Stream:
        self.dialled.append(host)
        if host not in self.ports:
            raise httpx.ConnectError("no route to it")
        return await self._tcp.connect_tcp("127.0.0.1", self.ports[host], *arguments, **named)


def resolving(*answers: list[str]) -> Names:
    names = Names(iter(answers))
    trio.socket.set_custom_hostname_resolver(names)
    return names


async def greet(peer: Peer) -> None:
    while await peer.head():
        await peer.answer(b"hello")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"]
)
async def test_no_spelling_of_a_private_address_is_dialled(host: str, start: Callable[..., Awaitable[Server]]) -> None:
    side = await start(greet)
    async with open_client(ssl_context=NO_TLS, network_backend=GuardedBackend()) as client:
        with pytest.raises(DestinationError) as caught:
            await client.get(f"http://{host}:{side.port}/")
    assert caught.value.code is ErrorCode.DESTINATION_REFUSED
    assert caught.value.permanent
    assert "allow_private" in caught.value.message
    assert side.opened == 0
    assert client.stats()["active"] == 0


async def test_a_public_name_that_resolves_into_the_private_network_is_refused_with_the_reason() -> None:
    resolving(["169.254.169.254"])
    async with open_client(ssl_context=NO_TLS, network_backend=GuardedBackend()) as client:
        with pytest.raises(
            DestinationError, match=r"media\.example resolves to 169\.254\.169\.254, a link-local address"
        ):
            await client.get("http://media.example/")


async def test_the_address_that_was_checked_is_the_one_that_is_dialled(
    start: Callable[..., Awaitable[Server]],
) -> None:
    side = await start(greet)
    network = Routed({"8.8.8.8": side.port})
    names = resolving(["10.0.0.1", "8.8.8.8"], ["127.0.0.1"])
    async with open_client(ssl_context=NO_TLS, network_backend=GuardedBackend(network)) as client:
        assert (await client.get("http://media.example/")).text == "hello"
    assert (names.asked, network.dialled) == (1, ["8.8.8.8"])


async def test_a_second_public_address_is_tried_where_the_first_does_not_answer(
    start: Callable[..., Awaitable[Server]],
) -> None:
    side = await start(greet)
    network = Routed({"8.8.4.4": side.port})
    resolving(["8.8.8.8", "8.8.4.4"])
    async with open_client(ssl_context=NO_TLS, network_backend=GuardedBackend(network)) as client:
        assert (await client.get("http://media.example/")).text == "hello"
    assert network.dialled == ["8.8.8.8", "8.8.4.4"]


async def test_tls_is_verified_for_the_name_though_an_address_is_dialled(
    start: Callable[..., Awaitable[Server]], ca_file: Any
) -> None:
    side = await start(greet, tls=True)
    network = Routed({"8.8.8.8": side.port})
    resolving(["8.8.8.8"], ["8.8.8.8"])
    async with open_client(ca_file=ca_file, network_backend=GuardedBackend(network)) as client:
        assert (await client.get("https://localhost/")).text == "hello"
        with pytest.raises(httpx.ConnectError, match="certificate"):
            await client.get("https://other.example/")


async def test_a_redirect_is_an_answer_and_leads_nowhere(start: Callable[..., Awaitable[Server]]) -> None:
    async def redirect(peer: Peer) -> None:
        while await peer.head():
            await peer.answer(status=b"307 Temporary Redirect", extra=b"Location: http://127.0.0.1:1/\r\n")

    side = await start(redirect)
    network = Routed({"8.8.8.8": side.port})
    names = resolving(["8.8.8.8"])
    async with open_client(ssl_context=NO_TLS, network_backend=GuardedBackend(network)) as client:
        assert (await client.get("http://media.example/")).status_code == 307
    assert names.asked == len(network.dialled) == 1


async def test_a_name_that_does_not_resolve_is_an_ordinary_failure() -> None:
    async with open_client(ssl_context=NO_TLS, network_backend=GuardedBackend()) as client:
        with pytest.raises(httpx.ConnectError, match="resolved"):
            await client.get("http://no-such-name.invalid/")
