"""One of each kind of destination, over loopback: real servers, each behind a proxy that injects faults."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import sys
import time
import types
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from random import random
from typing import Any
from urllib.parse import unquote, urlsplit

import h11
import httpx
import trio
from attrs import Factory, define

from streamwarm.backlog.settlement import Done
from streamwarm.fetch.r2 import R2Source
from streamwarm.model import Job
from streamwarm.net.backend import Backend
from streamwarm.net.pool import PooledClient, open_client
from streamwarm.redact import make_redactor
from streamwarm.s3.sigv4 import S3Request, Signer, SigningKeys, object_path
from streamwarm.sandbox.bot_api import BotApiEmulator, Chat, EmulatorSettings, serve_bot_api
from streamwarm.sandbox.object_store import ObjectStore
from streamwarm.send import registry
from streamwarm.send.destination import Destination
from streamwarm.settings import destinations as settings_types
from streamwarm.stream.transfer import transfer
from tests.worlds.http_sink import FaultProxy, HttpSink, refusal, serving
from tests.worlds.scripted_bucket import NO_TLS, Rig, Script, holding, rig
from tests.worlds.stream import CHAT, TOKEN, Worked, new_attempt, work_once
from tests.worlds.stream import job as new_job

MIB = 1 << 20
CANARY = "canary-0123456789"
HTTP_KINDS = ["telegram", "http-put", "http-post", "s3", "s3-multipart"]
KINDS = [*HTTP_KINDS, "folder"]
"""The last one is the worked example of docs/destinations.md."""

Held = list[tuple[str, str]]
"""Name and digest of every object that a destination has."""


@define(eq=False)
class Server:
    """The server behind a destination: its settings table, and what a test reads from it."""

    table: dict[str, Any]
    holds: Callable[[], Awaitable[Held]]
    name_of: Callable[[str], str]
    leftovers: Callable[[], Awaitable[list[str]]]
    refuse: Callable[..., bytes] = refusal
    ends: Callable[[h11.Request], bool] | None = None
    """Whether a request is the one that makes an object of what was sent; None if the upload itself does."""


@define(eq=False)
class DestinationWorld:
    """A destination, its server and the proxy between them, and a bucket to warm from."""

    kind: str
    destination: Destination
    server: Server
    proxy: FaultProxy
    pools: list[PooledClient]
    bucket: Rig
    body_timeout_s: float
    secrets: list[str] = Factory(list)

    def job(self, **changes: Any) -> Job:
        return new_job(destination="tested", **changes)

    async def send(self, job: Job | None = None) -> Done:
        attempt = new_attempt(job or self.job(), self.destination)
        return await transfer(attempt, self.bucket.source, body_timeout_s=self.body_timeout_s)

    async def work(self, job: Job | None = None) -> Worked:
        return await work_once(
            job or self.job(),
            self.bucket.source,
            self.destination,
            body_timeout_s=self.body_timeout_s,
            redact=make_redactor(self.secrets),
        )

    async def is_untouched(self) -> bool:
        return await self.server.holds() == [] and await self.server.leftovers() == []

    @property
    def idle(self) -> bool:
        return all(pool.stats()["active"] == pool.stats()["queued"] == 0 for pool in self.pools)


def size_of(kind: str, least: int = 300_000) -> int:
    """The size of an object of more than one piece and, if there are parts, of more than one part."""
    return max(least, 5 * MIB + 300_000) if kind == "s3-multipart" else least


@asynccontextmanager
async def destination_world(
    kind: str,
    script: Script,
    store: ObjectStore,
    folder: Path,
    *,
    body_timeout_s: float = 10.0,
    answer_timeout_s: float = 10.0,
    backend: Backend | None = None,
) -> AsyncIterator[DestinationWorld]:
    """Open everything for one kind of destination inside the block. `backend` carries the destination's connections."""
    async with AsyncExitStack() as stack:
        proxy = FaultProxy(0)
        server = await stack.enter_async_context(_SERVERS[kind.partition("-")[0]](kind, proxy, store, folder))
        source_pool = open_client(connections=4, ssl_context=NO_TLS)
        bucket = await stack.enter_async_context(rig(script, open_http=lambda: source_pool))
        pools = [source_pool]

        def open_pool(*, guarded: bool) -> PooledClient:
            assert not guarded
            limits = {"connections": 4, "body_timeout_s": body_timeout_s}
            pools.append(open_client(ssl_context=NO_TLS, network_backend=backend, **limits))  # type: ignore[arg-type]
            return pools[-1]

        configured = settings_types.parse_destinations({"tested": server.table})
        opened = registry.open_destinations(configured, open_pool, now=time.time, token_hex=secrets.token_hex)
        destinations = await stack.enter_async_context(opened)
        destination: Any = destinations["tested"]
        destination.answer_timeout_s = answer_timeout_s
        hidden = settings_types.secrets_in(configured)
        yield DestinationWorld(kind, destination, server, proxy, pools, bucket, body_timeout_s, hidden)


def s3_bucket(
    store: ObjectStore, folder: Path, body: bytes, **settings: Any
) -> AbstractAsyncContextManager[DestinationWorld]:
    """A bucket in parts of 5 MiB, and `body` to warm it with."""
    return destination_world("s3-multipart", holding(body, cuts=[]), store, folder, **settings)


async def _none() -> list[str]:
    return []


@asynccontextmanager
async def _telegram(kind: str, proxy: FaultProxy, store: ObjectStore, folder: Path) -> AsyncIterator[Server]:
    async with trio.open_nursery() as nursery:
        emulator: BotApiEmulator = await nursery.start(
            partial(serve_bot_api, EmulatorSettings([TOKEN], {CHAT: Chat("supergroup")}))
        )
        proxy.behind_port = urlsplit(emulator.base_url).port or 0

        async def holds() -> Held:
            return [(delivery.file_name or "", delivery.sha256) for delivery in emulator.deliveries]

        def refuse(status: int, **headers: object) -> bytes:
            parameters = {"retry_after": headers["retry_after"]} if "retry_after" in headers else {}
            answer = {"ok": False, "error_code": status, "description": "No: X", "parameters": parameters}
            return refusal(status, json.dumps(answer).encode(), content_type="application/json")

        async with serving(proxy):
            table = {"type": "telegram", "token": TOKEN, "chats": [CHAT]}
            table["base_url"] = f"http://127.0.0.1:{proxy.port}"
            yield Server(table, holds, lambda key: key.rpartition("/")[2], _none, refuse)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def _http(kind: str, proxy: FaultProxy, store: ObjectStore, folder: Path) -> AsyncIterator[Server]:
    sink = HttpSink([("ETag", '"e1"')])
    async with serving(sink):
        proxy.behind_port = sink.port

        async def holds() -> Held:
            return [
                (unquote(received.target.removeprefix("/up/")), hashlib.sha256(received.body).hexdigest())
                for received in sink.received
            ]

        async with serving(proxy):
            table = {"type": "http", "url": f"http://127.0.0.1:{proxy.port}/up/{{r2_key}}", "allow_private": True}
            table |= {"method": kind.partition("-")[2].upper(), "headers": {"Authorization": f"Bearer {CANARY}"}}
            yield Server(table, holds, str, _none)


@asynccontextmanager
async def _s3(kind: str, proxy: FaultProxy, store: ObjectStore, folder: Path) -> AsyncIterator[Server]:
    proxy.behind_port = urlsplit(store.endpoint_url).port or 0
    proxy.applies = _uploads_an_object
    prefix = f"{secrets.token_hex(4)}/"
    async with open_client(connections=4, ssl_context=NO_TLS) as client, serving(proxy):
        bucket = R2Source(client, store.as_bucket(), signing_keys=SigningKeys(), now=time.time, uniform=random)

        async def holds() -> Held:
            held = []
            async for item in bucket.list_objects(prefix):
                digest = hashlib.sha256()
                async with bucket.open_object(item.r2_key) as opened:
                    async for piece in opened.pieces():
                        digest.update(piece)
                held.append((item.r2_key.removeprefix(prefix), digest.hexdigest()))
            return held

        async def leftovers() -> list[str]:
            answer = await client.send(_listing_uploads(store))
            uploads = [key for key in re.findall(r"<Key>([^<]*)</Key>", answer.text) if key.startswith(prefix)]
            traces = [item.r2_key async for item in bucket.list_objects(".streamwarm/")]
            return uploads + traces

        def refuse(status: int, **headers: object) -> bytes:
            return refusal(status, b"<Error><Code>No</Code><Message>No: X</Message></Error>", **headers)

        table = {
            "type": "s3",
            "endpoint_url": f"http://127.0.0.1:{proxy.port}",
            "bucket": store.bucket,
            "access_key_id": store.access_key_id,
            "secret_access_key": store.secret_access_key,
            "key": f"{prefix}{{r2_key}}",
            "part_bytes": 5 * MIB,
        }
        ends = _completes if kind == "s3-multipart" else None
        # SeaweedFS is a file system underneath: two slashes are one to it.
        yield Server(table, holds, lambda key: key.replace("//", "/"), leftovers, refuse, ends)


def _uploads_an_object(request: h11.Request) -> bool:
    return request.method == b"PUT" and b"/.streamwarm/" not in request.target


def _completes(request: h11.Request) -> bool:
    return request.method == b"POST" and b"uploadId=" in request.target


def _listing_uploads(store: ObjectStore) -> httpx.Request:
    url = httpx.URL(store.endpoint_url)
    signer = Signer(store.access_key_id, store.secret_access_key, SigningKeys())
    asked = S3Request("GET", url.netloc.decode(), object_path(store.bucket), (("uploads", ""),))
    return httpx.Request("GET", url.copy_with(raw_path=asked.target), headers=signer.headers(asked, now=time.time()))


@asynccontextmanager
async def _folder(kind: str, proxy: FaultProxy, store: ObjectStore, folder: Path) -> AsyncIterator[Server]:
    """The example of docs/destinations.md, registered as that page says."""
    page = (Path(__file__).parents[2] / "docs" / "destinations.md").read_text(encoding="utf-8")
    settings_code, settings_line, code, line = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    modules = [types.ModuleType(f"streamwarm.{stage}.folder") for stage in ("settings", "send")]
    for module, text in zip(modules, (settings_code, code), strict=True):
        sys.modules[module.__name__] = module  # attrs looks up annotations there
        exec(compile(text, "docs/destinations.md", "exec"), module.__dict__)
    names = {**vars(modules[0]), **vars(modules[1])}
    known_settings, known = settings_types.TYPES, registry.TYPES
    settings_types.TYPES = {**known_settings, **eval(f"{{{settings_line}}}", names)}
    registry.TYPES = {**known, **eval(f"{{{line}}}", {**vars(registry), **names})}

    async def holds() -> Held:
        return [
            (file.name, hashlib.sha256(file.read_bytes()).hexdigest())
            for file in sorted(folder.iterdir())
            if file.suffix != ".part"
        ]

    async def leftovers() -> list[str]:
        return [file.name for file in folder.iterdir() if file.suffix == ".part"]

    try:
        table = {"type": "folder", "folder": str(folder)}
        yield Server(table, holds, lambda key: hashlib.sha256(key.encode()).hexdigest(), leftovers)
    finally:
        settings_types.TYPES, registry.TYPES = known_settings, known
        for module in modules:
            del sys.modules[module.__name__]


_SERVERS: dict[str, Callable[..., Any]] = {"telegram": _telegram, "http": _http, "s3": _s3, "folder": _folder}
