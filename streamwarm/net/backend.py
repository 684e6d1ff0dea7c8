"""What the HTTP client needs of a network: `Backend` opens connections, `Stream` is one of them.

`stream.py` implements both with sockets and `guard.py` restricts a backend to public addresses. All of them raise
httpx's exceptions, so that the client has nothing to translate.
"""

from __future__ import annotations

import ssl
from typing import Any, Protocol

NOT_AN_ADDRESS = (UnicodeError, ValueError, OverflowError)
"""What the resolver, `socket` and `ssl` raise for a host or port that no connection can go to, such as `a..b`."""


class Stream(Protocol):
    """An open connection. One task reads or writes at a time. Time-outs are seconds without a byte; None is none."""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Return up to `max_bytes`, or `b""` at the end. Raises `httpx.ReadError`, `httpx.ReadTimeout`."""
        ...

    async def write(self, buffer: bytes | memoryview, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Send all of `buffer`. Raises `httpx.WriteError`, `httpx.WriteTimeout`."""
        ...

    async def aclose(self) -> None:
        """Close without waiting for the peer. Closing twice is harmless."""
        ...

    def get_extra_info(self, info: str) -> Any:
        """Return `"socket"`, `"ssl_object"`, or for `"is_readable"` whether a read would return at once."""
        ...


class PlainStream(Stream, Protocol):
    """An unencrypted connection, over which TLS can be started."""

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> Stream:
        """Shake hands within `timeout` seconds and return the encrypted stream, which owns this one from then on.

        Raises `httpx.ConnectError`, `httpx.ConnectTimeout`; the caller must then close this stream.
        """
        ...


class Backend(Protocol):
    """A way to open connections."""

    async def connect_tcp(self, host: str, port: int, timeout: float | None = None) -> PlainStream:  # noqa: ASYNC109
        """Connect within `timeout` seconds. Raises `httpx.ConnectError`, `httpx.ConnectTimeout`."""
        ...
