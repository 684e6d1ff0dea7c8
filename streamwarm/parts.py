"""Opens the implementations that the settings name: the store, the bucket, the destinations."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from attrs import frozen

from streamwarm.backlog.limits import StoreLimits
from streamwarm.backlog.memory import open_memory_store
from streamwarm.backlog.service_lock import lock_service
from streamwarm.backlog.sqlite import open_sqlite_store
from streamwarm.backlog.store import Store
from streamwarm.errors import SettingsError
from streamwarm.fetch.bucket import Bucket
from streamwarm.fetch.r2 import R2Source
from streamwarm.fetch.sigv4 import SigningKeys
from streamwarm.net.pool import PooledClient, open_client
from streamwarm.send.destination import Destination
from streamwarm.send.registry import build_destinations, secrets_in
from streamwarm.settings import PoolSettings, Settings
from streamwarm.watch.events import Observer, PoolOpened, unobserved

SQLITE = "sqlite:///"


def new_id() -> str:
    """A job's id: milliseconds, so that ids sort by age, and 64 random bits."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(8)}"


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """The store at `store.url`, for this process alone. Raises `StoreUnavailable`."""
    queue = settings.queue
    limits = StoreLimits(
        max_pending=queue.max_pending,
        max_attempts=queue.max_attempts,
        lease_s=queue.lease_s,
        keep_done_s=queue.keep_done_s,
        keep_failed_s=queue.keep_failed_s,
        max_wait_s=queue.max_wait_s,
    )
    arguments: dict[str, Any] = {"limits": limits, "now": time.time, "new_id": new_id, "new_token": secrets.token_hex}
    url = settings.store.url
    if url == "memory:":
        async with open_memory_store(**arguments) as store:
            yield store
    elif url.startswith(SQLITE):
        path = url.removeprefix(SQLITE)
        with lock_service(path):
            async with open_sqlite_store(path, **arguments) as store:
                # Nobody else holds the file, so whatever was running died with the process that ran it.
                await store.rescue(everything=True)
                yield store
    else:
        raise SettingsError("store.url: PostgreSQL is not supported yet; use sqlite:///PATH")


def secrets_in_settings(settings: Settings) -> list[str]:
    """Every text in the settings that must never be shown."""
    r2 = settings.r2
    own = [*settings.auth.tokens, *filter(None, (r2.secret_access_key, r2.access_key_id))]
    return [*own, *secrets_in(settings.destinations)]


def open_pool(settings: PoolSettings) -> PooledClient:
    """A client with the tuned pool."""
    return open_client(
        connections=settings.connections,
        keepalive_s=settings.keepalive_s,
        connect_timeout_s=settings.connect_timeout_s,
        headers_timeout_s=settings.headers_timeout_s,
        body_timeout_s=settings.body_timeout_s,
        ca_file=settings.ca_file,
    )


@frozen
class FarSides:
    """What the service talks to over the network. `pool_stats` tells the R2 pool's connections by state."""

    source: R2Source
    destinations: Mapping[str, Destination]
    pool_stats: Callable[[], Mapping[str, int]]


@asynccontextmanager
async def open_far_sides(settings: Settings, observe: Observer) -> AsyncIterator[FarSides]:
    """The bucket and the destinations, each side over a pool of its own. Raises `SettingsError`."""
    async with open_source_client(settings, observe) as (source, client), open_pool(settings.pool) as destinations:
        yield FarSides(source, build_destinations(settings.destinations, destinations), client.stats)


@asynccontextmanager
async def open_source(settings: Settings) -> AsyncIterator[R2Source]:
    """The bucket alone."""
    async with open_source_client(settings, unobserved) as (source, _):
        yield source


@asynccontextmanager
async def open_source_client(settings: Settings, observe: Observer) -> AsyncIterator[tuple[R2Source, PooledClient]]:
    """The bucket, over a pool of its own. Raises `SettingsError` that names what is missing."""
    r2 = settings.r2
    missing = r2.missing()
    if missing:
        raise SettingsError(
            f"missing settings: {', '.join(missing)}; set them in streamwarm.toml or as STREAMWARM_R2_…, "
            "or try streamwarm without them: streamwarm serve --sandbox"
        )
    try:
        bucket = Bucket(
            endpoint_url=r2.resolved_endpoint or "",
            bucket=r2.bucket or "",
            region=r2.region,
            access_key_id=r2.access_key_id or "",
            secret_access_key=r2.secret_access_key or "",
        )
    except ValueError as exc:
        raise SettingsError(f"r2.{exc}") from None
    observe(PoolOpened(settings.pool.connections, settings.pool.keepalive_s))
    async with open_pool(settings.pool) as client:
        source = R2Source(
            client,
            bucket,
            signing_keys=SigningKeys(key_ttl_s=settings.signing.key_ttl_s, observe=observe),
            now=time.time,
            headers_timeout_s=settings.pool.headers_timeout_s,
            body_timeout_s=settings.pool.body_timeout_s,
            observe=observe,
        )
        yield source, client
