"""Opens what the settings name: the store, the bucket, the download cache and the destinations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from types import ModuleType
from typing import Any, Protocol

from attrs import asdict, frozen

from streamwarm.attempts import Holder
from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.memory.store import open_memory_store
from streamwarm.backlog.rescuer import report_abandoned
from streamwarm.backlog.shared_limits import SourcePause
from streamwarm.backlog.sqlite import check as sqlite_check
from streamwarm.backlog.sqlite import file as sqlite_file
from streamwarm.backlog.sqlite.store import open_sqlite_store
from streamwarm.backlog.store import Store
from streamwarm.errors import SettingsError
from streamwarm.fetch.cache.file import make_private_folder
from streamwarm.fetch.cache.source import CachedSource, open_cache
from streamwarm.fetch.credentials import Bucket
from streamwarm.fetch.r2 import R2Source
from streamwarm.fetch.source import Source
from streamwarm.net.guard import GuardedBackend
from streamwarm.net.pool import PooledClient, open_client
from streamwarm.redact import make_redactor
from streamwarm.s3.sigv4 import SigningKeys
from streamwarm.send.destination import Destination
from streamwarm.send.registry import open_destinations
from streamwarm.service.machine import Machine
from streamwarm.service.store_lock import lock_when_free
from streamwarm.settings.accounts import accounts_of
from streamwarm.settings.schema import PoolSettings, Settings
from streamwarm.settings.secrets import secrets_in_settings
from streamwarm.watch.observations import Observer, PoolOpened, unobserved

SQLITE = "sqlite:///"


class OpenStore(Protocol):
    """Opens a store for `run_service`. `open_store` is one; a simulation passes another."""

    def __call__(
        self, settings: Settings, machine: Machine, *, alone: bool, process: int, observe: Observer
    ) -> AbstractAsyncContextManager[Store]: ...


@asynccontextmanager
async def open_store(
    settings: Settings, machine: Machine, *, alone: bool = True, process: int = 1, observe: Observer = unobserved
) -> AsyncIterator[Store]:
    """Open the store at `store.url`: a file or memory for this process alone, or a PostgreSQL database.

    `alone` True locks a SQLite file and rescues the jobs that ran when its last process died; `observe` gets those of
    them that are abandoned. `alone` False: the supervisor does so. `process` is this process's number. Raises
    `StoreUnavailable`, and `SettingsError` if the driver is not installed.
    """
    queue = settings.queue
    limits = StoreBounds(
        max_pending=queue.max_pending,
        max_attempts=queue.max_attempts,
        lease_s=queue.lease_s,
        keep_done_s=queue.keep_done_s,
        keep_failed_s=queue.keep_failed_s,
        max_wait_s=queue.max_wait_s,
        trust_s=settings.records.trust_s,
    )
    names: dict[str, Any] = {
        "limits": limits,
        "new_id": machine.new_id,
        "new_token": machine.new_token,
        "holder": Holder(machine.hostname, process),
        "accounts": accounts_of(settings.destinations),
    }
    url = settings.store.url
    if url == "memory:":
        async with open_memory_store(now=machine.now, **names) as store:
            yield store
    elif url.startswith(SQLITE):
        path = url.removeprefix(SQLITE)
        async with (
            lock_when_free(path, observe) if alone else nullcontext(),
            open_sqlite_store(path, now=machine.now, run_sync=machine.run_sync, **names) as store,
        ):
            if alone:
                await _rescue_all(store, observe)
            yield store
    else:
        opened = _postgres().open_postgres_store(
            url, monotonic=machine.monotonic, run_sync=machine.run_sync, new_name=machine.new_token, **names
        )
        async with opened as store:
            yield store


async def _rescue_all(store: Store, observe: Observer) -> None:
    """Rescue every running job. The file is locked, so the process that ran it is gone."""
    report_abandoned(await store.rescue(everything=True), observe)


@asynccontextmanager
async def locked_store(settings: Settings, observe: Observer) -> AsyncIterator[Sequence[int]]:
    """Lock the store for the members that this process starts; they open it with `alone` False. See `open_store`.

    Yields the descriptors that a member must inherit: as long as one process has them, the store is locked. If this
    process is killed, no other service takes the jobs that its members still run.
    """
    url = settings.store.url
    if not url.startswith(SQLITE):
        yield ()
        return
    async with lock_when_free(url.removeprefix(SQLITE), observe) as descriptors:
        yield descriptors


async def rescue_locked(settings: Settings, machine: Machine, observe: Observer) -> None:
    """Rescue every running job of a store that this process has locked, before it starts members."""
    if settings.store.url.startswith(SQLITE):
        async with open_store(settings, machine, alone=False) as store:
            await _rescue_all(store, observe)


def _postgres() -> ModuleType:
    """PostgreSQL's store, imported on demand because its driver is an extra. Raises `SettingsError` without it."""
    try:
        from streamwarm.backlog.postgres import store as postgres
    except ImportError as error:
        raise SettingsError(
            f"store.url: PostgreSQL needs a driver that is not installed ({error}); "
            "install it with: pip install 'streamwarm[postgres]'"
        ) from error
    return postgres


async def migrate_store(settings: Settings, machine: Machine) -> int | None:
    """Bring the schema at `store.url` up to date and return its version, or None for memory. Raises
    `StoreUnavailable`."""
    url = settings.store.url
    if url == "memory:":
        return None
    if url.startswith(SQLITE):
        return await machine.run_sync(sqlite_file.migrate, url.removeprefix(SQLITE))
    version: int = await machine.run_sync(_postgres().migrate, url)
    return version


async def check_store(settings: Settings, machine: Machine) -> str:
    """Check that the store takes writes, and return that in words. Nothing is changed: no file, no table.

    Raises `StoreUnavailable`, also for a schema that `serve` would refuse.
    """
    url = settings.store.url
    if url == "memory:":
        return "memory: jobs are lost when the service stops"
    if url.startswith(SQLITE):
        return await machine.run_sync(sqlite_check.check_writable, url.removeprefix(SQLITE))
    found: str = await machine.run_sync(_postgres().check_writable, url)
    return found


async def stored_source_pause(settings: Settings, machine: Machine) -> SourcePause | None:
    """Return the pause of the bucket that the store holds, or None. Nothing is changed. Raises `StoreUnavailable`."""
    url = settings.store.url
    if url == "memory:":
        return None
    if url.startswith(SQLITE):
        return await machine.run_sync(sqlite_check.source_pause, url.removeprefix(SQLITE))
    found: SourcePause | None = await machine.run_sync(_postgres().source_pause, url)
    return found


def open_pool(settings: PoolSettings, machine: Machine, *, guarded: bool = False) -> PooledClient:
    """Open an HTTP client with a pool of its own. If `guarded`, it connects to public addresses only."""
    return open_client(
        connections=settings.connections,
        keepalive_s=settings.keepalive_s,
        connect_timeout_s=settings.connect_timeout_s,
        headers_timeout_s=settings.headers_timeout_s,
        body_timeout_s=settings.body_timeout_s,
        ca_file=settings.ca_file,
        network_backend=GuardedBackend(machine.network, machine.resolve) if guarded else machine.network,
    )


@frozen
class Remotes:
    """The servers that the service sends requests to: the bucket and the destinations, not its other processes.

    `pool_stats` returns the R2 pool's connections by state, `cache_stats` what the download cache holds and has saved:
    nothing if it is off.
    """

    source: Source
    destinations: Mapping[str, Destination]
    pool_stats: Callable[[], Mapping[str, int]]
    cache_stats: Callable[[], Mapping[str, int]]


@asynccontextmanager
async def open_remotes(settings: Settings, machine: Machine, observe: Observer) -> AsyncIterator[Remotes]:
    """Open the bucket and the destinations. Raises `SettingsError`."""
    async with (
        open_source_client(settings, machine, observe) as (bucket, client),
        open_destinations(
            settings.destinations,
            partial(open_pool, settings.pool, machine),
            now=machine.now,
            token_hex=machine.token_hex,
            redact=make_redactor(secrets_in_settings(settings)),
        ) as destinations,
    ):
        cache = settings.cache
        if not (cache.max_entries and cache.max_bytes):
            yield Remotes(bucket, destinations, client.stats, dict)
            return
        async with _open_cache(settings, machine, bucket, observe) as cached:
            yield Remotes(cached, destinations, client.stats, lambda: asdict(cached.stats()))


@asynccontextmanager
async def _open_cache(
    settings: Settings, machine: Machine, bucket: R2Source, observe: Observer
) -> AsyncIterator[CachedSource]:
    """Open the download cache. Several destinations probably share a library, so it then caches each object at once."""
    cache = settings.cache
    try:
        folder = make_private_folder(cache.dir)
    except OSError as exc:
        raise SettingsError(
            f"cache.dir: no folder can be made in {exc.filename} ({exc.strerror}); name one that can be written, "
            "or set cache.max_entries = 0"
        ) from exc
    async with open_cache(
        bucket,
        folder=folder,
        ttl_s=cache.ttl_s,
        max_entries=cache.max_entries,
        max_bytes=cache.max_bytes,
        eager=len(settings.destinations) > 1,
        run_sync=machine.run_sync,
        observe=observe,
    ) as cached:
        yield cached


@asynccontextmanager
async def open_source(settings: Settings, machine: Machine) -> AsyncIterator[R2Source]:
    """Open the bucket alone. Raises `SettingsError`."""
    async with open_source_client(settings, machine, unobserved) as (source, _):
        yield source


@asynccontextmanager
async def open_source_client(
    settings: Settings, machine: Machine, observe: Observer
) -> AsyncIterator[tuple[R2Source, PooledClient]]:
    """Open the bucket over a pool of its own. Raises `SettingsError`, which names the settings that are missing."""
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
    async with open_pool(settings.pool, machine) as client:
        source = R2Source(
            client,
            bucket,
            signing_keys=SigningKeys(key_ttl_s=settings.signing.key_ttl_s, observe=observe),
            now=machine.now,
            uniform=machine.random,
            headers_timeout_s=settings.pool.headers_timeout_s,
            body_timeout_s=settings.pool.body_timeout_s,
            observe=observe,
            redact=make_redactor(secrets_in_settings(settings)),
        )
        yield source, client
