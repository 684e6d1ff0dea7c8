"""The named queries of a `.sql` file, each under a line `-- name: <name>`."""

from __future__ import annotations

import re
from importlib.resources import files

SQL_FOLDER = files("streamwarm.backlog") / "sql"

_HEAD = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_queries(database: str) -> dict[str, str]:
    """The queries for `database` (a folder of `sql/`), by name."""
    text = (SQL_FOLDER / database / "queries.sql").read_text(encoding="utf-8")
    _, *parts = _HEAD.split(text)
    return {name: query.strip() for name, query in zip(parts[::2], parts[1::2], strict=True)}
