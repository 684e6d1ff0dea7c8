"""What the backlog is compared with, each synced to disk at every commit as ours is (`synchronous=FULL`): a job queue
as one writes it first, one commit a change; and litequeue, a small library of the same kind, where it is installed."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from attrs import frozen

PAYLOAD = '{"destination":"bot1","kind":"photo","r2_key":"media/library/object-1.jpg","options":{}}'


@frozen
class Peer:
    """`push` stores one job; `work` claims and completes one, and is false where none is left."""

    name: str
    push: Callable[[], object]
    work: Callable[[], bool]

    def rates(self, seconds: float) -> tuple[float, float]:
        """Pushes a second, and jobs claimed and completed a second."""
        return _rate(self.push, seconds), _rate(self.work, seconds)


@contextmanager
def open_peers(folder: str) -> Iterator[list[Peer]]:
    """The peers that are at hand, on files of their own."""
    with closing(sqlite3.connect(f"{folder}/naive.db", isolation_level=None)) as connection:
        peers = [_one_commit_a_change(connection)]
        try:
            from litequeue import LiteQueue
        except ImportError:
            yield peers
        else:
            queue = LiteQueue(f"{folder}/litequeue.db")
            queue.conn.execute("PRAGMA synchronous = FULL")
            with closing(queue.conn):
                yield [*peers, _litequeue(queue)]


def _one_commit_a_change(connection: sqlite3.Connection) -> Peer:
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

    return Peer("one commit a change", push, work)


def _litequeue(queue: Any) -> Peer:
    def work() -> bool:
        message = queue.pop()
        if message is not None:
            queue.done(message.message_id)
        return message is not None

    return Peer("litequeue", lambda: queue.put(PAYLOAD), work)


def _rate(step: Callable[[], object], seconds: float) -> float:
    """How often a second `step` can be done, until it finds nothing more to do."""
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < seconds and step():
        done += 1
    return done / (time.perf_counter() - started)
