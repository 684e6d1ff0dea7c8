"""What the commands over many records share: calls that wait when they are asked to, pages, and a counter."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import trio
from attrs import define
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from streamwarm.cli.client import CallError
from streamwarm.cli.reach import Caller

RATE_LIMITED = -32005
WAIT_S = 5.0
"""How long to wait if the service does not say how long."""

PAGE_RECORDS = 500


async def call_patiently(caller: Caller, method: str, params: Mapping[str, Any]) -> Any:
    """Call, and again after the wait that the service asks for. Raises `CallError` and `Unreachable`."""
    while True:
        try:
            return await caller.call(method, params)
        except CallError as exc:
            if exc.code != RATE_LIMITED:
                raise
            await trio.sleep(exc.data.get("retry_after_s") or WAIT_S)


async def record_pages(
    caller: Caller, which: Mapping[str, Any], limit: int = 0
) -> AsyncGenerator[Mapping[str, Any], None]:
    """The pages of up to `limit` records (0: all) that match. A page has fewer than it could, or none, now and then."""
    left, after = limit, None
    while True:
        size = min(PAGE_RECORDS, left) if limit else PAGE_RECORDS
        page = await call_patiently(caller, "records", {**which, "limit": size, **after_(after)})
        yield page
        left, after = left - len(page["records"]), page["next"]
        if after is None or (limit and not left):
            return


def after_(place: str | None) -> dict[str, str]:
    return {} if place is None else {"after": place}


@define
class Counter:
    """Counts on a terminal's standard error while a command works; elsewhere it shows nothing."""

    _progress: Progress | None = None
    _task: TaskID | None = None

    def add(self, count: int) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, count)


@contextmanager
def counting(what: str) -> Iterator[Counter]:
    """Show how many `what` there were so far, in words such as "records imported"."""
    if not sys.stderr.isatty():
        yield Counter()
        return
    columns = (SpinnerColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Counter(progress, progress.add_task(what, total=None))
