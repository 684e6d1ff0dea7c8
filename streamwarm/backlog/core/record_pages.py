"""Reads records in pages. Every page is one scan of an index, and a bounded number of rows. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streamwarm.backlog.core.decode import RECORDS
from streamwarm.backlog.core.odd import OddRows, Row
from streamwarm.backlog.records import RecordFilter, RecordPage, RecordPlace
from streamwarm.model import SourceState, WarmRecord

MOST_ROWS = 2_000
"""Rows that one page reads at most, however few of them match: some 20 ms."""


def page_query(which: RecordFilter) -> str:
    """The name of the query whose index has the fewest rows that do not match."""
    if which.source_state not in {None, SourceState.CURRENT}:
        return "page_of_records_in_state"
    return "page_of_records" if which.warning is None else "page_of_records_with_warnings"


def read_record_page(
    which: RecordFilter, limit: int, after: RecordPlace | None, odd: OddRows, read: Callable[..., Sequence[Row]]
) -> RecordPage:
    """`read(limit=…, source_state=…, **place)` returns rows after a place, in order."""
    place = max(after or _before(which.prefix), _before(which.prefix))
    is_filtered = which.destination is not None or which.kind is not None
    asked = min(MOST_ROWS, odd.room("media_cache", limit + 1)) if not is_filtered else MOST_ROWS
    state = {} if which.source_state in {None, SourceState.CURRENT} else {"source_state": which.source_state}
    found = read(**place._asdict(), **state, limit=asked)
    page: list[WarmRecord] = []
    for row in found:
        if isinstance(row["r2_key"], str) and not row["r2_key"].startswith(which.prefix):
            return RecordPage(page, None)
        if len(page) == limit:
            return RecordPage(page, place)
        record = odd.read(RECORDS, row)
        if record is not None and which.matches(record):
            page.append(record)
        if all(isinstance(row[column], str) for column in RecordPlace._fields):  # else a row that cannot be read
            place = RecordPlace(*(row[column] for column in RecordPlace._fields))
    return RecordPage(page, place if len(found) == asked else None)


def _before(prefix: str) -> RecordPlace:
    """The place before the first key with this prefix: no destination has an empty name."""
    return RecordPlace(prefix, "", "", "")
