"""One service per SQLite file: a lock that the kernel drops when its holder ends, however it ends (fault 28)."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from streamwarm.errors import StoreLocked, StoreUnavailable


@contextmanager
def lock_service(path: str) -> Iterator[None]:
    """Lock the store at `path` for this process, through `<path>.lock`, which names the holder's pid.

    Raises `StoreLocked` if another process has it, `StoreUnavailable` if the lock file cannot be opened. The lock file
    is not deleted afterwards: a third process could then lock a new file of that name while a second one has the old.
    """
    lock_path = f"{path}.lock"
    try:
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreUnavailable(
            f"cannot open {lock_path} ({error.strerror}); make sure that its folder exists and is writable"
        ) from error
    try:
        _lock(lock, path)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)


def _lock(lock: int, path: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
        raise StoreLocked(
            f"{path} is in use by another streamwarm service (pid {holder}); stop that one first, or give "
            "this one a store.url of its own"
        ) from None
