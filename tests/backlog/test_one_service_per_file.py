"""What is lost without these: the first service's jobs, taken by a second one; a store that everybody may read."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from streamwarm.backlog.sqlite.file import migrate
from streamwarm.backlog.sqlite.private_files import COMPANIONS
from streamwarm.backlog.sqlite.service_lock import lock_service
from streamwarm.errors import StoreLocked, StoreUnavailable
from tests.worlds.backlog import OpenStore, photo, push_one


def same(path: Path) -> Path:
    return path


def by_symlink(path: Path) -> Path:
    link = path.parent / "link.db"
    link.symlink_to(path)
    return link


def by_a_folders_symlink(path: Path) -> Path:
    folder = path.parent / "folder"
    folder.symlink_to(path.parent)
    return folder / path.name


def by_hard_link(path: Path) -> Path:
    (path.parent / "else").mkdir()
    os.link(path, path.parent / "else" / "hard.db")
    return path.parent / "else" / "hard.db"


def without_lock_file(path: Path) -> Path:
    path.with_name(f"{path.name}.lock").unlink()
    return path


def replaced(path: Path) -> Path:
    path.unlink()
    return path


@pytest.mark.parametrize(
    "way",
    [same, by_symlink, by_a_folders_symlink, by_hard_link, without_lock_file, replaced],
    ids=lambda way: way.__name__,
)
def test_a_file_has_one_service_by_whatever_name_it_is_reached(way: Callable[[Path], Path], path: str) -> None:
    migrate(path)
    with lock_service(path):
        other = way(Path(path))
        with pytest.raises(StoreLocked, match=r"another streamwarm service.*store\.url"), lock_service(str(other)):
            raise AssertionError("it was locked twice")
    with lock_service(path):
        pass


async def test_the_lock_does_not_keep_sqlite_from_its_file(open_sqlite: OpenStore, path: str) -> None:
    with lock_service(path):
        async with open_sqlite() as store:
            await push_one(store, photo())
        with pytest.raises(StoreLocked), lock_service(path):
            raise AssertionError("closing the store has ended its lock")


HOLD = "import os, sys, time; print('up', flush=True); sys.stdin.read()"


def test_a_process_that_inherited_the_lock_keeps_it_when_the_first_one_is_gone(path: str) -> None:
    with lock_service(path) as descriptors:
        heir = subprocess.Popen(
            [sys.executable, "-c", HOLD], pass_fds=descriptors, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert heir.stdout is not None
        assert heir.stdout.readline() == b"up\n"
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    Path(f"{path}.lock").write_bytes(gone.stdout)
    with pytest.raises(StoreLocked, match="has died") as refused, lock_service(path):
        raise AssertionError("it was locked twice")
    assert refused.value.leftover
    heir.communicate()
    with lock_service(path):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EIO, errno.EPERM])
@pytest.mark.parametrize("call", ["flock", "fcntl"])
def test_a_file_system_without_locks_is_refused_in_a_line_with_the_remedy(
    call: str, number: int, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, call, refuse)
    if call == "fcntl" and number == errno.ENOSYS:
        with lock_service(path):  # a kernel without such locks: `flock` does it
            return
    with pytest.raises(StoreUnavailable, match=r"cannot lock .*local disk"), lock_service(path):
        raise AssertionError("it was locked")


def modes(path: str) -> dict[str, int]:
    names = [path, *(f"{path}{end}" for end in COMPANIONS)]
    return {name: stat.S_IMODE(os.stat(name).st_mode) for name in names if os.path.exists(name)}


@pytest.mark.parametrize("before", [None, 0o644, 0o666, 0o640])
async def test_no_file_of_a_store_can_be_read_by_others(before: int | None, open_sqlite: OpenStore, path: str) -> None:
    if before is not None:
        migrate(path)
        Path(f"{path}.lock").touch()
        for name in (path, f"{path}.lock"):
            os.chmod(name, before)
    old = os.umask(0)
    try:
        with lock_service(path):
            async with open_sqlite() as store:
                await push_one(store, photo())
                assert set(modes(path).values()) == {0o600}
                assert len(modes(path)) == 4
    finally:
        os.umask(old)


@pytest.mark.parametrize("kind", ["folder", "missing folder", "file as folder", "device", "loop"])
def test_a_place_that_can_hold_no_database_is_told_in_a_line(kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    places = {"folder": ".", "missing folder": "none/x.db", "file as folder": "file/x.db", "loop": "loop"}
    place = "/dev/null" if kind == "device" else str(tmp_path / places[kind])
    with pytest.raises(StoreUnavailable, match=r"store\.url|make sure"):
        migrate(place)
