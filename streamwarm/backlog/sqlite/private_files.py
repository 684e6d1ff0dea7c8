"""Keeps the files of a SQLite store private to this user: jobs name objects, and records are references.

SQLite gives its log and its shared memory the mode of the database file. So a database that is created or narrowed
first is enough for all three.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from streamwarm.errors import StoreUnavailable

PRIVATE_FILE = 0o600

_OTHERS = stat.S_IRWXG | stat.S_IRWXO

COMPANIONS = ("-wal", "-shm", ".lock")
"""What stands beside a database file: SQLite's log and shared memory, and the service's lock."""


def real_path(path: str) -> str:
    """The file itself if `path` is a symlink: its companions stand beside it, as SQLite's do."""
    return os.path.realpath(path)


def check_path(path: str) -> None:
    """Raises `StoreUnavailable` if no database file can be at `path`."""
    if os.path.isdir(path):
        raise StoreUnavailable(f"{path} is a folder; name a file in store.url, such as sqlite:///{path}/streamwarm.db")
    if os.path.exists(path) and not os.path.isfile(path):
        raise StoreUnavailable(f"{path} is not a regular file; name another one in store.url")


def open_private(path: str, flags: int = 0) -> int:
    """Open a file, or create it for this user alone. Returns the descriptor. `flags` are further ones of `os.open`.

    Raises `StoreUnavailable`, and `FileExistsError` if `flags` has `O_EXCL`.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, PRIVATE_FILE)
    except FileExistsError:
        raise
    except OSError as error:
        raise StoreUnavailable(
            f"cannot open or create {path} ({error.strerror}); make sure that its folder exists and that this user may "
            "write there"
        ) from error


def create_private(path: str) -> None:
    """Create the database file if it is missing, and let this user alone read it and its companions.

    A file of another owner is left as it is. Raises `StoreUnavailable` if it cannot be created.
    """
    check_path(path)
    with suppress(FileExistsError):
        os.close(open_private(path, os.O_EXCL))
    for name in (path, *(f"{real_path(path)}{end}" for end in COMPANIONS)):
        with suppress(OSError):
            mode = stat.S_IMODE(os.stat(name).st_mode)
            if mode & _OTHERS:
                os.chmod(name, mode & ~_OTHERS)
