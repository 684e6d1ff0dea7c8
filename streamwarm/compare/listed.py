"""Keeps a bucket's whole listing outside memory, so that records can be compared with it.

Nothing may be called gone before the listing is complete, and no order of a listing can be trusted: S3 lists by the
bytes of the key, SeaweedFS by folders. So all of it goes into a temporary SQLite file first. SQLite deletes that file
by itself, and keeps a small listing in memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterable, AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager

import trio
from attrs import define

from streamwarm.fetch.source import ListedObject
from streamwarm.threads import RunSync
from streamwarm.warm_record import bare_etag

PAGE = 1_000
"""Objects that are written at a time: a page of the listing."""

CLOSE_LIMIT_S = 10.0
"""How long closing may take, in seconds. Nothing is lost by it: the file is temporary."""

_TABLE = "CREATE TABLE listed (r2_key BLOB PRIMARY KEY, etag TEXT, bytes INTEGER) WITHOUT ROWID"


@define(eq=False)
class Listed:
    """A complete listing. `count` is the number of its objects; a key that the bucket lists twice counts once."""

    _connection: sqlite3.Connection
    _run_sync: RunSync
    count: int = 0

    async def etags(self, r2_keys: Collection[str]) -> dict[str, str]:
        """The ETags of those of these objects that are listed, unquoted; empty if the bucket names none."""
        return await self._run_sync(self._etags, r2_keys)

    async def first(self, limit: int, after: str | None) -> list[ListedObject]:
        """Up to `limit` objects behind a key, in the order of the key's bytes."""
        return await self._run_sync(self._first, limit, after)

    async def fill(self, objects: AsyncIterable[ListedObject]) -> None:
        page: list[ListedObject] = []
        async for one in objects:
            page.append(one)
            if len(page) == PAGE:
                await self._run_sync(self._add, page)
                page = []
        await self._run_sync(self._add, page)
        self.count = await self._run_sync(self._count)

    def _add(self, page: Sequence[ListedObject]) -> None:
        rows = [(one.r2_key.encode(), bare_etag(one.etag) or "", one.bytes) for one in page]
        self._connection.executemany("INSERT OR REPLACE INTO listed VALUES (?, ?, ?)", rows)

    def _count(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM listed").fetchone()[0])

    def _etags(self, r2_keys: Collection[str]) -> dict[str, str]:
        query = "SELECT etag FROM listed WHERE r2_key = ?"
        found = ((key, self._connection.execute(query, (key.encode(),)).fetchone()) for key in r2_keys)
        return {key: row[0] for key, row in found if row is not None}

    def _first(self, limit: int, after: str | None) -> list[ListedObject]:
        query = "SELECT r2_key, bytes, etag FROM listed WHERE r2_key > ? ORDER BY r2_key LIMIT ?"
        found = self._connection.execute(query, ((after or "").encode(), limit)).fetchall()
        return [ListedObject(r2_key.decode(), size, etag) for r2_key, size, etag in found]

    def close(self) -> None:
        self._connection.close()


@asynccontextmanager
async def list_whole(objects: AsyncIterable[ListedObject], run_sync: RunSync) -> AsyncIterator[Listed]:
    """Read a listing to its end, and keep it while inside the block. Raises what the listing raises."""
    listed = Listed(await run_sync(_open), run_sync)
    try:
        await listed.fill(objects)
        yield listed
    finally:
        with trio.move_on_after(CLOSE_LIMIT_S, shield=True):
            await run_sync(listed.close)


def _open() -> sqlite3.Connection:
    # An empty name is a temporary file of SQLite's own. One thread at a time uses the connection.
    connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    for statement in ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", _TABLE):
        connection.execute(statement)
    return connection
