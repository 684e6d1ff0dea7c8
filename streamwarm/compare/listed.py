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

from streamwarm.backlog.records import Found
from streamwarm.fetch.source import ListedObject
from streamwarm.threads import RunSync
from streamwarm.warm_record import bare_etag

PAGE = 1_000
"""Objects that are written at a time: a page of the listing."""

CLOSE_LIMIT_S = 10.0
"""How long closing may take, in seconds. Nothing is lost by it: the file is temporary."""

_TABLE = "CREATE TABLE listed (r2_key BLOB PRIMARY KEY, etag TEXT, last_modified REAL) WITHOUT ROWID"


@define(eq=False)
class Listed:
    """A complete listing. `count` is the number of its objects; a key that the bucket lists twice counts once."""

    _connection: sqlite3.Connection
    _run_sync: RunSync
    count: int = 0

    async def find(self, r2_keys: Collection[str]) -> dict[str, Found]:
        """What the bucket has under those of these names that are listed."""
        return await self._run_sync(self._find, r2_keys)

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
        rows = [(one.r2_key.encode(), bare_etag(one.etag), one.last_modified) for one in page]
        self._connection.executemany("INSERT OR REPLACE INTO listed VALUES (?, ?, ?)", rows)

    def _count(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM listed").fetchone()[0])

    def _find(self, r2_keys: Collection[str]) -> dict[str, Found]:
        query = "SELECT etag, last_modified FROM listed WHERE r2_key = ?"
        found = ((key, self._connection.execute(query, (key.encode(),)).fetchone()) for key in r2_keys)
        return {key: Found(*row) for key, row in found if row is not None}

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
            await run_sync(listed.close, abandon_on_cancel=True)


def _open() -> sqlite3.Connection:
    # An empty name is a temporary file of SQLite's own. One thread at a time uses the connection.
    connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    for statement in ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", _TABLE):
        connection.execute(statement)
    return connection
