"""Reads every row once, a page at a time, so that an odd row is named even if no request reads it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen

from streamwarm.backlog.core.decode import ATTEMPTS, EVENTS, JOBS, MEDIA, QUEUED_JOBS
from streamwarm.backlog.core.odd import OddRows, Reading, Row
from streamwarm.model import State

PAGE_ROWS = 500
"""Rows of one page. They take a few milliseconds, so no other read waits long for the connection."""

_LEAST = -(2**63) + 1
"""Less than every number that a damaged row may have."""

_TABLES: Sequence[tuple[str, Reading[Any], Mapping[str, object]]] = (
    ("survey_jobs", JOBS, {"seq": _LEAST}),
    ("survey_media", MEDIA, {"id": _LEAST}),
    ("survey_attempts", ATTEMPTS, {"job_id": "", "number": -(2**31)}),
    ("survey_events", EVENTS, {"seq": _LEAST}),
)
"""The query of each table, how its rows are read, and the key before the first row."""


@frozen
class Page:
    """Where a survey continues: the number of the table, and the key after which its next rows come."""

    table: int = 0
    after: Mapping[str, object] | None = None


SURVEYED = (JOBS, QUEUED_JOBS, MEDIA, ATTEMPTS, EVENTS)
"""What a survey reads of each row."""

FIRST_PAGE = Page()


def read_page(page: Page, odd: OddRows, read: Callable[..., Sequence[Row]]) -> Page | None:
    """Read one page with `read(query, **parameters)`. Returns the next one, None after the last."""
    query, reading, first = _TABLES[page.table]
    rows = read(query, **(page.after or first), limit=PAGE_ROWS)
    odd.read_all(reading, rows)
    if reading is JOBS:
        odd.read_partly(QUEUED_JOBS, (row for row in rows if row["state"] == State.QUEUED.value))
    if len(rows) == PAGE_ROWS:
        after = {column: rows[-1][column] for column in first}
        if all(isinstance(value, int | str) for value in after.values()):
            return Page(page.table, after)
    following = page.table + 1
    return Page(following) if following < len(_TABLES) else None
