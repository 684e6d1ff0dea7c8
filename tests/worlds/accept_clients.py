"""The acceptor's clients: one that speaks JSON-RPC over a websocket, one for HTTP, and raw sockets."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import trio
from attrs import define, field
from trio_websocket import WebSocketConnection, wrap_client_stream

from tests.worlds.accept import World, open_http_service, open_websocket_service, open_world


@define(eq=False)
class Client:
    """A websocket client that numbers its calls and keeps the notifications that come before a reply."""

    connection: WebSocketConnection
    notifications: list[dict[str, Any]] = field(factory=list)
    _ids: itertools.count[int] = field(factory=itertools.count)

    async def call(self, method: str, **params: Any) -> Any:
        """The result, or the error object under `error`."""
        number = next(self._ids)
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        await self.connection.send_message(json.dumps(request))
        while True:
            reply = await self.receive()
            if "method" not in reply:
                assert reply["id"] == number
                return reply.get("result") if "result" in reply else {"error": reply["error"]}
            self.notifications.append(reply)

    async def receive(self) -> dict[str, Any]:
        with trio.fail_after(5):
            message = json.loads(await self.connection.get_message())
        assert isinstance(message, dict)
        return message

    async def notification(self) -> dict[str, Any]:
        if self.notifications:
            return self.notifications.pop(0)
        return await self.receive()


@asynccontextmanager
async def open_client(url: str, **options: Any) -> AsyncIterator[Client]:
    """Open a websocket client with time-outs, and close its stream at the end.

    trio-websocket's own client waits for ever if the server ends the connection before the handshake. It also leaves
    the stream open if the server closed first.
    """
    async with await dial(url) as stream, trio.open_nursery() as nursery:
        path = urlsplit(url).path
        with trio.fail_after(10):
            connection = await wrap_client_stream(nursery, stream, "127.0.0.1", path, **options)
        yield Client(connection)
        with trio.move_on_after(1):
            await connection.aclose()
        nursery.cancel_scope.cancel()


def api(base_url: str, token: str | None = None) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(base_url=base_url, headers=headers, trust_env=False)


HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


async def dial(url: str) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", port_of(url))


async def read_all(stream: trio.SocketStream) -> bytes:
    """Everything until the server ends the connection, however it does."""
    received = bytearray()
    with trio.fail_after(20), suppress(trio.BrokenResourceError):
        async for piece in stream:
            received += piece
    return bytes(received)


async def send_to_the_end(stream: trio.SocketStream, data: bytes) -> None:
    """Send `data` and the end of the stream, or as much as the server reads."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await stream.send_all(data)
        await stream.send_eof()


async def refused_with(url: str, *headers: tuple[bytes, bytes]) -> int:
    """The status that answers a handshake with `headers`."""
    lines = b"".join(b"%s: %s\r\n" % header for header in headers)
    head = HANDSHAKE.replace(b"GET /", b"GET " + urlsplit(url).path.encode(), 1)
    async with await dial(url) as stream:
        await stream.send_all(head.removesuffix(b"\r\n") + lines + b"\r\n")
        return int((await read_all(stream)).split(b" ", 2)[1])


@asynccontextmanager
async def open_both() -> AsyncIterator[tuple[World, Client, httpx.AsyncClient]]:
    """A world, and a client of each of its interfaces."""
    async with (
        open_world() as world,
        open_websocket_service(world) as url,
        open_http_service(world) as http,
        open_client(url) as client,
        api(http) as web,
    ):
        yield world, client, web
