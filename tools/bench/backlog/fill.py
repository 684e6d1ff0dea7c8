"""Grows a SQLite store to a given number of jobs within seconds: the older half done and warm, the newer half queued,
with the events that they would have left. Not the product's way in, but the product's rows: the schema's checks and
indexes hold."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from streamwarm.backlog.sqlite.file import connect, migrate
from streamwarm.model import Kind
from streamwarm.priority import base_score

BOTS = 4
JOBS_OVER_S = 2400.0
"""Jobs arrived evenly over the last forty minutes, so that every age of the score table is among the queued ones."""

_JOBS = """
WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < :rows),
    jobs_by_number AS (
        SELECT i, 'bot' || (i % :bots) AS destination, 'media/library/object-' || i || '.jpg' AS r2_key,
            CASE i % 3 WHEN 0 THEN 'photo' WHEN 1 THEN 'video' ELSE 'document' END AS kind,
            CASE i % 5 WHEN 0 THEN 50000 WHEN 1 THEN 500000 WHEN 2 THEN 3000000 WHEN 3 THEN 9000000 ELSE 30000000
                END AS bytes,
            CASE WHEN i > :rows / 2 THEN 'queued' ELSE 'done' END AS state,
            :now - :over_s * (:rows - i) / :rows AS at
        FROM numbers
    )
INSERT INTO jobs (
    seq, id, destination, kind, r2_key, bytes, options, media_reference, base_score, state, attempt, created_at,
    updated_at, queued_at, result, possible_duplicate
)
SELECT i, printf('%012x%016x', 1000 * at, i), destination, kind, r2_key, bytes, '{}', 'key:' || r2_key,
    base_score(kind, bytes), state, state = 'done', at, at, at,
    CASE state WHEN 'done' THEN '{"file_id":"AgACAgIAAxkDAAIB' || i || '","message_id":' || i || '}' END, 0
FROM jobs_by_number
"""

_REST = (
    """
    INSERT INTO events (job_id, state, at, attempt, destination, kind, r2_key)
    SELECT id, 'queued', created_at, 0, destination, kind, r2_key FROM jobs ORDER BY seq
    """,
    """
    INSERT INTO events (job_id, state, at, attempt, destination, kind, r2_key, result)
    SELECT id, 'done', updated_at, 1, destination, kind, r2_key, result FROM jobs WHERE state = 'done' ORDER BY seq
    """,
    """
    INSERT INTO media_cache (
        destination, account, kind, r2_key, version, status, sha256, bytes, result, options, job_id, opened_at,
        updated_at
    )
    SELECT destination, '', kind, r2_key, 'sha256:' || printf('%064x', seq), 'ready', printf('%064x', seq), bytes,
        result, options, id, updated_at, updated_at
    FROM jobs WHERE state = 'done'
    """,
    """
    INSERT INTO media_store (r2_key, bytes, sha256, seen_at)
    SELECT r2_key, bytes, printf('%064x', seq), updated_at FROM jobs WHERE state = 'done'
    """,
    "INSERT INTO job_counts SELECT destination, state, count(*) FROM jobs GROUP BY destination, state",
)


def fill(path: str, rows: int) -> None:
    """Make a store of `rows` jobs at `path`, where none is yet."""
    migrate(path)
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.create_function("base_score", 2, lambda kind, size: base_score(Kind(kind), size))
        connection.execute("BEGIN")
        with _without_indexes_and_triggers(connection):
            given = {"rows": rows, "bots": BOTS, "now": time.time(), "over_s": JOBS_OVER_S}
            connection.execute(_JOBS, given)
            for statement in _REST:
                connection.execute(statement)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.sync()  # what is written here must not be synced by what is measured later


@contextmanager
def _without_indexes_and_triggers(connection: sqlite3.Connection) -> Iterator[None]:
    """Building an index at the end sorts once, instead of keeping it in order a million times."""
    found = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL"
    ).fetchall()
    for kind, name, _ in found:
        connection.execute(f"DROP {kind} {name}")
    yield
    for *_, sql in found:
        connection.execute(sql)
