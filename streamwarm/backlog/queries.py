"""The SQL of a database, as files: named queries, each under a line `-- name: <name>`, and numbered migrations."""

from __future__ import annotations

import re
from importlib.resources import files

BACKLOG = files("streamwarm.backlog")

_MIGRATION = re.compile(r"(\d{4})_\w+\.sql")
_HEAD = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_queries(database: str) -> dict[str, str]:
    """The queries for `database` (`sqlite` or `postgres`), by name."""
    text = (BACKLOG / database / "sql" / "queries.sql").read_text(encoding="utf-8")
    _, *parts = _HEAD.split(text)
    return {name: query.strip() for name, query in zip(parts[::2], parts[1::2], strict=True)}


def load_migrations(database: str) -> list[tuple[int, str]]:
    """The scripts for `database` by number, in order."""
    named = ((_MIGRATION.fullmatch(file.name), file) for file in (BACKLOG / database / "sql").iterdir())
    return sorted((int(match[1]), file.read_text(encoding="utf-8")) for match, file in named if match)
