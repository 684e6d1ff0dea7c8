"""Reads rows: the one place that judges whether this version understands one. Pure.

Every column is checked, whatever the database's own constraints say: a file may be damaged, and a newer version may
have changed them. A row that fails is raised as `Odd`. A code that this version does not list is read as it is
(`errors.code_of`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from streamwarm.backlog.core.deadlines import LATEST_S
from streamwarm.backlog.core.odd import Odd, Reading, Row
from streamwarm.backlog.core.transitions import StoredJob
from streamwarm.errors import ErrorCode, JobError, code_of, is_listed
from streamwarm.model import (
    AttemptRecord,
    Event,
    Holder,
    Job,
    JsonObject,
    Kind,
    MediaKey,
    Outcome,
    QueuedJob,
    State,
    WarmRecord,
)

_DEEPEST = 64
"""Levels of nesting in a stored object. Ours have few (`accept.wire.json_text`); more could not be written again."""


def stored_job_from(row: Row) -> StoredJob:
    integer(row, "base_score", least=-math.inf)
    text(row, "media_reference")
    host, process = text_or_none(row, "host"), integer_or_none(row, "process")
    state = code_of(State, text(row, "state"))
    token, expires_at = text_or_none(row, "lease_token"), time_or_none(row, "lease_expires_at")
    if state is State.RUNNING and (token is None or expires_at is None):
        raise Odd("a running job has no lease")
    return StoredJob(
        _job_from(row, state),
        time(row, "queued_at"),
        token,
        expires_at,
        departed=flag(row, "departed"),
        tries=integer(row, "tries"),
        holder=None if host is None or process is None else Holder(host, process),
    )


def _job_from(row: Row, state: State) -> Job:
    retry_at, result = time_or_none(row, "retry_at"), object_or_none(row, "result")
    if state is State.WAITING and retry_at is None:
        raise Odd("a waiting job has no retry_at")
    if state is State.DONE and result is None:
        raise Odd("a job is done and has no result")
    return Job(
        seq=integer(row, "seq"),
        id=text(row, "id"),
        destination=text(row, "destination"),
        kind=code_of(Kind, text(row, "kind")),
        r2_key=text(row, "r2_key"),
        sha256=text_or_none(row, "sha256"),
        bytes=integer_or_none(row, "bytes"),
        options=json_object(row, "options"),
        state=state,
        attempt=integer(row, "attempt"),
        created_at=time(row, "created_at"),
        updated_at=time(row, "updated_at"),
        retry_at=retry_at,
        result=result,
        error=error_from(row),
        possible_duplicate=flag(row, "possible_duplicate"),
        first_failed_at=time_or_none(row, "first_failed_at"),
    )


def queued_job_from(row: Row) -> QueuedJob:
    """A job that may be handed out. One whose kind is not listed here is left to a newer version."""
    kind = code_of(Kind, text(row, "kind"))
    if not is_listed(kind):
        raise Odd(f"its kind {ascii(str(kind))[:40]} is unknown to this version")
    return QueuedJob(
        integer(row, "seq"),
        text(row, "id"),
        text(row, "destination"),
        kind,
        integer_or_none(row, "bytes"),
        time(row, "queued_at"),
        text(row, "r2_key"),
    )


def event_from(row: Row) -> Event:
    return Event(
        seq=integer(row, "seq"),
        id=text(row, "job_id"),
        state=code_of(State, text(row, "state")),
        at=time(row, "at"),
        attempt=integer(row, "attempt"),
        destination=text(row, "destination"),
        kind=code_of(Kind, text(row, "kind")),
        r2_key=text(row, "r2_key"),
        result=object_or_none(row, "result"),
        error=error_from(row),
        retry_at=time_or_none(row, "retry_at"),
    )


def attempt_from(row: Row) -> AttemptRecord:
    return AttemptRecord(
        job_id=text(row, "job_id"),
        number=integer(row, "number"),
        started_at=time(row, "started_at"),
        ended_at=time(row, "ended_at"),
        host=text_or_none(row, "host"),
        process=integer_or_none(row, "process"),
        worker=integer_or_none(row, "worker"),
        lane=text_or_none(row, "lane"),
        bytes=integer_or_none(row, "bytes"),
        outcome=code_of(Outcome, text(row, "outcome")),
        error=error_from(row),
    )


def record_from(row: Row) -> WarmRecord:
    """The warm record of a row that is `ready`."""
    text(row, "media_reference")
    return WarmRecord(
        destination=text(row, "destination"),
        kind=code_of(Kind, text(row, "kind")),
        r2_key=text(row, "r2_key"),
        sha256=text_or_none(row, "sha256"),
        bytes=integer(row, "bytes"),
        result=json_object(row, "result"),
        job_id=text(row, "job_id"),
        warmed_at=time(row, "updated_at"),
    )


def _media_key_from(row: Row) -> MediaKey:
    return MediaKey(text(row, "destination"), code_of(Kind, text(row, "kind")), text(row, "media_reference"))


def newest_record(found: Iterable[tuple[int, WarmRecord]]) -> WarmRecord | None:
    """The record that was warmed last, or None if there is none. `found` has each with its row's id."""
    ordered = ((-record.warmed_at, row_id, record) for row_id, record in found)
    return min(ordered, key=lambda one: one[:2], default=(0, 0, None))[2]


def media_from(row: Row) -> str:
    """The status of any row of media: what a survey reads. A row that is not `ready` has no record."""
    status = text(row, "status")
    if status == "ready":
        record_from(row)
    else:
        for column in ("destination", "kind", "media_reference", "r2_key", "job_id"):
            text(row, column)
        time(row, "updated_at")
    return status


def error_from(row: Row) -> JobError | None:
    code, message = text_or_none(row, "error_code"), text_or_none(row, "error_message")
    permanent = row["error_permanent"] is not None and flag(row, "error_permanent")
    return None if code is None else JobError(code_of(ErrorCode, code), message or "", permanent)


JOBS = Reading("jobs", ("id",), stored_job_from)
QUEUED_JOBS = Reading("jobs", ("id",), queued_job_from, purpose="to be sent")
DUE_TIMES = Reading("jobs", ("id",), lambda row: time(row, "retry_at"), purpose="its retry_at")
EVENTS = Reading("events", ("seq",), event_from)
ATTEMPTS = Reading("attempts", ("job_id", "number"), attempt_from)
RECORDS = Reading("media_cache", ("id",), record_from)
KEYED_RECORDS = Reading(
    "media_cache",
    ("id",),
    lambda row: (_media_key_from(row), record_from(row)),
)
NEWEST = Reading("media_cache", ("id",), lambda row: (integer(row, "id"), record_from(row)))
MEDIA = Reading("media_cache", ("id",), media_from)


def text(row: Row, column: str) -> str:
    value = row[column]
    if type(value) is not str:
        raise Odd(f"{column} is {_named(value)}, not text")
    if not value.isascii():
        _check_utf8(value, column)
    return value


def text_or_none(row: Row, column: str) -> str | None:
    return None if row[column] is None else text(row, column)


def integer(row: Row, column: str, least: float = 0) -> int:
    value = row[column]
    if type(value) is not int:
        raise Odd(f"{column} is {_named(value)}, not a whole number")
    if value < least:
        raise Odd(f"{column} is negative")
    return value


def integer_or_none(row: Row, column: str) -> int | None:
    return None if row[column] is None else integer(row, column)


def time(row: Row, column: str) -> float:
    """Unix seconds, between the years 1970 and 9999."""
    value = row[column]
    if type(value) is not float and type(value) is not int:
        raise Odd(f"{column} is {_named(value)}, not a time")
    if not 0 <= value <= LATEST_S:  # NaN is neither
        raise Odd(f"{column} is not a time between 1970 and 9999")
    return value


def time_or_none(row: Row, column: str) -> float | None:
    return None if row[column] is None else time(row, column)


def flag(row: Row, column: str) -> bool:
    value = row[column]
    if value is not True and value is not False and (type(value) is not int or value not in (0, 1)):
        raise Odd(f"{column} is neither true nor false")
    return bool(value)


def json_object(row: Row, column: str) -> JsonObject:
    return parse_object(text(row, column), column)


def object_or_none(row: Row, column: str) -> JsonObject | None:
    return None if row[column] is None else json_object(row, column)


def parse_object(written: str, column: str) -> JsonObject:
    """The JSON object in this text. Members that this version does not know are kept."""
    try:
        value = _DECODER.decode(written)
    except (ValueError, RecursionError):
        raise Odd(f"{column} has damaged JSON") from None
    if not isinstance(value, Mapping):
        raise Odd(f"{column} has JSON that is not an object")
    if written.count("[") + written.count("{") > _DEEPEST and _depth(value) > _DEEPEST:
        raise Odd(f"{column} has JSON that is nested too deep")
    return value


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(digits)
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level and depth <= _DEEPEST:
        depth += 1
        containers = (item for item in level if isinstance(item, dict | list))
        level = [member for item in containers for member in (item.values() if isinstance(item, dict) else item)]
    return depth


def _check_utf8(value: str, column: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Odd(f"{column} is not UTF-8") from None


def _named(value: object) -> str:
    if value is None:
        return "empty"
    return {bytes: "binary", str: "text", float: "a fraction", int: "a number"}.get(type(value), type(value).__name__)
