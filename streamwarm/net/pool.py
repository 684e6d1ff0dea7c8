"""The one tuned HTTP client. Every stage that speaks HTTP gets it from here.

What it does not do, on purpose: follow redirects (a destination could point at a private address), read
proxies and credentials from the environment, keep cookies (workers share it and destinations are not to know
of each other), ask for compression (bytes are counted and digested as stored), speak HTTP/2, retry. An
attempt is retried as a whole, by those who know what it means.
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
"""How long an upload's answer may take. A local Bot API server gives up after 500 s of passing a file on to
Telegram; who knows better sets a cancel scope of their own. This is the backstop."""


class NoCookies(httpx.Cookies):
    """Keeps nothing, and saves httpx's detour through urllib for every answer."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Leave the answer's cookies where they are."""


@frozen
class _Streamed(httpx.AsyncByteStream):
    """A request's body as its sender iterates it, without a generator of httpx's around it."""

    content: AsyncIterable[bytes]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self.content)


class PooledClient(httpx.AsyncClient):
    """httpx's client, without cookies, which can also tell how its connections stand.

    `send` goes straight to the transport: httpx's way there, through authentication, redirects, hooks and wrappers that
    are not in use here, costs a small object a tenth of its time (`tools/bench/relay`). `build_request` has a short way
    for the same reason.
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
        """As httpx's. What moves media goes a short way: a URL that is parsed already, headers as a mapping, and as the
        body nothing, or a stream whose length is among the headers."""
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
        """As httpx's, for a request built by this client. `auth` and `follow_redirects` are what httpx's own methods
        pass along, and mean nothing here."""
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

    `connections` are all there may be, idle ones included; an idle one is kept for `keepalive_s` seconds.
    Time limits, in seconds: `connect_timeout_s` for connecting and the TLS handshake together;
    `headers_timeout_s` for a free connection, and for the head of an answer to a request without a body;
    `body_timeout_s` without a byte of a body, up or down. An upload is answered within `ANSWER_S`. Each
    raises its own `httpx.TimeoutException`.

    `ca_file` (PEM) replaces the system's roots, `ssl_context` all of it; `network_backend` replaces TCP.
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
