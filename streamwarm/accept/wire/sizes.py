"""How large the answer of each request may be, and how a page of jobs or records is kept short. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from attrs import define, field

from streamwarm.accept.wire.json_text import json_text
from streamwarm.accept.wire.record_fields import cursor_text
from streamwarm.accept.wire.record_requests import FindRecord, ImportRecords, ListRecords, ReportInvalid, VerifyRecords
from streamwarm.accept.wire.requests import (
    GetAttempts,
    GetJob,
    GetStats,
    ListJobs,
    PauseSending,
    PushJobs,
    Request,
    ResumeSending,
)
from streamwarm.accept.wire.views import job_view, record_view
from streamwarm.backlog.records import RecordPlace
from streamwarm.model import Job, JsonObject, WarmRecord

Item = TypeVar("Item")
Place = TypeVar("Place")

MAX_PAGE_BYTES = 1 << 20
"""Bytes of jobs or records in one page. Some websocket libraries take no message over 1 MiB unless they are configured
to."""

_LISTED_JOB_BYTES = 8 * 1024
"""Room for one listed job or record while the page is made: its row, the objects made of it, and the text. Measured:
4 kB for a job without options."""

_PUSHED_JOB_BYTES = 1024
"""Room for one pushed job's answer: an id and a state, a recorded reference with its `media`, or why the job is
rejected."""

_SMALL_BYTES = 4 * 1024
_JOB_BYTES = 24 * 1024
_STATS_BYTES = 32 * 1024

_FIRST_READ = 100
"""Jobs of the first read of a page. A job may have 16 KiB of options, so 500 jobs are not read before their size is
known."""


def answer_bytes(request: Request | None) -> int:
    """How much room to take before `request` is executed. None: it is refused anyway."""
    match request:
        case ListJobs() | ListRecords() | VerifyRecords():
            return page_bytes(request.limit)
        case PushJobs():
            return _SMALL_BYTES + _PUSHED_JOB_BYTES * len(request.jobs)
        case ImportRecords():
            return _SMALL_BYTES + _PUSHED_JOB_BYTES * len(request.records)
        case GetStats() | PauseSending() | ResumeSending() | GetAttempts():
            return _STATS_BYTES
        case GetJob() | FindRecord() | ReportInvalid():
            return _JOB_BYTES
    return _SMALL_BYTES


def page_bytes(limit: int) -> int:
    """How much room a page of up to `limit` jobs may need while it is made."""
    return _LISTED_JOB_BYTES * limit


@define
class PageBuilder(Generic[Item, Place]):
    """Gathers a page of at most `limit` items and `MAX_PAGE_BYTES`, from several reads of the store.

    `view` makes an item's object; `place` returns where the page after it begins.
    """

    limit: int
    view: Callable[[Item], JsonObject]
    place: Callable[[Item], Place]
    items: list[JsonObject] = field(factory=list)
    next: Place | None = None
    is_full: bool = False
    _size: int = 0

    def next_read(self) -> int:
        """How many items to read next: as many as fit by the size of those so far, and at most twice their number."""
        if not self.items:
            return min(self.limit, _FIRST_READ)
        fitting = (MAX_PAGE_BYTES - self._size) * len(self.items) // self._size + 1
        return min(self.limit - len(self.items), fitting, 2 * len(self.items))

    def add(self, items: Sequence[Item], after: Place | None) -> None:
        """Add items that were read. `after` is the store's cursor behind them, None if they are the last ones."""
        for item in items:
            view = self.view(item)
            self._size += len(json_text(view)) + 1
            if len(self.items) >= self.limit or (self.items and self._size > MAX_PAGE_BYTES):
                self.is_full = True
                return
            self.items.append(view)
            self.next = self.place(item)
        self.next = after
        self.is_full = after is None or len(self.items) >= self.limit


def page_of_jobs(limit: int) -> PageBuilder[Job, int]:
    return PageBuilder(limit, job_view, lambda job: job.seq)


def page_of_records(limit: int) -> PageBuilder[WarmRecord, RecordPlace]:
    return PageBuilder(limit, record_view, place_of)


def place_of(record: WarmRecord) -> RecordPlace:
    """Where the page after this record begins."""
    return RecordPlace(record.r2_key, record.destination, record.kind.value, record.account)


def next_text(place: RecordPlace | None) -> str | None:
    """`next` of a page of records, null on the last one."""
    return None if place is None else cursor_text(place)
