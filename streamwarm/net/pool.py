"""The HTTP client of every stage that speaks HTTP.

On purpose it does not
- follow redirects: a destination could point at a private address;
- read proxies and credentials from the environment;
- keep cookies: destinations that share the client must not learn of each other;
- ask for compression: bytes are counted and digested as they are stored;
- speak HTTP/2;
- retry: an attempt is retried as a whole, by the service.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
from attrs import frozen

from streamwarm import __version__
from streamwarm.net.backend import Backend
from streamwarm.net.connections import Connections
from streamwarm.net.stream import TCPBackend
from streamwarm.net.tls import client_context
from streamwarm.net.transport import PooledTransport

ANSWER_S = 600.0
"""How long an upload's answer may take. A local Bot API server gives up after passing a file on to Telegram for 500 s.
This is the last resort: a caller that knows a shorter time sets a cancel scope of its own."""


class NoCookies(httpx.Cookies):
    """An empty cookie jar, which also saves httpx's detour through urllib for every answer."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Ignore the answer's cookies."""


@frozen
class _Streamed(httpx.AsyncByteStream):
    """A request's body as its sender iterates it, without a generator of httpx's around it."""

    content: AsyncIterable[bytes]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self.content)


class PooledClient(httpx.AsyncClient):
    """httpx's client without cookies. `stats()` counts its connections.

    `send` goes straight to the transport. httpx's own way there, through authentication, redirects, hooks and wrappers
    that are not used here, costs a small object a tenth of its time (`tools/bench/relay`). `build_request` has a short
    way for the same reason.
    """

    def __init__(self, transport: PooledTransport, timeout: httpx.Timeout) -> None:
        self._no_cookies = NoCookies()
        self._no_body = httpx.ByteStream(b"")
        self._pool = transport
        super().__init__(
            transport=transport,
            timeout=timeout,
            trust_env=False,
            follow_redirects=False,
            headers={"User-Agent": f"streamwarm/{__version__}", "Accept-Encoding": "identity"},
        )
        self.stats = transport.stats
        self._standing_headers = [(name.decode("ascii"), value.decode("ascii")) for name, value in self.headers.raw]

    def build_request(
        self,
        method: str,
        url: httpx.URL | str,
        *,
        content: Any = None,
        headers: Any = None,
        timeout: Any = httpx.USE_CLIENT_DEFAULT,
        extensions: Any = None,
        **others: Any,
    ) -> httpx.Request:
        """Build a request as httpx does, in a short way for what moves media.

        The short way needs a parsed URL, headers as a mapping, and either no body or a stream whose length is among the
        headers.
        """
        own = {name.lower() for name in headers} if isinstance(headers, Mapping) else set()
        streamed = isinstance(content, AsyncIterable) and "content-length" in own
        bodiless = content is None and method in {"GET", "HEAD"}
        if others or not isinstance(url, httpx.URL) or not own or not (streamed or bodiless):
            more = {"content": content, "headers": headers, "timeout": timeout, "extensions": extensions}
            return super().build_request(method, url, **more, **others)
        merged = [header for header in self._standing_headers if header[0].lower() not in own]
        if "host" not in own:
            merged.insert(0, ("Host", url.netloc.decode("ascii")))
        merged += headers.items()
        limits = self.timeout if timeout is httpx.USE_CLIENT_DEFAULT else httpx.Timeout(timeout)
        return httpx.Request(
            method,
            url,
            headers=merged,
            stream=_Streamed(content) if streamed else self._no_body,
            extensions={"timeout": limits.as_dict(), **(extensions or {})},
        )

    async def send(
        self,
        request: httpx.Request,
        *,
        stream: bool = False,
        auth: object = None,
        follow_redirects: object = False,
    ) -> httpx.Response:
        """Send a request that this client built, as httpx's `send` does.

        `auth` and `follow_redirects` are accepted because httpx's own methods pass them; they are ignored.
        """
        if self.is_closed:
            raise RuntimeError("the client has been closed")
        response = await self._pool.handle_async_request(request)
        response.request = request
        if not stream:
            try:
                await response.aread()
            except BaseException:
                await response.aclose()
                raise
        return response

    @property  # type: ignore[misc]  # read-only, unlike httpx's: there is nothing to set
    def cookies(self) -> httpx.Cookies:
        return self._no_cookies


def open_client(
    *,
    connections: int = 50,
    keepalive_s: float = 150.0,
    connect_timeout_s: float = 10.0,
    headers_timeout_s: float = 30.0,
    body_timeout_s: float = 60.0,
    ca_file: Path | None = None,
    ssl_context: ssl.SSLContext | None = None,
    network_backend: Backend | None = None,
) -> PooledClient:
    """Open the client; `async with` or `aclose()` closes it and its connections.

    `connections` is the limit for all connections, idle ones included. An idle one is kept for `keepalive_s` seconds.

    Time limits, in seconds, each of which raises its own `httpx.TimeoutException`:
    - `connect_timeout_s`: connecting and the TLS handshake together;
    - `headers_timeout_s`: the wait for a free connection, and for the answer's head if the request has no body;
    - `body_timeout_s`: the time without a byte of a body, up or down;
    - `ANSWER_S`: the wait for an upload's answer.

    `ca_file` (PEM) replaces the system's roots, `ssl_context` the whole TLS configuration, `network_backend` TCP.
    Raises `SettingsError` if `ca_file` can't be used.
    """
    pooled = Connections(
        connections,
        keepalive_s,
        client_context(ca_file) if ssl_context is None else ssl_context,
        TCPBackend() if network_backend is None else network_backend,
    )
    return PooledClient(
        PooledTransport(pooled, headers_timeout_s, body_timeout_s),
        httpx.Timeout(connect=connect_timeout_s, read=ANSWER_S, write=body_timeout_s, pool=headers_timeout_s),
    )
