"""One service per SQLite file: a lock that the kernel drops when its last holder ends, however it ends (fault 28).

Two locks are taken. The one on the database file holds by whatever name the file is reached: a symlink, a hard link, a
bind of its folder. The one on `<path>.lock`, which has the holder's pid in it, holds even if the database file was
deleted or replaced under the service.

The lock on the database must not disturb SQLite. Its own locks are fcntl's, which end when the process closes any
descriptor of the file. And `flock` of an NFS file is an fcntl lock of the whole file, so it would lock SQLite out. So
one byte is locked that SQLite never uses, with a lock of the open file (OFD): no other descriptor ends it, and
processes that inherit the descriptor hold it too.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from streamwarm.backlog.sqlite.private_files import check_path, open_private, real_path
from streamwarm.errors import StoreLocked, StoreUnavailable

_OFD_SETLK = getattr(fcntl, "F_OFD_SETLK", None)

_BYTE = 1 << 62
"""The byte that is locked: above every page of a database. SQLite's own locks are at 1 GiB."""

_NOT_KNOWN = frozenset({errno.EINVAL, errno.ENOSYS})
"""The errors of a kernel without locks of open files (before Linux 3.15). `flock` is as good there."""


@contextmanager
def lock_service(path: str) -> Iterator[Sequence[int]]:
    """Lock the store at `path` for this process and those that inherit the descriptors which it yields. Create the
    file, for this user alone, if need be.

    Leave only once every connection to the file is closed: closing a descriptor ends SQLite's locks on it. Raises
    `StoreLocked` if another process has it, `StoreUnavailable` if it cannot be locked. The lock file is not deleted
    afterwards: a third process could then lock a new file of that name while a second one has the old.
    """
    check_path(path)
    path = real_path(path)
    lock_path = f"{path}.lock"
    with ExitStack() as stack:
        lock = open_private(lock_path)
        stack.callback(os.close, lock)
        _lock(lock, path, lock)
        database = open_private(path)
        stack.callback(os.close, database)
        _lock(database, path, lock, byte=_BYTE)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield (lock, database)


def _lock(descriptor: int, path: str, lock: int, byte: int | None = None) -> None:
    """Lock the file of `descriptor`, or this byte of it. `lock` is the open lock file."""
    try:
        if byte is None or not _lock_byte(descriptor, byte):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise _locked(path, lock) from None
        raise StoreUnavailable(
            f"cannot lock {path} ({error.strerror}): its file system has no locks that work, and without them two "
            "services could write to it at once; move it to a local disk, or use postgresql://… as store.url"
        ) from error


def _lock_byte(descriptor: int, byte: int) -> bool:
    """Lock one byte. Returns False if this system has no such locks. Raises `OSError`."""
    if _OFD_SETLK is None or not Path("/proc/self").exists():  # elsewhere the structure has another order
        return False
    try:
        fcntl.fcntl(descriptor, _OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
    except OSError as error:
        if error.errno in _NOT_KNOWN:
            return False
        raise
    return True


def _locked(path: str, lock: int) -> StoreLocked:
    text = os.pread(lock, 32, 0).decode(errors="replace").strip()
    pid = int(text) if text.isascii() and text.isdigit() else None
    if pid is not None and not _is_alive(pid):
        return StoreLocked(
            f"{path} is in use by processes of a streamwarm service whose first one (pid {pid}) has died; they end "
            "once their transfers have, within serve.drain_s; start again then",
            leftover=True,
        )
    return StoreLocked(
        f"{path} is in use by another streamwarm service (pid {pid or 'unknown'}); stop that one first, or give "
        "this one a store.url of its own"
    )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
