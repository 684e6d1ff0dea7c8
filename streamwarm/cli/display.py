"""The displays of `push` and `demo`: bars on a terminal, plain lines in a pipe, JSON lines for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
from attrs import define, field
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from streamwarm.cli.common import print_json
from streamwarm.cli.follow import Display
from streamwarm.printable import printable

KEY_WIDTH = 36


@contextmanager
def open_display(*, as_json: bool, console: Console | None = None) -> Iterator[Display]:
    """The display that fits the output: JSON, a terminal or a pipe."""
    console = console or Console()
    if as_json:
        yield JsonLines()
    elif console.is_terminal:
        # What goes to standard error is printed above the bars if that is the terminal too, and stays there if not.
        with _Columns(console=console, transient=True, redirect_stderr=sys.stderr.isatty()) as progress:
            yield Bars(console, progress, progress.add_task("warming", total=0))
    else:
        yield PlainLines()


@define
class JsonLines:
    """One line per job, when it has ended."""

    def added(self, count: int) -> None: ...

    def started(self, job: Mapping[str, Any]) -> None: ...

    def progressed(self, job_id: str, bytes_out: int, total: int | None) -> None: ...

    def retrying(self, job: Mapping[str, Any]) -> None: ...

    def ended(self, job: Mapping[str, Any]) -> None:
        print_json(job)


@define
class PlainLines:
    """One line when a job ends or waits for a retry."""

    _count: int = 0
    _ended: int = 0

    def added(self, count: int) -> None:
        self._count += count

    def started(self, job: Mapping[str, Any]) -> None: ...

    def progressed(self, job_id: str, bytes_out: int, total: int | None) -> None: ...

    def retrying(self, job: Mapping[str, Any]) -> None:
        click.echo(f"retrying {_describe(job)}")

    def ended(self, job: Mapping[str, Any]) -> None:
        self._ended += 1
        click.echo(f"[{self._ended}/{self._count}] {_describe(job)}")


@define
class Bars:
    """A bar per streamed job, and one for the whole push."""

    _console: Console
    _jobs: Progress
    _overall: TaskID
    _bars: dict[str, TaskID] = field(factory=dict)
    _total: int = 0

    def added(self, count: int) -> None:
        self._total += count
        self._jobs.update(self._overall, total=self._total)

    def started(self, job: Mapping[str, Any]) -> None:
        if job["id"] not in self._bars:
            self._bars[job["id"]] = self._jobs.add_task(_short(job["r2_key"]), total=None, job=True)

    def progressed(self, job_id: str, bytes_out: int, total: int | None) -> None:
        if job_id in self._bars:
            self._jobs.update(self._bars[job_id], completed=bytes_out, total=total)

    def retrying(self, job: Mapping[str, Any]) -> None:
        self._drop(job["id"])
        self._console.print(f"[yellow]retrying[/] {escape(_describe(job))}", soft_wrap=True)

    def ended(self, job: Mapping[str, Any]) -> None:
        self._drop(job.get("id"))
        colour = "green" if job["state"] == "done" else "red"
        self._console.print(f"[{colour}]{escape(_describe(job))}[/]", soft_wrap=True)
        self._jobs.advance(self._overall)

    def _drop(self, job_id: str | None) -> None:
        bar = self._bars.pop(job_id or "", None)
        if bar is not None:
            self._jobs.remove_task(bar)


class _Columns(Progress):
    """Two types of bars in one display: bytes for the jobs, a count for the whole push."""

    def get_renderables(self) -> Iterator[Any]:
        jobs = [task for task in self.tasks if task.fields.get("job")]
        whole = [task for task in self.tasks if not task.fields.get("job")]
        self.columns = _JOB_COLUMNS
        yield self.make_tasks_table(jobs)
        self.columns = _WHOLE_COLUMNS
        yield self.make_tasks_table(whole)


_JOB_COLUMNS = (
    TextColumn("  {task.description}"),
    BarColumn(bar_width=24),
    DownloadColumn(),
    TransferSpeedColumn(),
    TimeRemainingColumn(),
)
_WHOLE_COLUMNS = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn())


# Jobs that were answered with the recorded reference after the bucket was asked: no message was sent.
_NOT_SENT = {
    "unchanged": "(was warm already, and has not changed)",
    "unverified": "(was warm already; the bucket did not answer, so it may have changed)",
}


def _describe(job: Mapping[str, Any]) -> str:
    """One line about a job: its state, its reference, and why it failed."""
    words = [str(job["state"]), str(job.get("r2_key")), "→", str(job.get("destination"))]
    result, error = job.get("result"), job.get("error")
    if job.get("duplicate") and job["state"] == "done":
        words.append("(was warm already)")
    elif job["state"] == "done" and result and result.get("source") in _NOT_SENT:
        words.append(_NOT_SENT[result["source"]])
    if result:
        reference = result.get("file_id") or result.get("location") or result.get("etag")
        words += [str(reference)] if reference else []
    if job["state"] in {"queued", "running", "unknown"} and job.get("id"):
        words.append(f"(job {job['id']})")
    if error:
        words.append(f"{error['code']}: {error['message']}")
    return printable(" ".join(words))


def _short(key: str) -> str:
    """The end of the key, cut to a column's width. Objects usually differ at the end."""
    shown = printable(key)
    return escape(shown if len(shown) <= KEY_WIDTH else "…" + shown[1 - KEY_WIDTH :])
