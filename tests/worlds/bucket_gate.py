"""A bucket that can be shut: a proxy before a real S3 server, which answers everything itself while it is shut."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import h11
import trio
from attrs import Factory, define, evolve

from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.http_sink import Connection, FaultProxy, serving


@define(eq=False)
class BucketGate(FaultProxy):
    """`shut` holds the answer while the bucket is shut: a status and S3's word. `shut_for` gives the answer to one
    request (method, target), None to pass it on. `refused` are the requests that were not passed on."""

    shut: tuple[int, str] | None = None
    shut_for: Callable[[str, str], tuple[int, str] | None] = lambda method, target: None
    refused: list[str] = Factory(list)

    async def _pass_on(
        self, request: h11.Request, connection: Connection, behind: trio.abc.Stream
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        shut = self.shut or self.shut_for(request.method.decode(), request.target.decode())
        if shut is None:
            return await super()._pass_on(request, connection, behind)
        while await connection.piece():
            pass
        self.refused.append(self.requests[-1])
        status, code = shut
        body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>m</Message></Error>'.encode()
        return status, [], b"" if request.method == b"HEAD" else body


@asynccontextmanager
async def bucket_gate(store: ObjectStore) -> AsyncIterator[tuple[BucketGate, ObjectStore]]:
    """The gate, and the bucket as it is reached through it."""
    gate = BucketGate(urlsplit(store.endpoint_url).port or 0)
    async with serving(gate):
        yield gate, evolve(store, endpoint_url=f"http://127.0.0.1:{gate.port}")
