"""The transport behind httpx's client: takes its requests and returns its responses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import httpx
from attrs import define, field

from streamwarm.net.connections import Connection, Connections, Origin
from streamwarm.net.http11 import Exchange, Limits, OutgoingRequest

DEFAULT_PORTS = {"http": 80, "https": 443}


@define(eq=False)
class ResponseBody(httpx.AsyncByteStream):
    """The answer's body, piece by piece as it arrives. The last piece, or `aclose`, gives the connection back."""

    _connections: Connections
    _connection: Connection
    _exchange: Exchange
    _open: bool = field(default=True, init=False)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._exchange.read_body() if self._open else b""
        if self._exchange.complete:
            await self.aclose()
        if not piece:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Give the connection back; it is closed if the body was not read to its end."""
        if self._open:
            self._open = False
            await self._connections.give_back(self._connection, reusable=self._exchange.reusable)


@define(eq=False)
class PooledTransport(httpx.AsyncBaseTransport):
    """Sends httpx requests over pooled HTTP/1.1 connections.

    `headers_timeout_s` bounds the wait for the answer's head if nothing was uploaded, `body_timeout_s` the time without
    a byte of the answer's body. A request's own httpx time-outs can only shorten them.
    """

    _connections: Connections
    _headers_timeout_s: float
    _body_timeout_s: float

    def stats(self) -> dict[str, int]:
        """Counts of `active`, `idle` and `queued`, for the metric `streamwarm_pool_connections{state}`."""
        return self._connections.stats()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return its answer with the body unread.

        Raises httpx's `TransportError`s, whose messages hold no URL. What the iterator of the request's body raises
        passes through as it is. If the request fails, its extension `unreceived` is set: True if the server certainly
        received no byte of it.
        """
        if not isinstance(request.stream, httpx.AsyncByteStream):
            raise TypeError("the request's body must be an async iterator, or bytes")
        timeouts: Mapping[str, float | None] = request.extensions.get("timeout", {})
        # A signed path must be sent as it was signed; httpx would normalize `..` out of it.
        target: bytes = request.extensions.get("target") or request.url.raw_path
        connection = await self._connections.take(
            _origin(request.url), connect_s=timeouts.get("connect"), wait_s=timeouts.get("pool")
        )
        exchange = Exchange(connection.stream, self._limits(timeouts))
        body = ResponseBody(self._connections, connection, exchange)
        try:
            answer = await exchange.send(
                OutgoingRequest(request.method.encode("ascii"), target, request.headers.raw, request.stream)
            )
        except BaseException:
            request.extensions["unreceived"] = exchange.unreceived
            await body.aclose()
            raise
        return httpx.Response(
            answer.status_code,
            headers=answer.headers.raw_items(),
            stream=body,
            extensions={"http_version": b"HTTP/" + answer.http_version, "reason_phrase": answer.reason},
        )

    def _limits(self, timeouts: Mapping[str, float | None]) -> Limits:
        read_s = timeouts.get("read")
        return Limits(
            answer_s=read_s,
            head_s=_tighter(read_s, self._headers_timeout_s),
            read_s=_tighter(read_s, self._body_timeout_s),
            write_s=timeouts.get("write"),
        )

    async def aclose(self) -> None:
        await self._connections.aclose()


def _origin(url: httpx.URL) -> Origin:
    if url.scheme not in DEFAULT_PORTS:
        raise httpx.UnsupportedProtocol(f"the scheme must be http or https, not {url.scheme!r}")
    return Origin(url.scheme, url.raw_host.decode("ascii"), url.port or DEFAULT_PORTS[url.scheme])


def _tighter(asked_s: float | None, limit_s: float) -> float:
    return limit_s if asked_s is None else min(asked_s, limit_s)
