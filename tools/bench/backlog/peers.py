"""What the backlog is compared with, each synced to disk at every commit as ours is (`synchronous=FULL`): a job queue
as one writes it first, one commit a change; and litequeue, a small library of the same kind, where it is installed."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing

PAYLOAD = '{"destination":"bot1","kind":"photo","r2_key":"media/library/object-1.jpg","options":{}}'

Figures = tuple[float, float]
"""Pushes a second, and jobs claimed and completed a second."""


def peers(folder: str, seconds: float) -> Iterator[tuple[str, Figures]]:
    """Each peer that is at hand, measured."""
    yield "one commit a job", _one_commit_a_job(f"{folder}/naive.db", seconds)
    try:
        from litequeue import LiteQueue
    except ImportError:
        return
    queue = LiteQueue(f"{folder}/litequeue.db")
    queue.conn.execute("PRAGMA synchronous = FULL")

    def work() -> bool:
        if (message := queue.pop()) is not None:
            queue.done(message.message_id)
        return message is not None

    yield "litequeue", (_rate(lambda: queue.put(PAYLOAD), seconds), _rate(work, seconds))
    queue.conn.close()


def _one_commit_a_job(path: str, seconds: float) -> Figures:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, payload TEXT, state TEXT, score INTEGER)")
        connection.execute("CREATE INDEX queued ON jobs (score DESC, id) WHERE state = 'queued'")

        def push() -> object:
            return connection.execute("INSERT INTO jobs (payload, state, score) VALUES (?, 'queued', 100)", (PAYLOAD,))

        def work() -> bool:
            found = connection.execute(
                "UPDATE jobs SET state = 'running' WHERE id = (SELECT id FROM jobs WHERE state = 'queued' "
                "ORDER BY score DESC, id LIMIT 1) RETURNING id, payload"
            ).fetchall()
            for job_id, _ in found:
                connection.execute("UPDATE jobs SET state = 'done' WHERE id = ?", (job_id,))
            return bool(found)

        return _rate(push, seconds), _rate(work, seconds)


def _rate(step: Callable[[], object], seconds: float) -> float:
    """How often a second `step` can be done, until it finds nothing more to do."""
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < seconds and step():
        done += 1
    return done / (time.perf_counter() - started)
