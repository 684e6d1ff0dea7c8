"""Opening a SQLite file: connections, migrations, and what SQLite's errors mean to a user.

A connection is in autocommit mode: transactions are begun and ended by name. The file is in WAL mode, so readers
never wait for the writer. `synchronous=FULL` syncs the log at every commit; NORMAL would lose acknowledged commits at a
power cut.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from operator import methodcaller

from streamwarm.backlog.queries import load_migrations, newer_schema
from streamwarm.backlog.sqlite.private_files import create_private
from streamwarm.errors import StoreUnavailable

Connect = Callable[[str], sqlite3.Connection]
"""Opens a connection to a path. Any thread may use it, one at a time."""

BUSY_TIMEOUT_S = 5.0
"""How long a write waits for another process's transaction before it is refused. Ours take well under a second. A
backup or a person may hold the file for longer, and a push must not hang on either."""

MIGRATION_WAIT_S = 600.0
"""How long a migration waits for another process's. On a large file one may take minutes. Giving up
earlier would stop a deployment that only had to wait."""

CACHE_KIB = 16_384
"""The page cache per connection, at most. With SQLite's own 2 MiB, a store of a million jobs kept reading the inner
pages of its indexes from the kernel."""

CHECKPOINT_PAGES = 10_000
"""The log is moved into the file after this many pages (40 MB) instead of SQLite's 1,000. Claims and completions keep
changing the same index pages, and each move writes a page once. With this and `CACHE_KIB`, a store of a million jobs
did 2,900 claims and completions a second instead of 2,300 (medians of four runs)."""

_WAL_RETRY_S = 0.02
"""The wait between two attempts to switch a new file to WAL."""

_STATEMENTS = 256
"""Prepared statements that a connection keeps: more than there are queries."""

_REMEDIES = (
    ("SQLITE_FULL", "free space on its volume; work then resumes by itself"),
    ("SQLITE_READONLY", "make the file and its folder writable for this user; work then resumes by itself"),
    ("SQLITE_BUSY", "another program holds the file; end its transaction, and work resumes by itself"),
    ("SQLITE_LOCKED", "another program holds the file; end its transaction, and work resumes by itself"),
    ("SQLITE_IOERR", "check its volume (space, quota, hardware); work resumes once it takes writes again"),
    ("SQLITE_CANTOPEN", "make sure that its folder exists and that this user may write there"),
    ("SQLITE_PERM", "make the file and its folder writable for this user"),
    ("SQLITE_CORRUPT", "stop the service and restore the file from a backup"),
    ("SQLITE_NOTADB", "it is not a SQLite database; set store.url to another path"),
)


_TEXT = methodcaller("decode", "utf-8", "surrogateescape")
"""Text that is not UTF-8 is read all the same: otherwise one damaged row would fail the query that finds it."""


def connect(path: str) -> sqlite3.Connection:
    """A connection with streamwarm's settings. Raises `sqlite3.Error`."""
    connection = sqlite3.connect(
        path,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
    )
    try:
        connection.row_factory = sqlite3.Row
        connection.text_factory = _TEXT
        configure(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def configure(connection: sqlite3.Connection) -> None:
    """Give a new connection streamwarm's settings."""
    _enter_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    # An insert that fires a trigger has an undo journal of its own. As a file, that was 12 writes per job.
    connection.execute("PRAGMA temp_store = MEMORY")


_NOTE_MIGRATION = "INSERT INTO schema_migrations VALUES (?, (julianday('now') - 2440587.5) * 86400)"
"""The time is for people alone, so SQLite's own will do."""


def migrate(path: str, connect: Connect = connect) -> int:
    """Bring the file's schema up to date, creating the file if need be; returns the schema's version.

    Several processes may do this at once: each migration is a transaction of its own, and the second process waits up
    to `MIGRATION_WAIT_S` and finds it applied. Raises `StoreUnavailable`.
    """
    create_private(path)
    migrations = load_migrations("sqlite")
    newest = migrations[-1][0]
    with translated_errors(path), closing(connect(path)) as connection:
        connection.execute(f"PRAGMA busy_timeout = {int(MIGRATION_WAIT_S * 1000)}")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY KEY, applied_at REAL NOT NULL)"
        )
        found = schema_version(connection)
        if found > newest:
            raise StoreUnavailable(newer_schema(path, found, newest))
        for version, script in migrations:
            if not _is_applied(connection, version):
                _apply(connection, version, script)
    return newest


def schema_version(connection: sqlite3.Connection) -> int:
    """The newest migration that was applied, 0 if none was. Raises `sqlite3.Error`, also without that table."""
    (found,) = connection.execute("SELECT max(version) FROM schema_migrations").fetchone()
    return found or 0


@contextmanager
def translated_errors(path: str) -> Iterator[None]:
    """Turn SQLite's errors into `StoreUnavailable`, which names the file, the reason and the remedy."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreUnavailable(describe(path, error)) from error


def describe(path: str, error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    remedy = next((text for prefix, text in _REMEDIES if name.startswith(prefix)), None)
    if remedy is None:
        remedy = "please report this with the log around it"
    return f"the store {path} failed ({name}: {error}); {remedy}"


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to WAL. SQLite does not wait for this lock, so processes that open a new file at once have to try
    again."""
    for tries_left in range(int(BUSY_TIMEOUT_S / _WAL_RETRY_S), -1, -1):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorname.startswith("SQLITE_BUSY")
            if not (busy and tries_left):
                raise
            time.sleep(_WAL_RETRY_S)
        else:
            return


def _apply(connection: sqlite3.Connection, version: int, script: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not _is_applied(connection, version):
            for statement in _statements(script):
                connection.execute(statement)
            connection.execute(_NOTE_MIGRATION, (version,))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _is_applied(connection: sqlite3.Connection, version: int) -> bool:
    return connection.execute("SELECT 1 FROM schema_migrations WHERE version = ?", (version,)).fetchone() is not None


def _statements(script: str) -> Iterator[str]:
    """The script's statements one by one. `executescript` would commit the transaction that they belong to."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
