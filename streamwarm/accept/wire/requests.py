"""A client's requests as values, and how each method's params are parsed (contract, section 5). Pure.

Both interfaces use this. `table.py` has the fields and their rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import field, frozen

from streamwarm.accept.wire.fields import FieldError
from streamwarm.accept.wire.record_requests import RECORD_PARSERS, RecordRequest
from streamwarm.accept.wire.table import (
    BY_ID,
    CHANGE_JOBS,
    DEFAULT_LIMIT,
    LIST,
    MAX_LIMIT,
    NOTHING,
    PAUSE,
    PUSH,
    RESUME,
    WATCH,
)
from streamwarm.backlog.store import Action, Filter
from streamwarm.errors import ErrorCode
from streamwarm.model import Job, Kind


@frozen
class PushJobs:
    """`jobs` are unchecked; each is checked on its own later. `watch`: send this client the accepted jobs' events."""

    jobs: Sequence[object]
    watch: bool = True


@frozen
class GetJob:
    id: str


@frozen
class GetAttempts:
    id: str


@frozen
class Sieve:
    """What no index of jobs has: it is looked for in what an index finds. None and an empty prefix mean any."""

    kind: Kind | None = None
    code: ErrorCode | None = None
    prefix: str = ""

    @property
    def is_open(self) -> bool:
        """Whether every job passes."""
        return self == ANY

    def passes(self, job: Job) -> bool:
        return (
            self.kind in {None, job.kind}
            and (self.code is None or (job.error is not None and job.error.code == self.code))
            and job.r2_key.startswith(self.prefix)
        )


ANY = Sieve()


@frozen
class ListJobs:
    which: Filter
    limit: int = DEFAULT_LIMIT
    after: int | None = None
    sieve: Sieve = ANY


@frozen
class CancelJob:
    id: str


@frozen
class RetryJob:
    id: str


@frozen
class WatchJobs:
    """`ids` None means every job. `since`: replay the events after this `seq`; None means from now on."""

    ids: tuple[str, ...] | None = None
    since: int | None = None


@frozen
class UnwatchJobs:
    pass


@frozen
class ChangeJobs:
    """Change the jobs in `ids`, or one page of the jobs that match `which`."""

    action: Action
    ids: tuple[str, ...] | None = None
    which: Filter = field(factory=Filter)
    limit: int = MAX_LIMIT
    after: int | None = None


@frozen
class PauseSending:
    """`destination` None means the whole service. `until` (Unix seconds) None means until it is resumed."""

    destination: str | None = None
    until: float | None = None


@frozen
class ResumeSending:
    destination: str | None = None


@frozen
class GetStats:
    pass


Request = (
    PushJobs
    | GetJob
    | GetAttempts
    | ListJobs
    | CancelJob
    | RetryJob
    | RecordRequest
    | ChangeJobs
    | WatchJobs
    | UnwatchJobs
    | PauseSending
    | ResumeSending
    | GetStats
)
"""A method with its checked params."""


def parse_request(method: str, params: object) -> Request:
    """The request for `method` and `params`. Raises `FieldError`, or `KeyError` if there is no such method."""
    if params == []:
        params = {}  # empty positional params mean no params
    if not isinstance(params, dict):
        raise FieldError("params must be an object of named params")
    return _PARSERS[method](params)


def parse_push(params: Mapping[str, Any]) -> PushJobs:
    return PushJobs(**PUSH.read(params))


def parse_list(params: Mapping[str, Any]) -> ListJobs:
    values = LIST.read(params)
    sieve = Sieve(values["kind"], values["code"], values["prefix"] or "")
    return ListJobs(Filter(values["state"], values["destination"]), values["limit"], values["after"], sieve)


def parse_change(action: Action, params: Mapping[str, Any]) -> ChangeJobs:
    values = CHANGE_JOBS.read(params)
    if "ids" in values:
        return ChangeJobs(action, tuple(values["ids"]))
    which = Filter(values["state"], values["destination"])
    return ChangeJobs(action, None, which, values["limit"], values["after"])


def parse_pause(params: Mapping[str, Any]) -> PauseSending:
    return PauseSending(**PAUSE.read(params))


def parse_resume(params: Mapping[str, Any]) -> ResumeSending:
    """Parse a resume. It takes effect at once, so `until` is checked and dropped."""
    return ResumeSending(RESUME.read(params)["destination"])


def _watch(params: Mapping[str, Any]) -> WatchJobs:
    values = WATCH.read(params)
    return WatchJobs(None if values["ids"] is None else tuple(values["ids"]), values["since"])


def _id(params: Mapping[str, Any]) -> str:
    job_id: str = BY_ID.read(params)["id"]
    return job_id


_PARSERS: Mapping[str, Callable[[Mapping[str, Any]], Request]] = {
    "push": parse_push,
    "get": lambda params: GetJob(_id(params)),
    "attempts": lambda params: GetAttempts(_id(params)),
    "list": parse_list,
    "cancel": lambda params: CancelJob(_id(params)),
    "retry": lambda params: RetryJob(_id(params)),
    **RECORD_PARSERS,
    **{f"{action}_jobs": partial(parse_change, action) for action in Action},
    "watch": _watch,
    "unwatch": lambda params: UnwatchJobs(**NOTHING.read(params)),
    "pause": parse_pause,
    "resume": parse_resume,
    "stats": lambda params: GetStats(**NOTHING.read(params)),
}

METHODS = tuple(_PARSERS)
