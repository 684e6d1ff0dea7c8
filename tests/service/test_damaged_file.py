"""A store's file that cannot be used is said in one line with the remedy, at the start: no traceback."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
import trio

from streamwarm.backlog.sqlite.file import migrate


def truncated(path: Path, kept_bytes: int) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
    os.truncate(path, kept_bytes)


def text(path: Path) -> None:
    path.write_bytes(b"these are somebody's notes\n" * 200)


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("INSERT INTO schema_migrations VALUES (9999, 0)")
        database.commit()


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("text", "set store.url to another path"),
        ("newer", "run the newer streamwarm"),
        ("half", "restore the file from a backup"),
        ("last page", "restore the file from a backup"),
    ],
)
@pytest.mark.parametrize("command", ["serve", "migrate"])
async def test_a_file_that_cannot_be_opened_is_said_in_one_line_with_the_remedy(
    tmp_path: Path, kind: str, remedy: str, command: str
) -> None:
    path = tmp_path / "s.db"
    migrate(str(path))
    if kind == "text":
        text(path)
    elif kind == "newer":
        newer(path)
    else:
        size = path.stat().st_size
        truncated(path, size // 2 if kind == "half" else size - 4096)
    config = tmp_path / "streamwarm.toml"
    config.write_text(
        "[r2]\nendpoint_url = 'http://127.0.0.1:9'\nbucket = 'media'\naccess_key_id = 'i'\nsecret_access_key = 's'\n"
        f"[store]\nurl = 'sqlite:///{path}'\n[serve]\nlisten = '127.0.0.1:0'\nhttp = '127.0.0.1:0'\n"
        "[destinations.here]\ntype = 'http'\nurl = 'https://example.com/{r2_key}'\n"
    )
    with trio.fail_after(60):
        refused = await trio.run_process(
            [sys.executable, "-m", "streamwarm", command, "--config", str(config)],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    said = (refused.stdout + refused.stderr).decode()
    assert refused.returncode == 3, said
    last = said.strip().splitlines()[-1]
    assert remedy in last
    assert str(path) in last
    assert "Traceback" not in said
