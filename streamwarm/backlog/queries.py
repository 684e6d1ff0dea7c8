"""The SQL of a database, read from its folder `sql/`.

Numbered files (`0001_initial.sql`) are migrations. The others have named queries, each under a line `-- name: <name>`.
"""

from __future__ import annotations

import re
from importlib.resources import files

BACKLOG = files("streamwarm.backlog")

_MIGRATION = re.compile(r"(\d{4})_\w+\.sql")
_HEAD = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_queries(database: str) -> dict[str, str]:
    """The queries for `database` (`sqlite` or `postgres`), by name."""
    queries: dict[str, str] = {}
    for file in (BACKLOG / database / "sql").iterdir():
        if not _MIGRATION.fullmatch(file.name):
            _, *parts = _HEAD.split(file.read_text(encoding="utf-8"))
            queries |= {name: query.strip() for name, query in zip(parts[::2], parts[1::2], strict=True)}
    return queries


def load_migrations(database: str) -> list[tuple[int, str]]:
    """The migrations for `database`, by number, in order."""
    named = ((_MIGRATION.fullmatch(file.name), file) for file in (BACKLOG / database / "sql").iterdir())
    return sorted((int(match[1]), file.read_text(encoding="utf-8")) for match, file in named if match)


def newer_schema(store: str, found: int, newest: int) -> str:
    """The message that a store was written by a newer streamwarm, which the database `store` is left to."""
    return (
        f"{store} has schema version {found}, and this streamwarm knows no later one than {newest}; "
        "run the newer streamwarm that wrote it, or set store.url to another database"
    )


def schema_found(store: str, found: int | None, newest: int) -> str:
    """What `check` says of a schema that is not newer. None: the database has no tables of streamwarm."""
    if found is None:
        return f"{store} can be written; it has no tables of streamwarm yet, and `serve` creates them"
    if found < newest:
        return f"{store} takes writes; `serve` updates its schema from version {found} to {newest}"
    return f"{store} takes writes"
