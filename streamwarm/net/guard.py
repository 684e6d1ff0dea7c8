"""Restricts a client to public addresses: a name is resolved once, and the client connects to the address that was
checked.

Theory. Checking the name alone is worthless: its owner decides what it resolves to, and may answer differently the
second time (DNS rebinding). So there must be no second look-up between the check and the connection. TLS is not
affected: the certificate is verified for the name, which the connection keeps beside its stream.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence

import httpx
import trio
from attrs import define, field

from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.net.addresses import why_not_public
from streamwarm.net.backend import NOT_AN_ADDRESS, Backend, PlainStream
from streamwarm.net.stream import TCPBackend

MOST_ADDRESSES = 8
"""Addresses tried per name. They share the connect time-out; hundreds would leave each too little."""


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of `host`, each once, in the resolver's order: never empty. Raises `OSError`, `NOT_AN_ADDRESS`."""
    found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@define(eq=False)
class GuardedBackend:
    """Opens connections to public addresses only. `_resolve` gives a name's addresses, and `_tcp` connects to them."""

    _tcp: Backend = field(factory=TCPBackend)
    _resolve: Callable[[str, int], Awaitable[Sequence[str]]] = resolve

    async def connect_tcp(self, host: str, port: int, timeout: float | None = None) -> PlainStream:  # noqa: ASYNC109
        """Resolve `host` and connect to its first public address that answers, within `timeout` seconds in all.

        Raises `DestinationError` if it has no public address, `httpx.ConnectError`, `httpx.ConnectTimeout`.
        """
        deadline = trio.current_time() + (float("inf") if timeout is None else timeout)
        addresses = _public(host, await self._addresses(host, port, deadline))
        failed: httpx.ConnectError | httpx.ConnectTimeout | None = None
        for index, address in enumerate(addresses):
            share_s = (deadline - trio.current_time()) / (len(addresses) - index)
            within_s = None if timeout is None else max(0.0, share_s)
            try:
                return await self._tcp.connect_tcp(address, port, within_s)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failed = error
        raise failed or httpx.ConnectError(f"no connection to {host}:{port}")

    async def _addresses(self, host: str, port: int, deadline: float) -> Sequence[str]:
        try:
            with trio.fail_at(deadline):
                return await self._resolve(host, port)
        except trio.TooSlowError:
            raise httpx.ConnectTimeout(f"{host} was not resolved in time") from None
        except (OSError, *NOT_AN_ADDRESS) as error:
            raise httpx.ConnectError(f"{host} can't be resolved: {error}") from error


def _public(host: str, addresses: Sequence[str]) -> Sequence[str]:
    reasons = [why_not_public(address) for address in addresses]
    public = [address for address, reason in zip(addresses, reasons, strict=True) if reason is None]
    if not public:
        what = f"{host} is" if list(addresses) == [host] else f"{host} resolves to {addresses[0]},"
        raise DestinationError(
            ErrorCode.DESTINATION_REFUSED,
            f"{what} {reasons[0]}, and this destination may use public addresses only; "
            "if that address is intended, set the destination's allow_private = true",
        )
    return public[:MOST_ADDRESSES]
