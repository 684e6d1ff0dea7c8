"""How large the answer of each request may be, and how a page of jobs is kept short. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from streamwarm.accept.wire.json_text import json_text
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
from streamwarm.accept.wire.views import job_view
from streamwarm.model import Job, JsonObject

MAX_PAGE_BYTES = 1 << 20
"""Bytes of jobs in one page. Some websocket libraries take no message over 1 MiB unless they are configured to."""

_LISTED_JOB_BYTES = 8 * 1024
"""Room for one listed job while the page is made: its row, the objects made of it, and the text. Measured: 4 kB for a
job without options."""

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
        case ListJobs():
            return page_bytes(request.limit)
        case PushJobs():
            return _SMALL_BYTES + _PUSHED_JOB_BYTES * len(request.jobs)
        case GetStats() | PauseSending() | ResumeSending() | GetAttempts():
            return _STATS_BYTES
        case GetJob():
            return _JOB_BYTES
    return _SMALL_BYTES


def page_bytes(limit: int) -> int:
    """How much room a page of up to `limit` jobs may need while it is made."""
    return _LISTED_JOB_BYTES * limit


@define
class PageBuilder:
    """Gathers a page of at most `limit` jobs and `MAX_PAGE_BYTES`, from several reads of the store."""

    limit: int
    jobs: list[JsonObject] = field(factory=list)
    next: int | None = None
    is_full: bool = False
    _size: int = 0

    def next_read(self) -> int:
        """How many jobs to read next: as many as fit by the size of those so far, and at most twice their number."""
        if not self.jobs:
            return min(self.limit, _FIRST_READ)
        fitting = (MAX_PAGE_BYTES - self._size) * len(self.jobs) // self._size + 1
        return min(self.limit - len(self.jobs), fitting, 2 * len(self.jobs))

    def add(self, jobs: Sequence[Job], after: int | None) -> None:
        """Add jobs that were read. `after` is the store's cursor behind them, None if they are the last ones."""
        for job in jobs:
            view = job_view(job)
            self._size += len(json_text(view)) + 1
            if self.jobs and self._size > MAX_PAGE_BYTES:
                self.is_full = True
                return
            self.jobs.append(view)
            self.next = job.seq
        self.next = after
        self.is_full = after is None or len(self.jobs) >= self.limit

    def view(self) -> JsonObject:
        """What `list` answers; `next` is null on the last page."""
        return {"jobs": self.jobs, "next": self.next}
