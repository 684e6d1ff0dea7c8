"""What a client may ask for, and the params of each method into it (contract, section 5). Shared by both
interfaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import field, frozen

from streamwarm.accept.wire.fields import (
    FieldError,
    checked_id,
    id_field,
    integer_field,
    key_field,
    kind_field,
    refuse_unknown,
    sha256_field,
    state_field,
    text_field,
    time_field,
)
from streamwarm.backlog.store import Action, Filter
from streamwarm.model import Kind

MAX_JOBS = 10_000
"""Jobs in one push. A megabyte of `{}` would be half a million refusals to write back."""

MAX_WATCHED = 100_000
"""Job ids that one connection may follow by name: what `queue.max_pending` lets wait at once, by default."""

DEFAULT_LIMIT = 100
MAX_LIMIT = 500
"""Jobs on one page: about half a megabyte."""


@frozen
class Lookup:
    """A warm record by its destination, kind and exactly one of digest and key."""

    destination: str
    kind: Kind
    sha256: str | None = None
    r2_key: str | None = None


@frozen
class Push:
    """`jobs` are as they came: each is judged on its own. `watch`: send the accepted jobs' events here."""

    jobs: Sequence[object]
    watch: bool = True


@frozen
class Get:
    id: str


@frozen
class Find:
    lookup: Lookup


@frozen
class ListJobs:
    which: Filter
    limit: int = DEFAULT_LIMIT
    after: int | None = None


@frozen
class Cancel:
    id: str


@frozen
class Retry:
    id: str


@frozen
class Forget:
    lookup: Lookup


@frozen
class Watch:
    """`ids` None: every job. `since`: replay what came after it; None: from now on."""

    ids: tuple[str, ...] | None = None
    since: int | None = None


@frozen
class Unwatch:
    pass


@frozen
class ChangeJobs:
    """`ids`, or a page of those that match `which`."""

    action: Action
    ids: tuple[str, ...] | None = None
    which: Filter = field(factory=Filter)
    limit: int = MAX_LIMIT
    after: int | None = None


@frozen
class Pause:
    """`destination` None: the whole service. `until` (Unix seconds) None: until it is resumed."""

    destination: str | None = None
    until: float | None = None


@frozen
class Resume:
    destination: str | None = None


@frozen
class Stats:
    pass


Request = Push | Get | Find | ListJobs | Cancel | Retry | Forget | ChangeJobs | Watch | Unwatch | Pause | Resume | Stats


def parse_request(method: str, params: object) -> Request:
    """The request that `method` and `params` make. Raises `FieldError`, or `KeyError` for a method there
    is not."""
    if params == []:
        params = {}  # no params are none, whether they had names or places
    if not isinstance(params, dict):
        raise FieldError("params must be an object of named params")
    return _PARSERS[method](params)


def parse_push(params: Mapping[str, Any]) -> Push:
    refuse_unknown(params, ("jobs", "watch"), "params")
    jobs = params.get("jobs")
    if jobs is None:
        raise FieldError('jobs is missing; push {"jobs": [{"destination": …, "kind": …, "r2_key": …}]}')
    if not isinstance(jobs, list) or len(jobs) > MAX_JOBS:
        raise FieldError(f"jobs must be an array of at most {MAX_JOBS} jobs; push more in further calls")
    watch = params.get("watch", True)
    if not isinstance(watch, bool):
        raise FieldError("watch must be true or false")
    return Push(jobs, watch)


def _lookup(params: Mapping[str, Any]) -> Lookup:
    refuse_unknown(params, ("destination", "kind", "sha256", "r2_key"), "params")
    digest = sha256_field(params)
    key = None if params.get("r2_key") is None else key_field(params)
    if (digest is None) == (key is None):
        raise FieldError("name the object by sha256 or by r2_key, one of them")
    return Lookup(text_field(params, "destination"), kind_field(params), digest, key)


def parse_list(params: Mapping[str, Any]) -> ListJobs:
    refuse_unknown(params, ("state", "destination", "limit", "after"), "params")
    which = Filter(state_field(params), _optional_destination(params))
    return ListJobs(which, _limit(params) or DEFAULT_LIMIT, integer_field(params, "after"))


def parse_change(action: Action, params: Mapping[str, Any]) -> ChangeJobs:
    """Without `ids` a state or a destination must be named: nobody retries or cancels everything by leaving a word
    out."""
    refuse_unknown(params, ("ids", "state", "destination", "limit", "after"), "params")
    ids, which = params.get("ids"), Filter(state_field(params), _optional_destination(params))
    if (ids is None) == (which == Filter()):
        raise FieldError("name the jobs by ids, or by a state, a destination or both")
    if ids is None:
        return ChangeJobs(action, None, which, _limit(params) or MAX_LIMIT, integer_field(params, "after"))
    refuse_unknown(params, ("ids",), "params with ids")
    if not isinstance(ids, list) or len(ids) > MAX_LIMIT:
        raise FieldError(f"ids must be an array of at most {MAX_LIMIT} job ids")
    return ChangeJobs(action, tuple(checked_id(item) for item in ids))


def _limit(params: Mapping[str, Any]) -> int | None:
    limit = integer_field(params, "limit", at_most=MAX_LIMIT)
    if limit == 0:
        raise FieldError(f"limit must be a whole number from 1 to {MAX_LIMIT}")
    return limit


def _only_id(params: Mapping[str, Any]) -> str:
    refuse_unknown(params, ("id",), "params")
    return id_field(params)


def _watch(params: Mapping[str, Any]) -> Watch:
    refuse_unknown(params, ("ids", "since"), "params")
    since = integer_field(params, "since")
    ids = params.get("ids")
    if ids is None:
        return Watch(None, since)
    if not isinstance(ids, list) or len(ids) > MAX_WATCHED:
        raise FieldError(f"ids must be an array of at most {MAX_WATCHED} job ids; leave it out to watch every job")
    return Watch(tuple(checked_id(item) for item in ids), since)


def _unwatch(params: Mapping[str, Any]) -> Unwatch:
    refuse_unknown(params, (), "params")
    return Unwatch()


def parse_pause(params: Mapping[str, Any]) -> Pause:
    refuse_unknown(params, ("destination", "until"), "params")
    return Pause(_optional_destination(params), time_field(params, "until"))


def parse_resume(params: Mapping[str, Any]) -> Resume:
    """The contract gives it the params of `pause`; a time changes nothing, for there is nothing to wait for."""
    return Resume(parse_pause(params).destination)


def _optional_destination(params: Mapping[str, Any]) -> str | None:
    return None if params.get("destination") is None else text_field(params, "destination")


def _stats(params: Mapping[str, Any]) -> Stats:
    refuse_unknown(params, (), "params")
    return Stats()


_PARSERS: Mapping[str, Callable[[Mapping[str, Any]], Request]] = {
    "push": parse_push,
    "get": lambda params: Get(_only_id(params)),
    "find": lambda params: Find(_lookup(params)),
    "list": parse_list,
    "cancel": lambda params: Cancel(_only_id(params)),
    "retry": lambda params: Retry(_only_id(params)),
    "forget": lambda params: Forget(_lookup(params)),
    **{f"{action}_jobs": partial(parse_change, action) for action in Action},
    "watch": _watch,
    "unwatch": _unwatch,
    "pause": parse_pause,
    "resume": parse_resume,
    "stats": _stats,
}

METHODS = tuple(_PARSERS)
