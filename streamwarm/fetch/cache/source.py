"""A download cache in front of a bucket, for objects that several destinations or attempts want.

What is kept. An object is downloaded once into a nameless file. Every job that wants it reads from there, during the
download and for `ttl_s` seconds after it.

When it pays. Filling the cache writes, reads and hashes every byte, which costs three to five times the CPU of a direct
stream (`tools/bench/cache/run.py` measures it). So an object is cached only if that is likely to pay. With `eager`
(several destinations that share one library), that is from its first request on. Without it, from its second request
within `ttl_s` (a retry, or a second job for the object); the first is streamed directly.

What is never cached is streamed directly too: objects for which there is no room, objects without a strong ETag (it
could not be checked whether they are unchanged), and everything once the disk fails.

Freshness. A job that names the digest of a complete download gets it at once. For any other job the bucket is asked by
HEAD whether the ETag is unchanged. That is one small request without a body, and the job never gets an object that was
replaced before it started.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import trio
from attrs import define, evolve, field

from streamwarm.errors import SourceError
from streamwarm.fetch.answers import is_strong
from streamwarm.fetch.cache.download import CacheReader, SharedDownload
from streamwarm.fetch.cache.index import CacheIndex, CacheStats, RecentKeys, has_expired
from streamwarm.fetch.cache.spool import spooled
from streamwarm.fetch.source import (
    CachedObject,
    LengthUnknown,
    ListedObject,
    ObjectInfo,
    ObjectVersion,
    Origin,
    ResumableSource,
    SignedUrl,
    Source,
    SourceObject,
)
from streamwarm.threads import RunSync
from streamwarm.watch.observations import Observer, unobserved

SWEEP_EVERY_S = 5.0
"""How much longer than `ttl_s` an expired file may occupy the disk. It is not used in the meantime."""

MAX_TURNS = 3
"""How many downloads a request tries if they are replaced or break meanwhile; then it reads the bucket."""


@define(eq=False)
class CachedSource(Source):
    """Reads objects through the cache. `open_cache` makes it. It raises what the bucket raises."""

    _source: ResumableSource
    _folder: Path
    _nursery: trio.Nursery
    _index: CacheIndex[SharedDownload]
    _recent: RecentKeys
    _ttl_s: float
    _eager: bool
    _run_sync: RunSync
    _observe: Observer
    offline: bool = field(default=False, init=False)
    _hits: int = field(default=0, init=False)
    _misses: int = field(default=0, init=False)
    _bytes_saved: int = field(default=0, init=False)

    @asynccontextmanager
    async def open_object(self, r2_key: str, *, sha256: str | None = None) -> AsyncIterator[SourceObject]:
        """Open the object, from the cache if possible; see `Source.open_object`."""
        async with AsyncExitStack() as stack:
            try:
                opened = await stack.enter_async_context(self._open_cached(r2_key, sha256))
            except LengthUnknown:
                opened = await stack.enter_async_context(self._open_spooled(r2_key))
            yield opened

    @asynccontextmanager
    async def _open_spooled(self, r2_key: str) -> AsyncIterator[SourceObject]:
        """Open the object from a copy on the disk, which is made first and takes room of the cache."""
        taken = 0

        def take(size_bytes: int) -> bool:
            nonlocal taken
            has_room = self._take_room(size_bytes)
            taken += size_bytes if has_room else 0
            return has_room

        try:
            async with (
                self._source.open_unsized(r2_key) as unsized,
                spooled(unsized, self._folder, self._run_sync, take) as opened,
            ):
                yield opened
        finally:
            self._index.give_back(taken)

    @asynccontextmanager
    async def _open_cached(self, r2_key: str, sha256: str | None) -> AsyncIterator[SourceObject]:
        reader = await self._find_reader(r2_key, sha256)
        if reader is None:
            async with self._source.open_object(r2_key, sha256=sha256) as opened:
                self._misses += 1
                yield opened
            return
        if reader.origin is Origin.CACHE:
            self._hits += 1
        else:
            self._misses += 1
        try:
            yield reader
        finally:
            self._leave(reader)
            await reader.aclose()

    async def head_object(self, r2_key: str) -> ObjectInfo:
        return await self._source.head_object(r2_key)

    async def version_of(self, r2_key: str) -> ObjectVersion:
        return await self._source.version_of(r2_key)

    def set_offline(self, offline: bool) -> None:
        self.offline = offline
        self._source.set_offline(offline)

    async def probe(self, *, warmed: Sequence[str] = (), queued: Sequence[str] = ()) -> None:
        await self._source.probe(warmed=warmed, queued=queued)

    def list_objects(self, prefix: str = "") -> AsyncIterator[ListedObject]:
        return self._source.list_objects(prefix)

    def is_cached(self, r2_key: str) -> bool:
        download = self._index.find(r2_key)
        return download is not None and download.is_complete and not has_expired(download, trio.current_time())

    def cached(self) -> Sequence[CachedObject]:
        return [CachedObject(one.r2_key, one.sha256) for one in self._index.kept(trio.current_time()) if one.sha256]

    def sign_url(self, r2_key: str, *, expires_s: int) -> SignedUrl:
        return self._source.sign_url(r2_key, expires_s=expires_s)

    def stats(self) -> CacheStats:
        return CacheStats(len(self._index), self._index.taken_bytes, self._hits, self._misses, self._bytes_saved)

    async def run_sweeper(self) -> None:
        """Delete what has expired, every `SWEEP_EVERY_S` seconds, until cancelled."""
        while True:
            await trio.sleep(SWEEP_EVERY_S)
            for download in self._index.expired(trio.current_time()):
                self._drop(download)

    def close(self) -> None:
        """Delete everything. A file that is being read is deleted once its last reader has left."""
        for download in self._index.clear():
            download.let_go()

    async def _find_reader(self, r2_key: str, sha256: str | None) -> CacheReader | None:
        """Return a reader of a shared download, found or begun, or None if the bucket must be read directly."""
        for _ in range(MAX_TURNS):
            now = trio.current_time()
            download = self._index.find(r2_key)
            if download is not None and has_expired(download, now):
                self._drop(download)
                download = None
            if download is None:
                if not self._recent.note(r2_key, now) and not self._eager:
                    return None
                reader = self._begin(r2_key, sha256)
            else:
                reader = download.join(origin=Origin.CACHE)
            try:
                is_usable = await self._is_usable(reader, sha256)
            except BaseException:
                self._leave(reader)
                raise
            if is_usable:
                return reader
            self._drop(reader.download)
            self._leave(reader)
            if reader.download.info is None and reader.download.error is None:
                return None  # it cannot be cached, and a second try would fail the same way
        return None

    async def _is_usable(self, reader: CacheReader, sha256: str | None) -> bool:
        """Whether this download has the object as it is in the bucket now.

        Raises `SourceError` if the download's own GET was refused.
        """
        download = reader.download
        await download.opened.wait()
        known = download.info
        if reader.origin is Origin.STREAM:
            if download.error is not None:
                raise download.error
            return known is not None
        if known is None or download.is_dead:
            return False
        if sha256 is not None and download.sha256 == sha256:
            return True
        if self.offline:
            return sha256 is None  # another digest is wanted, and the bucket cannot be asked for it
        try:
            now = await self._source.head_object(download.r2_key)
        except SourceError:
            return False  # no verdict on the object: only a GET's answer is
        if download.is_dead or (now.etag, now.bytes) != (known.etag, known.bytes):
            return False
        download.info = evolve(known, seen_at=now.seen_at)
        return True

    def _begin(self, r2_key: str, sha256: str | None) -> CacheReader:
        download = SharedDownload(
            r2_key, sha256, self._source, self._folder, self._run_sync, self._admit, self._give_back, self._observe
        )
        self._index.add(download)
        reader = download.join(origin=Origin.STREAM)
        self._nursery.start_soon(self._run, download)
        return reader

    async def _run(self, download: SharedDownload) -> None:
        try:
            await download.run()
        finally:
            if download.is_complete:
                download.expires_at = trio.current_time() + self._ttl_s
            else:
                self._drop(download)

    def _admit(self, download: SharedDownload, info: ObjectInfo) -> bool:
        """Reserve room on the disk. Returns False if the object may not be cached or does not fit."""
        if not is_strong(info.etag):
            return False
        if not self._take_room(info.bytes):
            return False
        download.size_bytes = info.bytes
        return True

    def _take_room(self, size_bytes: int) -> bool:
        victims = self._index.make_room(size_bytes)
        if victims is None:
            return False
        for victim in victims:
            self._drop(victim)
        self._index.take(size_bytes)
        return True

    def _give_back(self, download: SharedDownload) -> None:
        self._index.give_back(download.size_bytes)

    def _leave(self, reader: CacheReader) -> None:
        download = reader.download
        self._bytes_saved += reader.saved_bytes
        download.leave(reader)
        if download.is_dead:
            self._drop(download)

    def _drop(self, download: SharedDownload) -> None:
        self._index.drop(download)
        download.let_go()


@asynccontextmanager
async def open_cache(
    source: ResumableSource,
    *,
    folder: Path,
    ttl_s: float,
    max_entries: int,
    max_bytes: int,
    eager: bool,
    run_sync: RunSync,
    observe: Observer = unobserved,
) -> AsyncIterator[CachedSource]:
    """Open an empty cache with its files in `folder` (`make_private_folder`). Files and folder are removed at the end.

    The files have no names, so a killed process leaves at most an empty folder behind.
    """
    try:
        async with trio.open_nursery() as nursery:
            index = CacheIndex[SharedDownload](max_entries, max_bytes)
            cache = CachedSource(source, folder, nursery, index, RecentKeys(ttl_s), ttl_s, eager, run_sync, observe)
            nursery.start_soon(cache.run_sweeper)
            try:
                yield cache
            finally:
                cache.close()
                nursery.cancel_scope.cancel()
    finally:
        # It may be gone already: a cleaner of temporary folders removes what looks empty.
        with suppress(OSError):
            folder.rmdir()
