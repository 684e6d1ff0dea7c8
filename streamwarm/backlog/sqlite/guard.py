"""Compares a SQLite store's files with those that are open, and saves what they hold if they were taken away.

A file that was deleted or replaced stays open, and SQLite goes on writing to it: those writes are lost at the end. So
before a group is acknowledged, database, log and shared memory must still be the files of those names. That takes three
calls of `stat`, some 5 µs, beside a sync of the disk.

While this process has the files open, nothing acknowledged is lost. On a mismatch everything is moved from the log into
the open database, and if that file has no name any more, it is written back, or saved beside a file that has taken its
place. Then the store refuses writes until its files are back, or the service is started again.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from urllib.parse import quote

from attrs import define, field

from streamwarm.backlog.sqlite.private_files import PRIVATE_FILE, real_path
from streamwarm.errors import StoreUnavailable

_Identity = tuple[int, int]
"""Device and inode."""

_RESUMES = "put it back, and work resumes by itself"
_WRITTEN_BACK = "all that it held was written back; start the service again"
_LOG_LOST = (
    "what SQLite had not moved to the database by then is lost; stop the service, and start it again or restore a "
    "backup"
)
_NEWEST = "SELECT max(seq) FROM events"
_SAVE_AGAIN_S = 10.0
"""Seconds before a save that failed is tried again: it may copy a large file each time."""


_LOG_BEGINS = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
"""How SQLite's log begins, by its file format. SQLite writes that only when it begins a log anew."""


def _identity(path: str, *, follow: bool = False) -> _Identity | None:
    """Of a file, or of the symlink that has taken its place: SQLite would look for its log beside where that leads."""
    try:
        found = os.stat(path, follow_symlinks=follow)
    except OSError:
        return None
    return found.st_dev, found.st_ino


@define
class FileGuard:
    """Knows the files of one open store. `watch` must be called when all connections are open.

    The database is opened once more, and closed after the connections: closing it ends SQLite's locks.
    """

    path: str
    _real: str = field(init=False)
    _descriptor: int = field(init=False)
    _log: int | None = field(default=None, init=False)
    _open: dict[str, _Identity] = field(factory=dict, init=False)
    _had_pages: bool = field(default=False, init=False)
    _outcome: str | None = field(default=None, init=False)
    _tried_at: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self._real = real_path(self.path)
        try:
            self._descriptor = os.open(self._real, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise StoreUnavailable(f"cannot open {self.path} ({error.strerror}); start the service again") from error

    def watch(self) -> None:
        """Record the files that have these names now as the open ones."""
        database = os.fstat(self._descriptor)
        self._had_pages = database.st_size > 0
        self._open = {"": (database.st_dev, database.st_ino)}
        for end in ("-wal", "-shm"):
            if (found := _identity(f"{self._real}{end}")) is not None:
                self._open[end] = found
        if "-wal" in self._open:
            self._log = os.open(f"{self._real}-wal", os.O_RDWR | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._descriptor)
        if self._log is not None:
            os.close(self._log)

    def check(self, connection: sqlite3.Connection, now: float) -> None:
        """If a file is not the open one, save what is open and raise `StoreUnavailable`. `connection` must have no open
        transaction. `now`: Unix seconds."""
        wrong = "-wal" if self._outcome == _LOG_LOST else self._wrong()
        if wrong is None:
            self._outcome = None
            return
        if self._outcome is None or (self._outcome == "" and abs(now - self._tried_at) >= _SAVE_AGAIN_S):
            self._tried_at = now
            if self._log is not None and self._is_log_damaged():
                os.ftruncate(self._log, 0)  # else SQLite would copy the hole into the database when it closes
                self._outcome = _LOG_LOST
                raise StoreUnavailable(self._describe(wrong))
            if not self._is_emptied():  # else only the log has what could be saved
                with suppress(sqlite3.Error):
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._outcome = self._save(wrong, connection)
        raise StoreUnavailable(self._describe(wrong))

    def _wrong(self) -> str | None:
        """The suffix of a file that is not the open one (empty for the database); None if all are."""
        for end, opened in self._open.items():
            if _identity(f"{self._real}{end}") != opened:
                return end
        if self._is_emptied():
            return ""
        # The path itself may be a symlink that leads elsewhere by now.
        if self.path != self._real and _identity(self.path, follow=True) != self._open[""]:
            return ""
        return "-wal" if self._is_log_damaged() else None

    def _is_emptied(self) -> bool:
        """Whether the database was truncated to nothing: at the next start SQLite would drop its log as well."""
        return self._had_pages and os.fstat(self._descriptor).st_size == 0

    def _is_log_damaged(self) -> bool:
        """Whether the log was emptied or overwritten in place. SQLite would write on behind the hole, and read none of
        that at the next start."""
        if self._log is None:
            return False
        begins = os.pread(self._log, len(_LOG_BEGINS[0]), 0)
        return begins != b"" and begins not in _LOG_BEGINS

    def _save(self, wrong: str, connection: sqlite3.Connection) -> str:
        """Save what is open. Returns what was done, for the message; empty if that failed."""
        if wrong:
            return "what it held is in the database; start the service again"
        if os.fstat(self._descriptor).st_nlink and not self._is_emptied():
            return _RESUMES
        try:
            if (
                _identity(self.path, follow=True) is None
                and os.stat(os.path.dirname(self._real)).st_dev == self._open[""][0]
            ):
                _copy(connection, self._real)
                self._drop_companions()
                return _WRITTEN_BACK
            if _newest_event(os.path.abspath(self.path)) == connection.execute(_NEWEST).fetchone()[0]:
                return _WRITTEN_BACK  # by another process of this service
            saved = f"{self._real}.saved-{self._open[''][1]}"
            with suppress(FileExistsError):  # another process of this service has saved it
                _copy(connection, saved)
            self._drop_companions()
        except (OSError, sqlite3.Error):
            return "stop the service and restore it from a backup" if self._is_emptied() else ""
        return (
            f"all that it held is saved as {saved}; stop the service, move the file that is to be used to "
            f"{self.path}, and start it again"
        )

    def _drop_companions(self) -> None:
        """Delete the log and the shared memory that are open here: they belong to no file that stands there now, and
        would damage one that is opened with them."""
        for end in ("-wal", "-shm"):
            if _identity(f"{self._real}{end}") == self._open.get(end):
                with suppress(FileNotFoundError):
                    os.unlink(f"{self._real}{end}")

    def _describe(self, wrong: str) -> str:
        name = f"{self._real}{wrong}"
        what = "was emptied or replaced by another file" if os.path.lexists(name) else "was deleted or moved"
        outcome = self._outcome or (
            "do not end the service: only it still has the jobs. Make the folder writable again, with space for the "
            "file, and it saves them within a minute"
        )
        return f"the store {self.path} takes no writes: {name} {what} under the service; {outcome}"


def _copy(connection: sqlite3.Connection, path: str) -> None:
    """Write the database that is open to `path`, whole or not at all. Raises `FileExistsError` if a file is there."""
    temporary = f"{path}.{os.getpid()}.part"
    with suppress(FileNotFoundError):
        os.unlink(temporary)
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE))
        with closing(sqlite3.connect(temporary, isolation_level=None)) as copy:
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # its header says WAL, and the file must stand alone
            if copy.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("the copy is damaged")
        _sync(temporary)
        os.link(temporary, path)
    finally:
        for end in ("", "-wal", "-shm", "-journal"):
            with suppress(FileNotFoundError):
                os.unlink(f"{temporary}{end}")
    _sync(os.path.dirname(path))


def _newest_event(path: str) -> object:
    """The `seq` of the newest event in the file at `path`, which stays unchanged; "" if it is not a store."""
    try:
        with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro&immutable=1", uri=True)) as connection:
            return connection.execute(_NEWEST).fetchone()[0]
    except sqlite3.Error:
        return ""


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
