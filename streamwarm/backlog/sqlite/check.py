"""Checks a SQLite file for `streamwarm check`, and changes nothing: no file, no table, no page of the log is moved."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from streamwarm.backlog.core.small_tables import stored_source_pause
from streamwarm.backlog.queries import load_migrations, newer_schema, schema_found
from streamwarm.backlog.shared_limits import SOURCE_LEASE, SourcePause
from streamwarm.backlog.sqlite.file import BUSY_TIMEOUT_S, schema_version, translated_errors
from streamwarm.backlog.sqlite.private_files import check_path, real_path
from streamwarm.errors import StoreUnavailable


def check_writable(path: str) -> str:
    """Check that the file takes writes now, or can be created. Returns the finding as a sentence.

    Raises `StoreUnavailable`, also for a schema that `serve` would refuse. Takes the write lock and releases it. A log
    that a killed service left is not even opened for writing: the last connection to close would move it into the file.
    """
    check_path(path)
    if not os.path.exists(path):
        folder = Path(path).absolute().parent
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StoreUnavailable(f"{path} does not exist and cannot be created: {folder} is missing or not writable")
        return f"{path} does not exist yet; `serve` creates it"
    for needed in (path, os.path.dirname(real_path(path))):
        if not os.access(needed, os.W_OK):
            raise StoreUnavailable(f"{needed} is not writable for this user; SQLite writes to the file and its folder")
    mode = _mode(path)
    with translated_errors(path), closing(_connect(path, mode)) as connection:
        if mode == "rw":
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        found = _found(connection)
    newest = load_migrations("sqlite")[-1][0]
    if found is not None and found > newest:
        raise StoreUnavailable(newer_schema(path, found, newest))
    return schema_found(path, found, newest)


def source_pause(path: str) -> SourcePause | None:
    """Return the stored pause of the bucket, None without one. Raises `StoreUnavailable`."""
    if not os.path.exists(path):
        return None
    with translated_errors(path), closing(_connect(path, _mode(path))) as connection:
        connection.row_factory = sqlite3.Row
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'leases'").fetchone() is None:
            return None  # an older schema, which `check` leaves as it is
        return stored_source_pause(
            connection.execute("SELECT * FROM leases WHERE name = ?", (SOURCE_LEASE,)).fetchone()
        )


def _mode(path: str) -> str:
    """How to open the file so that nothing changes: the last connection that may write moves a log into the file, and
    one that may only read leaves its own files behind if there was no log."""
    return "ro" if _size(f"{real_path(path)}-wal") > 0 else "rw"


def _connect(path: str, mode: str) -> sqlite3.Connection:
    uri = f"file:{quote(os.path.abspath(path))}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)


def _found(connection: sqlite3.Connection) -> int | None:
    """The schema's version, None without one."""
    exists = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_migrations'").fetchone()
    return schema_version(connection) if exists else None


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
