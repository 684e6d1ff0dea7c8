"""What is lost when a SQLite store's files are deleted, moved or replaced under it: nothing that was acknowledged."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path

import pytest

from streamwarm.backlog.sqlite.file import connect, migrate
from streamwarm.backlog.sqlite.store import open_sqlite_store
from streamwarm.backlog.store import Store
from streamwarm.errors import StoreUnavailable
from tests.worlds.backlog import IN_THREADS, LIMITS, Clock, OpenStore, numbered, photo, push_one

ACKNOWLEDGED = {f"before-{n}.jpg" for n in range(5)}


async def acknowledge(store: Store) -> None:
    for key in sorted(ACKNOWLEDGED):
        await push_one(store, photo(key))


async def refused(store: Store, *words: str) -> str:
    with pytest.raises(StoreUnavailable, match="takes no writes") as caught:
        await push_one(store, photo("after.jpg"))
    with pytest.raises(StoreUnavailable):
        await store.check_writable()  # what /readyz asks
    message = str(caught.value)
    assert [word for word in words if word not in message] == []
    return message


def keys_in(path: str) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return {key for (key,) in connection.execute("SELECT r2_key FROM jobs")}


def open_at(path: str, clock: Clock) -> AbstractAsyncContextManager[Store]:
    names = {"new_id": numbered("job-"), "new_token": numbered("token-")}
    return open_sqlite_store(path, limits=LIMITS, now=clock, **names, **IN_THREADS)


def delete(path: str, *ends: str) -> None:
    for end in ends:
        os.unlink(f"{path}{end}")


@pytest.mark.parametrize(
    "ends", [("",), ("", "-wal"), ("", "-shm"), ("", "-wal", "-shm"), ("-wal",), ("-shm",), ("-wal", "-shm")]
)
async def test_deleted_files_acknowledge_nothing_and_lose_nothing_that_was(
    ends: tuple[str, ...], open_sqlite: OpenStore, path: str, tmp_path: Path
) -> None:
    async with open_sqlite() as store:
        await acknowledge(store)
        delete(path, *ends)
        await refused(store, path, "start the service again")
        # As after kill -9: what stands in the folder now, without the open files.
        after = tmp_path / "after"
        after.mkdir()
        for end in ("", "-wal"):
            if os.path.exists(f"{path}{end}"):
                shutil.copy(f"{path}{end}", after / f"backlog.db{end}")
        assert keys_in(str(after / "backlog.db")) == ACKNOWLEDGED
        await refused(store)
    async with open_sqlite(new_id=numbered("again-")) as store:
        assert {job.id for job in await store.queued(100)} == {f"job-{n}" for n in range(1, 6)}
        await push_one(store, photo("works.jpg"))
    assert os.stat(path).st_mode & 0o777 == 0o600


async def test_a_file_that_is_put_back_is_written_again_without_a_restart(
    open_sqlite: OpenStore, path: str, tmp_path: Path
) -> None:
    async with open_sqlite() as store:
        await acknowledge(store)
        for ends in (("",), ("", "-wal", "-shm"), ("-wal",)):
            for end in ends:
                os.rename(f"{path}{end}", tmp_path / f"moved{end}")
            message = await refused(store)
            for end in ends:
                os.rename(tmp_path / f"moved{end}", f"{path}{end}")
            await push_one(store, photo(f"{len(message)}-{ends}.jpg"))
            await store.check_writable()
    assert len(keys_in(path)) == len(ACKNOWLEDGED) + 3


async def test_a_moved_file_is_whole_where_it_is_now(open_sqlite: OpenStore, path: str, tmp_path: Path) -> None:
    async with open_sqlite() as store:
        await acknowledge(store)
        os.rename(path, tmp_path / "moved.db")
        await refused(store, "put it back")
        assert keys_in(str(tmp_path / "moved.db")) == ACKNOWLEDGED
        assert not os.path.exists(path)


@pytest.mark.parametrize("other", ["empty", "foreign", "older copy", "folder"])
async def test_a_file_in_its_place_is_neither_written_nor_overwritten_and_the_jobs_are_saved_beside_it(
    other: str, open_sqlite: OpenStore, path: str, tmp_path: Path
) -> None:
    new = tmp_path / "new.db"
    migrate(str(new))
    if other == "empty":
        new.write_bytes(b"")
    async with open_sqlite() as store:
        if other == "older copy":
            await push_one(store, photo("before-0.jpg"))
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(new)) as copy:
                source.backup(copy)
        await acknowledge(store)
        if other == "folder":
            os.unlink(path)
            os.mkdir(path)
        else:
            os.replace(new, path)
        content = None if other == "folder" else Path(path).read_bytes()
        message = await refused(store, "replaced by another file", "saved as")
        await refused(store)
        [saved] = tmp_path.glob("*.saved-*")
        assert str(saved) in message
        assert keys_in(str(saved)) == ACKNOWLEDGED
        assert saved.stat().st_mode & 0o777 == 0o600
    if content is not None:
        assert Path(path).read_bytes() == content


async def test_a_deleted_folder_is_written_again_once_there_is_one(tmp_path: Path, clock: Clock) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    inside = str(folder / "jobs.db")
    async with open_at(inside, clock) as store:
        await acknowledge(store)
        shutil.rmtree(folder)
        await refused(store, "do not end the service")
        folder.mkdir()
        clock.at += 60
        await refused(store, "written back")
    assert keys_in(inside) == ACKNOWLEDGED


async def test_a_symlink_that_leads_elsewhere_is_noticed(tmp_path: Path, clock: Clock) -> None:
    link, real, other = tmp_path / "link.db", tmp_path / "real.db", tmp_path / "other.db"
    link.symlink_to(real)
    async with open_at(str(link), clock) as store:
        await acknowledge(store)
        migrate(str(other))
        link.unlink()
        link.symlink_to(other)
        await refused(store)
        link.unlink()
        link.symlink_to(real)
        await push_one(store, photo("again.jpg"))


async def test_a_file_deleted_while_a_group_is_committed_is_not_acknowledged(open_sqlite: OpenStore, path: str) -> None:
    armed: list[bool] = []

    def delete_once(statement: str) -> None:
        if statement == "COMMIT" and armed:
            armed.clear()
            delete(path, "")

    def connect_and_delete(place: str) -> sqlite3.Connection:
        connection = connect(place)
        connection.set_trace_callback(delete_once)
        return connection

    async with open_sqlite(connect=connect_and_delete) as store:
        await acknowledge(store)
        armed.append(True)
        await refused(store, "written back")
    assert keys_in(path) >= ACKNOWLEDGED


async def test_an_emptied_file_acknowledges_nothing(open_sqlite: OpenStore, path: str) -> None:
    async with open_sqlite() as store:
        await acknowledge(store)
        os.truncate(path, 0)
        await refused(store, "was emptied", "stop the service")
        await refused(store, "was emptied")


@pytest.mark.parametrize("damage", [b"", b"\xff" * 4096], ids=["emptied", "overwritten"])
async def test_a_log_that_is_damaged_in_place_acknowledges_nothing_and_leaves_the_database_whole(
    damage: bytes, open_sqlite: OpenStore, path: str
) -> None:
    async with open_sqlite() as store:
        await acknowledge(store)
        with closing(sqlite3.connect(path)) as other:  # moves all to the database
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        await push_one(store, photo("later.jpg"))
        if damage:
            Path(f"{path}-wal").write_bytes(damage)
        else:
            os.truncate(f"{path}-wal", 0)
        await refused(store, "-wal was emptied", "stop the service")
        await refused(store, "-wal was emptied")
    assert keys_in(path) == ACKNOWLEDGED


async def test_a_file_that_was_moved_behind_a_symlink_acknowledges_nothing_that_a_restart_would_not_find(
    path: str, clock: Clock
) -> None:
    async with open_at(path, clock) as store:
        await acknowledge(store)
        os.rename(path, f"{path}.moved")
        os.symlink(f"{path}.moved", path)
        await refused(store)
        assert keys_in(f"{path}.moved") >= ACKNOWLEDGED


async def test_of_two_processes_one_writes_the_file_back_and_both_say_the_same(
    open_sqlite: OpenStore, path: str, tmp_path: Path
) -> None:
    async with open_sqlite() as one, open_sqlite() as other:
        await acknowledge(one)
        delete(path, "")
        for store in (one, other, one):
            await refused(store, "written back; start the service again")
        assert not list(tmp_path.glob("*.saved-*"))
    assert keys_in(path) == ACKNOWLEDGED
