"""Keeps a client to public addresses: names are resolved here, once, and what is dialled is the address that was
checked.

Theory. A check of the name alone is worth nothing: whoever owns the name decides what it resolves to, and may answer
differently the second time (DNS rebinding). So between the check and the connection there must be no second look-up.
TLS is not affected: the certificate is verified for the name, which the connection keeps beside its stream.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence

import httpcore2
import trio
from attrs import define, field

from streamwarm.addresses import why_not_public
from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.net.stream import SocketOption, TCPBackend

MOST_ADDRESSES = 8
"""Of one name. Each gets its share of the time to connect; a name with hundreds must not make that too short."""


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of `host`, each once, in the resolver's order: never empty. Raises `OSError`, `UnicodeError`."""
    found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@define(eq=False)
class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections to public addresses only. `_resolve` gives a name's addresses, and `_tcp` connects to them."""

    _tcp: httpcore2.AsyncNetworkBackend = field(factory=TCPBackend)
    _resolve: Callable[[str, int], Awaitable[Sequence[str]]] = resolve

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Resolve `host` and connect to its first public address that answers, within `timeout` seconds in all.

        Raises `DestinationError` where it has none; `ConnectError`, `ConnectTimeout`.
        """
        deadline = trio.current_time() + (float("inf") if timeout is None else timeout)
        addresses = _public(host, await self._addresses(host, port, deadline))
        failed: httpcore2.ConnectError | httpcore2.ConnectTimeout | None = None
        for index, address in enumerate(addresses):
            share_s = (deadline - trio.current_time()) / (len(addresses) - index)
            within_s = None if timeout is None else max(0.0, share_s)
            try:
                return await self._tcp.connect_tcp(address, port, within_s, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
        raise failed or httpcore2.ConnectError(f"no connection to {host}:{port}")

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def _addresses(self, host: str, port: int, deadline: float) -> Sequence[str]:
        try:
            with trio.fail_at(deadline):
                return await self._resolve(host, port)
        except trio.TooSlowError:
            raise httpcore2.ConnectTimeout(f"{host} was not resolved in time") from None
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"{host} can't be resolved: {error}") from error


def _public(host: str, addresses: Sequence[str]) -> Sequence[str]:
    reasons = [why_not_public(address) for address in addresses]
    public = [address for address, reason in zip(addresses, reasons, strict=True) if reason is None]
    if not public:
        what = f"{host} is" if list(addresses) == [host] else f"{host} resolves to {addresses[0]},"
        raise DestinationError(
            ErrorCode.DESTINATION_REFUSED,
            f"{what} {reasons[0]}, and this destination may be at public addresses only; "
            "set its allow_private = true if that is meant",
        )
    return public[:MOST_ADDRESSES]
