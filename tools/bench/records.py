"""What records cost when there are many: look-ups and pages on a store with a million objects of three versions.

    uv run python tools/bench/records.py [--objects 1000000] [--versions 3] [--lookups 3000] [--folder FOLDER]

Runs SQLite's store in this process, so it measures the store alone (`lookup.py` measures a service). The program also
runs with the code from before records had versions, which keeps one per object: `PYTHONPATH=OLD_TREE python …`. Prints
medians of look-ups by key and by digest, of the first page, and of the page after 90 % of the records; exits 1 if that
one takes more than twice as long as the first.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import trio

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.sqlite.file import connect, migrate
from streamwarm.backlog.sqlite.store import open_sqlite_store
from streamwarm.backlog.store import Store
from streamwarm.model import Kind

MOST_RATIO = 2.0
PAGE = 100
NUMBERS = """
WITH RECURSIVE objects(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM objects WHERE i < :objects),
    versions(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM versions WHERE v < :versions)
"""
RESULT = """'{"file_id":"BAACAgIAAxkDAAIB' || i || '","kind":"video","message_id":' || i || '}'"""
WITH_VERSIONS = f"""
INSERT INTO media_cache (
    destination, account, kind, r2_key, version, status, superseded, sha256, source_etag, bytes, result, options,
    job_id, opened_at, checked_at, updated_at
)
{NUMBERS}
SELECT 'bot', '1', 'video', printf('media/library/%07d.mp4', i), 'sha256:' || printf('%032x%032x', i, v), 'ready',
    v < :versions, printf('%032x%032x', i, v), 'etag', 1000000 + i, {RESULT}, '{{}}', printf('%028x', i), v, v, v
FROM objects, versions
"""
WITHOUT = f"""
INSERT INTO media_cache (destination, kind, media_reference, status, r2_key, sha256, bytes, result, job_id, updated_at)
{NUMBERS}
SELECT 'bot', 'video', 'key:' || printf('media/library/%07d.mp4', i), 'ready', printf('media/library/%07d.mp4', i),
    printf('%032x%032x', i, v), 1000000 + i, {RESULT}, printf('%028x', i), v
FROM objects, versions WHERE v = :versions
"""


def fill(path: str, objects: int, versions: int) -> bool:
    """Returns whether records have versions in this tree."""
    migrate(path)
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        has_versions = any(row["name"] == "version" for row in connection.execute("PRAGMA table_info(media_cache)"))
        statement = WITH_VERSIONS if has_versions else WITHOUT
        connection.execute(statement, {"objects": objects, "versions": versions})
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return has_versions


async def median_ms(ask: Callable[[], Awaitable[Any]], times: int) -> float:
    each = []
    for _ in range(times):
        began = time.perf_counter()
        if not await ask():
            sys.exit("a wrong answer")
        each.append(1000 * (time.perf_counter() - began))
    return statistics.median(each[times // 10 :])


async def page_after(store: Store, number: int) -> Callable[[], Awaitable[Any]]:
    from streamwarm.backlog.records import RecordFilter, RecordPlace

    after = RecordPlace(f"media/library/{number:07}.mp4", "bot", "video", "1") if number else None

    async def ask() -> bool:
        found = await store.records(RecordFilter(), limit=PAGE, after=after)
        return found.records[0].r2_key == f"media/library/{number + 1:07}.mp4"

    return ask


async def run(path: str, objects: int, versions: int, lookups: int, has_versions: bool) -> None:
    chooser = random.Random(1)
    more: dict[str, Any] = {"accounts": {"bot": "1"}} if has_versions else {}

    async def in_thread(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return await trio.to_thread.run_sync(function, *args, **options)

    opened = open_sqlite_store(
        path, limits=StoreBounds(), now=time.time, new_id=str, new_token=str, run_sync=in_thread, **more
    )
    async with opened as store:

        async def by_key() -> Any:
            return await store.find("bot", Kind.VIDEO, r2_key=f"media/library/{chooser.randint(1, objects):07}.mp4")

        async def by_digest() -> Any:
            number = chooser.randint(1, objects)
            return await store.find("bot", Kind.VIDEO, sha256=f"{number:032x}{versions:032x}")

        print(f"look-up by key: {await median_ms(by_key, lookups):.3f} ms")
        print(f"look-up by digest: {await median_ms(by_digest, lookups):.3f} ms")
        if not has_versions:
            return
        asks = [await page_after(store, number) for number in (0, objects * 9 // 10)]
        rounds = [[await median_ms(ask, 20) for ask in asks] for _ in range(10)]  # in turns: the pace changes
        first, late = (statistics.median(taken) for taken in zip(*rounds, strict=True))
        print(
            f"page of {PAGE}: {first:.2f} ms the first, {late:.2f} ms after {objects * 9 // 10:,} ({late / first:.2f})"
        )
        if late > MOST_RATIO * first:
            sys.exit(f"a late page takes more than {MOST_RATIO:g} times as long as the first")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--versions", type=int, default=3)
    parser.add_argument("--lookups", type=int, default=3_000)
    parser.add_argument("--folder", type=Path, help="where the store is made (default: a temporary one)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="streamwarm-records-", dir=given.folder) as name:
        path, began = f"{name}/records.db", time.perf_counter()
        has_versions = fill(path, given.objects, given.versions)
        size_mb, took_s = Path(path).stat().st_size / 1e6, time.perf_counter() - began
        kept = given.versions if has_versions else 1
        print(f"{given.objects:,} objects, {kept} records each, {size_mb:.0f} MB, made in {took_s:.0f} s")
        print(f"Python {platform.python_version()}, {platform.machine()}")
        trio.run(run, path, given.objects, given.versions, given.lookups, has_versions)


if __name__ == "__main__":
    main()
