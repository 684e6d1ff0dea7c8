"""Observations as log lines: a tag such as `[R2][REOPEN]` as event text, with key=value fields (contract, section 7).

docs/operations.md explains each tag."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any, TextIO

import attrs
import structlog

from streamwarm.printable import printable
from streamwarm.redact import redact_value
from streamwarm.watch import observations, record_news, store_news

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

# Observation → (level, event text). Observations that are not here are figures for metrics only.
_LINES: dict[type, tuple[str, str]] = {
    observations.WorkersStarted: ("info", "[MEDIA][PREWARM][WORKER][START]"),
    observations.PoolOpened: ("info", "[R2][AGENT]"),
    observations.JobAdded: ("info", "[MEDIA][PREWARM][QUEUE][ADD]"),
    observations.JobCancelled: ("info", "[MEDIA][PREWARM][CANCELLED]"),
    observations.QueueFull: ("warning", "[MEDIA][PREWARM][QUEUE][FULL]"),
    observations.QueueReordered: ("info", "[MEDIA][PREWARM][QUEUE][REORDER]"),
    observations.AttemptStarted: ("info", "[MEDIA][PREWARM][START]"),
    observations.CacheHit: ("info", "[MEDIA][PREWARM][DOWNLOAD_CACHE_HIT]"),
    observations.HandoffRefused: ("info", "[MEDIA][PREWARM][HANDOFF][REFUSED]"),
    observations.SourceReopened: ("warning", "[R2][REOPEN]"),
    observations.AttemptSucceeded: ("info", "[MEDIA][PREWARM][OK]"),
    observations.AttemptFailed: ("error", "[MEDIA][PREWARM][ERR]"),
    record_news.JobsUnchanged: ("info", "[MEDIA][PREWARM][UNCHANGED]"),
    record_news.RecordsAdopted: ("info", "[RECORDS][ADOPTED]"),
    record_news.OtherAccounts: ("warning", "[RECORDS][OTHER_ACCOUNT]"),
    record_news.JobMissing: ("error", "[MEDIA][PREWARM][ERR]"),
    observations.RetryScheduled: ("warning", "[MEDIA][PREWARM][RETRY]"),
    observations.BatchDone: ("info", "[MEDIA][PREWARM][BATCH][DONE]"),
    observations.DestinationPaused: ("warning", "[DESTINATION][PAUSED]"),
    observations.PausedByUser: ("warning", "[PAUSE]"),
    observations.SourcePaused: ("error", "[R2][PAUSED]"),
    observations.SourceResumed: ("info", "[R2][RESUMED]"),
    observations.ResumedByUser: ("info", "[RESUME]"),
    observations.ChatMoved: ("warning", "[DESTINATION][MOVED]"),
    observations.SweepFailed: ("warning", "[DESTINATION][SWEEP]"),
    observations.LateResult: ("warning", "[MEDIA][PREWARM][LATE]"),
    observations.SigningKeyDerived: ("debug", "[R2][SIGNING_KEY]"),
    observations.ConnectionRefused: ("warning", "[WEBSOCKET][REFUSED]"),
    observations.ClientDisconnected: ("debug", "[WEBSOCKET][CLOSED]"),
    observations.StoreTrouble: ("error", "[STORE][TROUBLE]"),
    record_news.ReferenceReported: ("warning", "[MEDIA][RECORD][INVALID]"),
    record_news.ReferencesSuspect: ("error", "[DESTINATION][PAUSED]"),
    record_news.RecordsImported: ("info", "[MEDIA][RECORD][IMPORT]"),
    store_news.StoreRecovered: ("info", "[STORE][RECOVERED]"),
    store_news.OddRowFound: ("error", "[STORE][ODD_ROW]"),
    observations.UnexpectedError: ("error", "[UNEXPECTED]"),
    observations.Lifecycle: ("info", "[SERVICE]"),
    observations.ProcessLost: ("error", "[SERVICE][PROCESS_LOST]"),
}

_ENCODER = json.JSONEncoder(default=repr)
"""Made once. `json.dumps` would make one per line."""

EVENT_TEXTS = frozenset(text for _, text in _LINES.values())
"""All event texts. docs/operations.md explains each."""

Redact = Callable[[str], str]


def make_logger(*, form: str, level: str, redact: Redact, stream: TextIO | None = None) -> observations.Observer:
    """An observer that writes one line per observation to `stream` (default: standard error).

    `form` is `console`, `json` or `auto` (console on a terminal). `redact` is applied to every text.
    """
    stream = stream or sys.stderr
    console = form == "console" or (form == "auto" and stream.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), pad_event_to=40, exception_formatter=structlog.dev.plain_traceback
        )
        if console
        else structlog.processors.JSONRenderer(serializer=lambda fields, **_: _ENCODER.encode(fields))
    )
    logger = structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _redactor(redact),
            *([_for_terminals] if console else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
    ).bind()  # bind once: the proxy that `wrap_logger` returns would make a logger per line
    quiet_libraries()
    # Lines that the level hides are not formatted at all.
    lines = {kind: line for kind, line in _LINES.items() if _LEVELS[line[0]] >= _LEVELS[level]}

    def observe(observation: observations.Observation) -> None:
        line = lines.get(type(observation))
        if line is not None:
            # If the log cannot be written (disk full, pipe closed), this line is lost, and the service goes on.
            with suppress(OSError):
                getattr(logger, line[0])(line[1], **_fields(observation))

    return observe


def quiet_libraries() -> None:
    """httpx logs whole URLs at INFO, and a bot's token is in them. psycopg logs what is reported as `StoreTrouble`."""
    for name in ("httpx", "httpcore", "psycopg", "psycopg.pool", "trio-websocket"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _redactor(redact: Redact) -> structlog.typing.Processor:
    def process(_: Any, __: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        # No line should contain a secret. Searching all texts joined is faster, and finds what is in any of them.
        whole = "\n".join(map(str, fields.values()))
        if redact(whole) == whole:
            return fields
        return {key: redact_value(redact, value) for key, value in fields.items()}

    return process


def _for_terminals(_: Any, __: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape control characters. The lines of a traceback stay lines, behind a mark that no other line has."""
    lines = fields.pop("traceback", None)
    for name, value in fields.items():
        if isinstance(value, str):
            fields[name] = printable(value)
    if lines is not None:  # the renderer prints what has this name below the line
        fields["exception"] = "\n".join(f"  | {printable(line)}" for line in lines.rstrip().split("\n"))
    return fields


def _fields(observation: observations.Observation) -> dict[str, Any]:
    if isinstance(observation, observations.UnexpectedError):
        lines = traceback.format_exception(observation.exception)
        return {"where": observation.where, "traceback": "".join(lines)}
    values = attrs.asdict(observation, recurse=False)  # no observation contains another object
    return {
        key: round(value, 3) if isinstance(value, float) else value
        for key, value in values.items()
        if value is not None and value != ""
    }
