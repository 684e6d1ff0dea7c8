"""Reads rows: the one place that judges whether this version understands one. Pure.

Every column is checked, whatever the database's own constraints say: a file may be damaged, and a newer version may
have changed them. A row that fails is raised as `Odd`. A code that this version does not list is read as it is
(`errors.code_of`).
"""

from __future__ import annotations

import math

from streamwarm.attempts import AttemptRecord, Holder, LaneAttempt, Outcome
from streamwarm.backlog.core.columns import (
    flag,
    integer,
    integer_or_none,
    json_object,
    object_or_none,
    text,
    text_or_none,
    time,
    time_or_none,
)
from streamwarm.backlog.core.deadlines import LATEST_S
from streamwarm.backlog.core.odd import Odd, Reading, Row
from streamwarm.backlog.core.stored_record import StoredRecord
from streamwarm.backlog.core.transitions import StoredJob
from streamwarm.errors import ErrorCode, JobError, code_of, is_listed
from streamwarm.model import NOWHERE, Barred, Event, Job, Kind, QueuedJob, State
from streamwarm.warm_record import RecordName, SourceState, WarmRecord


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
        to_check=flag(row, "to_check"),
        joined_at=time_or_none(row, "joined_at"),
        joined_etag=text_or_none(row, "joined_etag"),
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
        barred=barred_from(row),
    )


def barred_from(row: Row) -> Barred:
    value = object_or_none(row, "barred")
    if value is None:
        return NOWHERE
    lanes, until = value.get("lanes"), value.get("until")
    if not isinstance(lanes, list) or not all(isinstance(lane, str) for lane in lanes):
        raise Odd("barred has lanes that are not names")
    if until is not None and (type(until) not in {int, float} or not 0 <= until <= LATEST_S):
        raise Odd("barred has an end that is not a time")
    return Barred(frozenset(lanes), math.inf if until is None else until)


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
        barred_from(row),
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


def lane_attempt_from(row: Row) -> LaneAttempt:
    return LaneAttempt(
        job_id=text(row, "job_id"),
        destination=text(row, "destination"),
        kind=code_of(Kind, text(row, "kind")),
        ended_at=time(row, "ended_at"),
        outcome=code_of(Outcome, text(row, "outcome")),
        error=error_from(row),
    )


def stored_record_from(row: Row) -> StoredRecord:
    """A record, suspect or not."""
    text(row, "version")
    text_or_none(row, "warnings")
    record = WarmRecord(
        destination=text(row, "destination"),
        kind=code_of(Kind, text(row, "kind")),
        r2_key=text(row, "r2_key"),
        sha256=text_or_none(row, "sha256"),
        bytes=integer(row, "bytes"),
        result=json_object(row, "result"),
        job_id=text(row, "job_id"),
        warmed_at=time(row, "updated_at"),
        account=text(row, "account"),
        source_etag=text_or_none(row, "source_etag"),
        options=json_object(row, "options"),
        opened_at=time(row, "opened_at"),
        checked_at=time_or_none(row, "checked_at"),
        source_state=code_of(SourceState, text(row, "source_state")),
    )
    return StoredRecord(
        record, flag(row, "superseded"), time_or_none(row, "suspect_at"), time_or_none(row, "reported_at")
    )


def record_from(row: Row) -> WarmRecord:
    return stored_record_from(row).record


def record_name_from(row: Row) -> RecordName:
    kind = code_of(Kind, text(row, "kind"))
    return RecordName(text(row, "destination"), text(row, "account"), kind, text(row, "r2_key"))


def record_count_from(row: Row) -> tuple[tuple[str, SourceState], int]:
    state = code_of(SourceState, text(row, "source_state"))
    return (text(row, "destination"), state), integer(row, "records")


def media_from(row: Row) -> str:
    """The status of any row of media: what a survey reads. A row that is not `ready` has no record."""
    status = text(row, "status")
    if status == "ready" or row["result"] is not None:
        record_from(row)
    else:
        for column in ("destination", "kind", "version", "r2_key", "job_id"):
            text(row, column)
        time(row, "updated_at")
    return status


def error_from(row: Row) -> JobError | None:
    code, message = text_or_none(row, "error_code"), text_or_none(row, "error_message")
    permanent = row["error_permanent"] is not None and flag(row, "error_permanent")
    return None if code is None else JobError(code_of(ErrorCode, code), message or "", permanent)


JOBS = Reading("jobs", ("id",), stored_job_from)
QUEUED_JOBS = Reading("jobs", ("id",), queued_job_from, purpose="to be sent")
KEYS_TO_CHECK = Reading("jobs", ("id",), lambda row: text(row, "r2_key"), purpose="to be compared")
DUE_TIMES = Reading("jobs", ("id",), lambda row: time(row, "retry_at"), purpose="its retry_at")
EVENTS = Reading("events", ("seq",), event_from)
ATTEMPTS = Reading("attempts", ("job_id", "number"), attempt_from)
LANE_ATTEMPTS = Reading("attempts", ("job_id", "number"), lane_attempt_from, purpose="of a lane")
RECORDS = Reading("media_cache", ("id",), record_from)
STORED_RECORDS = Reading("media_cache", ("id",), stored_record_from)
RECORD_NAMES = Reading("media_cache", ("destination", "kind", "r2_key"), record_name_from, purpose="its name")
RECORD_COUNTS = Reading("record_counts", ("destination", "source_state"), record_count_from)
MEDIA = Reading("media_cache", ("id",), media_from)
