"""A connection of the network in memory as the HTTP client uses it: with time-outs, and with httpx's errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import httpx
import trio
from attrs import define


class ClientStream(Protocol):
    @property
    def is_readable(self) -> bool: ...

    async def send_all(self, data: bytes) -> None: ...

    async def receive_some(self, max_bytes: int | None = None) -> bytes: ...

    async def aclose(self) -> None: ...


async def connected(
    open_stream: Callable[[str, int], Awaitable[ClientStream]],
    host: str,
    port: int,
    timeout: float | None,  # noqa: ASYNC109
) -> ClientConnection:
    """A connection for the HTTP client. Raises `ConnectError`, `ConnectTimeout`."""
    try:
        with trio.fail_after(_or_forever(timeout)):
            return ClientConnection(await open_stream(host, port))
    except trio.TooSlowError:
        raise httpx.ConnectTimeout(f"no connection to {host}:{port}") from None
    except OSError as error:
        raise httpx.ConnectError(str(error)) from error


@define(eq=False)
class ClientConnection:
    """A connection as the HTTP client uses it."""

    _stream: ClientStream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        try:
            with trio.fail_after(_or_forever(timeout)):
                return await self._stream.receive_some(max_bytes)
        except trio.TooSlowError:
            raise httpx.ReadTimeout(f"nothing came for {timeout} s") from None
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpx.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        try:
            with trio.fail_after(_or_forever(timeout)):
                await self._stream.send_all(buffer)
        except trio.TooSlowError:
            raise httpx.WriteTimeout(f"nothing was taken for {timeout} s") from None
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpx.WriteError(str(error)) from error

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(self, *_: object) -> ClientConnection:
        raise httpx.ConnectError("the simulated network has no TLS")

    def get_extra_info(self, info: str) -> Any:
        return self._stream.is_readable if info == "is_readable" else None


def _or_forever(seconds: float | None) -> float:
    return float("inf") if seconds is None else seconds
