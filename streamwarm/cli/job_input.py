"""Reads the jobs of `push`: keys as arguments, JSON lines, or a listing of the bucket."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import click
from attrs import field, frozen

from streamwarm.cli.kinds import guess_kind
from streamwarm.errors import SettingsError
from streamwarm.fetch.source import ListedObject

JsonJob = dict[str, Any]


@frozen
class Defaults:
    """Values for jobs that have none of their own. `kind` None means: guess it from the key. An option of a job's own
    goes before the same one in `options`."""

    destination: str | None
    kind: str | None
    refresh: str | None = None
    options: Mapping[str, Any] = field(factory=dict)

    def apply(self, job: JsonJob) -> JsonJob:
        """The job with its missing fields filled in. A line of a file may override the flags."""
        key = job.get("r2_key")
        filled = dict(job)
        if self.destination is not None:
            filled.setdefault("destination", self.destination)
        if "kind" not in filled and isinstance(key, str):
            filled["kind"] = self.kind or guess_kind(key).value
        if self.refresh is not None:
            filled.setdefault("refresh", self.refresh)
        if self.options and isinstance(own := filled.get("options") or {}, dict):
            filled["options"] = {**self.options, **own}
        return filled


def job_options(given: Sequence[str]) -> dict[str, Any]:
    """The options of `--option NAME=VALUE`. A value that is JSON is taken as that (`true`, `1280`, `"007"`), any other
    one as text.

    Raises `click.UsageError`.
    """
    options: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals or name in options:
            raise click.UsageError(f"--option {text}: must be NAME=VALUE, and each name once; such as caption=Hello")
        try:
            options[name] = json.loads(value, parse_constant=lambda word: word)
        except (ValueError, RecursionError):
            options[name] = value
    return options


def jobs_from_arguments(arguments: Sequence[str], stdin: TextIO | None) -> Iterator[JsonJob]:
    """The jobs named on the command line. `-` reads JSON lines from stdin; a single `*.jsonl` is a file of them.

    Raises `click.UsageError` if there is no such file. It would otherwise be taken for a key in the bucket.
    """
    if list(arguments) == ["-"]:
        if stdin is None:
            raise click.UsageError("standard input is closed; give a file of jobs, or pipe them in")
        yield from jobs_from_lines(stdin, "standard input")
    elif len(arguments) == 1 and arguments[0].endswith(".jsonl"):
        try:
            with Path(arguments[0]).open(encoding="utf-8") as lines:
                yield from jobs_from_lines(lines, arguments[0])
        except OSError as exc:
            raise click.UsageError(
                f"{arguments[0]} cannot be read: {exc.strerror}. For an object of that name, push "
                '{"r2_key": "…"} on standard input (-)'
            ) from None
    else:
        for key in arguments:
            yield {"r2_key": key}


def jobs_from_lines(lines: Iterable[str], name: str) -> Iterator[JsonJob]:
    """One job per line, as a JSON object; a JSON string is taken as a key. Blank lines are skipped.

    Raises `click.UsageError`, which names the line.
    """
    try:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _job_of(line, f"{name}, line {number}")
    except UnicodeDecodeError:
        raise click.UsageError(f"{name} is not UTF-8 text") from None


def _job_of(line: str, where: str) -> JsonJob:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise click.UsageError(f"{where}: is not JSON; write one JSON object per line, one per job") from None
    if isinstance(value, str):
        return {"r2_key": value}
    if not isinstance(value, dict):
        raise click.UsageError(f'{where}: must be an object such as {{"r2_key": "media/intro.mp4"}}')
    return value


async def jobs_from_listing(listing: AsyncIterator[ListedObject]) -> AsyncGenerator[JsonJob, None]:
    """A job per listed object. "Folders" (empty objects whose key ends in /) are left out."""
    async for listed in listing:
        if not (listed.bytes == 0 and listed.r2_key.endswith("/")):
            yield {"r2_key": listed.r2_key} | ({} if listed.bytes is None else {"bytes": listed.bytes})


def choose_destination(wanted: str | None, known: Iterable[str]) -> str | None:
    """The `--destination`, else the service's only one. None means that each job must name its own.

    Raises `SettingsError` if the service has no destination of that name.
    """
    names = sorted(known)
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted is not None and wanted not in names:
        raise SettingsError(f"--destination {wanted}: the service has: {', '.join(names) or 'none'}")
    return wanted
