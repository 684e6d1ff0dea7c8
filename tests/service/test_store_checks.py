"""What an operator loses without these: a check that says what `serve` will do, and leaves everything as it was."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import trio

from streamwarm.backlog.queries import BACKLOG
from streamwarm.backlog.sqlite.file import connect, migrate
from tests.worlds.command_line import Ended, cli
from tests.worlds.postgres import PostgresServer


async def check(url: str, folder: Path) -> dict[str, Any]:
    """The finding about the store."""
    config = folder.parent / f"{folder.name}.toml"
    config.write_text(f"[store]\nurl = {json.dumps(url)}\n")
    told: Ended = await cli("check", "--json", "--config", str(config))
    return next(line for line in told.json() if line["check"] == "store")


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        path.name: (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.iterdir())
    }


def current(path: Path) -> None:
    migrate(str(path))
    path.chmod(0o644)


def older(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, applied_at REAL NOT NULL)")
        database.execute("INSERT INTO schema_migrations VALUES (1, 0)")
        database.executescript((BACKLOG / "sqlite" / "sql" / "0001_initial.sql").read_text(encoding="utf-8"))


def newer(path: Path) -> None:
    migrate(str(path))
    with closing(sqlite3.connect(path)) as database:
        database.execute("INSERT INTO schema_migrations VALUES (999, 0)")
        database.commit()


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE others (x)")
        database.commit()


def truncated(path: Path) -> None:
    migrate(str(path))
    os.truncate(path, path.stat().st_size // 2)


KILLED = "import os, sqlite3, sys; from streamwarm.backlog.sqlite.file import connect, migrate; migrate(sys.argv[1]);"
KILLED += "c = connect(sys.argv[1]); c.execute('INSERT INTO schema_migrations VALUES (0, 0)'); os._exit(0)"


def killed(path: Path) -> None:
    """Its log was left behind."""
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=True)
    assert path.with_name("s.db-wal").stat().st_size > 0


@pytest.mark.parametrize(
    ("state", "ok", "words"),
    [
        (None, True, "does not exist yet"),
        (Path.touch, True, "no tables of streamwarm yet"),
        (current, True, "takes writes"),
        (older, True, "updates its schema from version 1"),
        (foreign, True, "no tables of streamwarm yet"),
        (killed, True, "takes writes"),
        (newer, False, "run the newer streamwarm that wrote it"),
        (truncated, False, "restore the file from a backup"),
        (lambda path: path.write_bytes(b"not a database " * 100), False, "not a SQLite database"),
        (Path.mkdir, False, "is a folder"),
    ],
)
async def test_check_says_what_serve_will_do_with_a_file_and_changes_nothing(
    state: Any, ok: bool, words: str, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / "s.db"
    if state is not None:
        state(path)
    before = snapshot(folder) if not path.is_dir() else {}
    found = await check(f"sqlite:///{path}", folder)
    assert (found["ok"], words in found["detail"]) == (ok, True), found
    if not path.is_dir():
        assert {name: one for name, one in snapshot(folder).items() if not name.endswith("-shm")} == {
            name: one for name, one in before.items() if not name.endswith("-shm")
        }
        assert set(snapshot(folder)) == set(before)
    told = await cli("migrate", "--store", f"sqlite:///{path}")
    assert (told.code == 0) == ok
    assert ok or words in told.err


async def test_check_waits_for_no_lock_that_a_running_service_never_holds_for_long(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / "s.db"
    migrate(str(path))
    with closing(connect(str(path))) as service:
        service.execute("INSERT INTO schema_migrations VALUES (0, 0)")
        assert (await check(f"sqlite:///{path}", folder))["ok"]


@pytest.mark.parametrize(
    "url",
    [
        *("sqlite:///:memory:", "sqlite:///", "sqlite://", "sqlite:", "sqlite:///.", "sqlite:///a/", "sqlite:///a/.."),
        *("sqlite:///file::memory:", "sqlite:///file:x?mode=memory", "sqlite:///x.db?mode=ro", "sqlite:///a\0b"),
    ],
)
async def test_an_address_that_names_no_file_is_told_in_a_line_at_every_command(url: str, tmp_path: Path) -> None:
    config = tmp_path / "streamwarm.toml"
    config.write_text(f"[store]\nurl = {json.dumps(url)}\n")
    for command in ("serve", "check", "migrate"):
        told = await cli(command, "--config", str(config))
        assert (told.code, "store.url" in told.err, len(told.err.splitlines())) == (2, True, 1)
    assert list(tmp_path.iterdir()) == [config]


async def test_check_makes_no_table_in_postgres_and_refuses_what_serve_would(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    url, schema = postgres_server.new_schema(), postgres_server.last_schema

    def tables() -> list[Any]:
        with closing(psycopg.connect(postgres_server.uri, autocommit=True)) as connection:
            return connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (schema,)).fetchall()

    found = await check(url, tmp_path / "pg")
    assert (found["ok"], "no tables of streamwarm yet" in found["detail"]) == (True, True)
    assert tables() == []
    assert (await cli("migrate", "--store", url)).code == 0
    assert (await check(url, tmp_path / "pg"))["detail"].endswith("takes writes")
    postgres_server.execute(f"DELETE FROM {schema}.schema_migrations WHERE version > 3")
    assert "from version 3" in (await check(url, tmp_path / "pg"))["detail"]
    postgres_server.execute(f"INSERT INTO {schema}.schema_migrations VALUES (999, 0)")
    found = await check(url, tmp_path / "pg")
    assert (found["ok"], "run the newer streamwarm" in found["detail"]) == (False, True)
    postgres_server.execute(f"DROP SCHEMA {schema} CASCADE")
    assert "no schema for tables" in (await check(url, tmp_path / "pg"))["detail"]


async def test_migrations_beside_one_that_takes_long_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.db"
    monkeypatch.setattr("streamwarm.backlog.sqlite.file.BUSY_TIMEOUT_S", 0.05)
    older_than_its_tables = closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
    with older_than_its_tables as long:
        long.execute("PRAGMA journal_mode = WAL")
        long.execute("BEGIN IMMEDIATE")
        codes: list[int] = []

        async def run() -> None:
            codes.append((await cli("migrate", "--store", f"sqlite:///{path}")).code)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(run)
            await trio.sleep(1.0)
            assert codes == []
            long.execute("ROLLBACK")
    assert codes == [0, 0, 0]
