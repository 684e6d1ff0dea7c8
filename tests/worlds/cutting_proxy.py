"""A TCP proxy before PostgreSQL that cuts a connection in the middle of its next commit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum
from urllib.parse import urlsplit

import trio
from attrs import define

from tests.worlds.postgres import PostgresServer

_SYNC = b"S\0\0\0\4"
"""How a client ends what it wants answered: before it, the server keeps its answers."""


class Cut(Enum):
    """When: the server never sees the commit, or it does and its answer is lost."""

    BEFORE_COMMIT = "before"
    AFTER_COMMIT = "after"


@define
class CuttingProxy:
    """`cut` is what happens to the next transaction that writes; None once it has happened."""

    url: str
    socket: str
    cut: Cut | None = None
    cuts: int = 0

    async def carry(self, client: trio.SocketStream) -> None:
        server = await trio.open_unix_socket(self.socket)
        async with client, server, trio.open_nursery() as nursery:
            answers = trio.CancelScope()
            nursery.start_soon(_pass_on, server, client, answers)
            written = b""
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                async for data in client:
                    written += data
                    if self._is_due(written):
                        answers.cancel()
                        await self._cut(server, data)
                        break
                    await server.send_all(data)
            nursery.cancel_scope.cancel()

    def _is_due(self, written: bytes) -> bool:
        _, signed, rest = written.rpartition(b"UPDATE writers")
        _, commit, after = rest.rpartition(b"COMMIT")
        if self.cut is Cut.BEFORE_COMMIT:
            return bool(signed and commit)
        return self.cut is Cut.AFTER_COMMIT and bool(signed and commit) and _SYNC in after

    async def _cut(self, server: trio.SocketStream, data: bytes) -> None:
        cut, self.cut = self.cut, None
        self.cuts += 1
        if cut is Cut.AFTER_COMMIT:
            await server.send_all(data)
            while await server.receive_some():  # until it has done what it was sent
                await server.send_eof()


async def _pass_on(server: trio.SocketStream, client: trio.SocketStream, scope: trio.CancelScope) -> None:
    with scope, suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        async for data in server:
            await client.send_all(data)


@asynccontextmanager
async def cutting_proxy(server: PostgresServer, url: str) -> AsyncIterator[CuttingProxy]:
    """`url` as it is reached over the proxy."""
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener.socket.getsockname()[1]
        options = next(part for part in urlsplit(url).query.split("&") if part.startswith("options="))
        proxy = CuttingProxy(
            f"postgresql://postgres@127.0.0.1:{port}/postgres?{options}", f"{server.socket_folder}/.s.PGSQL.5432"
        )
        nursery.start_soon(trio.serve_listeners, proxy.carry, [listener])
        yield proxy
        nursery.cancel_scope.cancel()
