"""Stores as the version before records had versions left them, with every odd case that such a file may hold."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg

from streamwarm.backlog.queries import load_migrations
from streamwarm.backlog.sqlite.file import connect

LAST_OLD = {"sqlite": 12, "postgres": 10}
"""The version before, by database."""

D1, D2 = "1" * 64, "2" * 64
BIG = 20_000_000

RECORDS: list[tuple[str, str, str, str, str | None, int, str, str, float]] = [
    # kind, reference, r2_key, job, sha256, bytes, result, status, warm since
    ("photo", "key:plain", "plain", "j1", D1, 5, '{"file_id":"plain"}', "ready", 100.0),
    ("photo", "key:quoted", "quoted", "j2", D1, 5, '{"file_id":"quoted"}', "ready", 101.0),
    ("photo", "key:moved", "moved", "j3", D1, 5, '{"file_id":"moved"}', "ready", 102.0),
    ("photo", "key:twice", "twice", "j4", D1, 5, '{"file_id":"old"}', "ready", 103.0),
    ("photo", f"sha256:{D2}", "twice", "j5", D2, 5, '{"file_id":"new"}', "ready", 104.0),
    ("photo", "key:alike", "alike", "j6", D1, 5, '{"file_id":"alike-old"}', "ready", 105.0),
    ("photo", f"sha256:{D1}", "alike", "j7", D1, 5, '{"file_id":"alike-new"}', "ready", 106.0),
    ("photo", "key:handoff", "handoff", "j8", None, 5, '{"file_id":"handoff"}', "ready", 107.0),
    ("video", "key:flat", "flat", "j9", D1, BIG, '{"file_id":"flat"}', "ready", 108.0),
    ("video", "key:sized", "sized", "j10", D1, BIG, '{"file_id":"sized"}', "ready", 109.0),
    ("video", "key:pruned", "pruned", "gone", D1, BIG, '{"file_id":"pruned"}', "ready", 110.0),
    ("video", "key:damaged", "damaged", "j11", D1, BIG, '{"file_id":', "ready", 111.0),
    ("video", "key:listed", "listed", "j12", D1, BIG, "[1, 2]", "ready", 112.0),
    ("video", "key:options", "options", "j13", D1, BIG, '{"file_id":"options"}', "ready", 113.0),
    ("video", "key:array", "array", "j14", D1, BIG, '{"file_id":"array"}', "ready", 114.0),
    ("photo", "key:trying", "trying", "j15", None, 0, "", "warming", 115.0),
    ("photo", "key:failed", "failed", "j16", None, 0, "", "error", 116.0),
]
SEEN: list[tuple[str, str | None, str | None, float]] = [
    # r2_key, etag, sha256, seen at
    ("plain", '"e-plain"', D1, 100.0),
    ("quoted", 'W/"e-weak"', D1, 900.0),
    ("moved", '"e-other"', D2, 900.0),
    ("twice", '"e-new"', D2, 104.0),
    ("handoff", '"e-handoff"', None, 107.0),
    ("flat", None, D1, 108.0),
]
OPTIONS = {"j10": '{"width":1,"height":2}', "j11": "{", "j13": '{"caption":', "j14": "[1]", "j1": '{"caption":"x"}'}

Run = Callable[[str, tuple[Any, ...]], object]


def old_sqlite(path: str) -> None:
    """The file at `path`, as the version before left it."""
    with closing(connect(path)) as connection:
        connection.execute("CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, applied_at REAL NOT NULL)")
        for version, script in load_migrations("sqlite"):
            if version <= LAST_OLD["sqlite"]:
                connection.executescript(script)
                connection.execute("INSERT INTO schema_migrations VALUES (?, 0)", (version,))
        _fill(connection.execute, "?")


def old_postgres(url: str) -> None:
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        run: Any = connection.execute
        run("CREATE TABLE schema_migrations (version integer PRIMARY KEY, applied_at double precision NOT NULL)")
        for version, script in load_migrations("postgres"):
            if version <= LAST_OLD["postgres"]:
                run(script)
                run("INSERT INTO schema_migrations VALUES (%s, 0)", (version,))
        _fill(run, "%s")


def _fill(run: Run, mark: str) -> None:
    def insert(table: str, **row: object) -> None:
        places = ", ".join([mark] * len(row))
        run(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", tuple(row.values()))

    jobs = {record[3]: record for record in RECORDS if record[3] != "gone"}
    for seq, (job_id, (kind, reference, key, *_)) in enumerate(jobs.items(), 1):
        insert(
            "jobs", seq=seq, id=job_id, destination="bot", kind=kind, r2_key=key, media_reference=reference,
            options=OPTIONS.get(job_id, "{}"), base_score=100, state="done", attempt=1, created_at=50.0,
            updated_at=60.0, queued_at=50.0, result="{}", possible_duplicate=False,
        )  # fmt: skip
    for kind, reference, key, job_id, sha256, size, result, status, at in RECORDS:
        ready = status == "ready"
        insert(
            "media_cache", destination="bot", kind=kind, media_reference=reference, status=status, r2_key=key,
            sha256=sha256, bytes=size if ready else None, result=result if ready else None,
            job_id=job_id, updated_at=at,
        )  # fmt: skip
    for key, etag, digest, at in SEEN:
        insert("media_store", r2_key=key, bytes=5, etag=etag, content_type=None, sha256=digest, seen_at=at)
