"""Damages rows of a store behind its back, as a broken disk, a careless hand or a newer version would."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing

import psycopg
from attrs import frozen

Run = Callable[[str], Sequence[tuple[object, ...]]]
"""Runs one statement and returns its rows."""


@frozen
class Damage:
    """`value` is SQL. The same statement means the same on both databases, unless it is not possible there."""

    name: str
    value: str


DAMAGES = (
    Damage("nothing", "NULL"),
    Damage("text", "'not what it was'"),
    Damage("negative", "-7"),
    Damage("huge", "9000000000000000000"),
    Damage("beyond", "1e300"),
    Damage("damaged JSON", "'{\"a\": [1,'"),
    Damage("JSON of another kind", "'[1, 2]'"),
    Damage("JSON that no number is", "'{\"a\": NaN}'"),
    Damage("deep JSON", f"'{'[' * 3000}{']' * 3000}'"),
)
SQLITE_ALONE = (Damage("binary", "x'00ff80'"), Damage("not UTF-8", "CAST(x'c328ff' AS TEXT)"))
POSTGRES_ALONE = (Damage("not a number", "'NaN'"), Damage("without end", "'-Infinity'"))


def on_sqlite(path: str) -> Run:
    def run(statement: str) -> Sequence[tuple[object, ...]]:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.text_factory = bytes
            connection.execute("PRAGMA ignore_check_constraints = ON")
            return connection.execute(statement).fetchall()

    return run


def drop_not_null(path: str) -> None:
    """A newer version may let a column be empty that may not be now."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = replace(replace(replace(sql, 'IS NOT NULL', '~~'), ' NOT NULL', ''), '~~', "
            "'IS NOT NULL') WHERE type = 'table'"
        )
        connection.execute("PRAGMA writable_schema = RESET")


def on_postgres(url: str) -> Run:
    def run(statement: str) -> Sequence[tuple[object, ...]]:
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            cursor = connection.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else ()

    return run


def loosen(run: Run) -> None:
    """Drop what the database itself checks in the current schema."""
    columns = run(
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = current_schema() AND is_nullable = 'NO'"
    )
    checks = run(
        "SELECT conrelid::regclass::text, conname FROM pg_constraint "
        "WHERE contype = 'c' AND connamespace = current_schema()::regnamespace"
    )
    for table, name in checks:
        run(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    keys = set(
        run(
            "SELECT table_name, column_name FROM information_schema.key_column_usage "
            "WHERE table_schema = current_schema()"
        )
    )
    for table, column in columns:
        if (table, column) not in keys:
            run(f"ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL")


def columns_of(sql: Sequence[str]) -> list[tuple[str, str]]:
    """`(table, column)` of every column that these migrations make."""
    found = []
    for script in (re.sub(r"--.*", "", script) for script in sql):
        for table, body in re.findall(r"CREATE TABLE (\w+) \((.*?)\n\)", script, re.DOTALL):
            found += [(table, line.split()[0]) for line in body.splitlines() if re.match(r"\s+[a-z_]\w* +\w", line)]
        for table, body in re.findall(r"ALTER TABLE (\w+)\s+((?:ADD COLUMN [^;]*))", script):
            found += [(table, column) for column in re.findall(r"ADD COLUMN (\w+)", body)]
    return list(dict.fromkeys((table.removesuffix("_anew"), column) for table, column in found))
