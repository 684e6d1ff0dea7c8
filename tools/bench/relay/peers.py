"""The HTTP clients that ours is held against, over the same connections: httpx as it comes, and httpcore2's pool over
our own network backend."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import Any, cast

import httpcore2
import httpx
from attrs import field, frozen

from streamwarm.net.stream import TCPBackend

TIMEOUT_S = 60


def open_httpx(ca_file: str | None, connections: int) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    context = ssl.create_default_context(cafile=ca_file)
    return httpx.AsyncClient(verify=context, limits=limits, timeout=TIMEOUT_S, trust_env=False)


def open_httpcore2(ca_file: str | None, connections: int) -> httpx.AsyncClient:
    pool = httpcore2.AsyncConnectionPool(
        ssl_context=ssl.create_default_context(cafile=ca_file),
        max_connections=connections,
        max_keepalive_connections=connections,
        network_backend=_Network(),
    )
    return httpx.AsyncClient(transport=_Httpcore2Transport(pool), timeout=TIMEOUT_S, trust_env=False)


@frozen
class _Network(httpcore2.AsyncNetworkBackend):
    """Our sockets behind httpcore2's interface. Their errors are httpx's, which httpcore2 passes through."""

    tcp: TCPBackend = field(factory=TCPBackend)

    async def connect_tcp(self, host: str, port: int, timeout: float | None = None, **_: Any) -> Any:  # noqa: ASYNC109
        return await self.tcp.connect_tcp(host, port, timeout)


@frozen
class _Body(httpx.AsyncByteStream):
    stream: Any

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self.stream:
            yield piece

    async def aclose(self) -> None:
        await self.stream.aclose()


@frozen
class _Httpcore2Transport(httpx.AsyncBaseTransport):
    pool: httpcore2.AsyncConnectionPool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        answer = await self.pool.handle_async_request(
            httpcore2.Request(
                request.method,
                httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                content=cast(httpx.AsyncByteStream, request.stream),
                extensions=request.extensions,
            )
        )
        body = _Body(answer.stream)
        return httpx.Response(answer.status, headers=answer.headers, stream=body, extensions=answer.extensions)

    async def aclose(self) -> None:
        await self.pool.aclose()
