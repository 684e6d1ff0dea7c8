"""Every field that a client may send: jobs, and the params of each method (contract, sections 4 and 5). Pure.

The rules are stated only here. `requests.py` and `jobs.py` validate against them, and `describe/` turns them into
OpenAPI and AsyncAPI. Rules that depend on the service's state (a configured destination, a time in the future) are
checked where that state is known.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from streamwarm.accept.wire.containers import Array, Options
from streamwarm.accept.wire.fields import Digest, Field, Flag, Id, Key, Text, Time, Whole, Word
from streamwarm.accept.wire.shapes import EitherShape, GivenRule, Shape
from streamwarm.backlog.store import Action, RefusalCode
from streamwarm.model import MAX_KEY_BYTES, Kind, State

MAX_JOBS = 10_000
"""Jobs in one push. Without a bound, a megabyte of `{}` would need half a million refusals in the reply."""

MAX_WATCHED = 100_000
"""Job ids that one connection may watch: as many as the default of `queue.max_pending`."""

DEFAULT_LIMIT = 100
MAX_LIMIT = 500
"""Jobs on one page: about half a megabyte."""

ID = Id(component="Id", required=True)
KIND = Word(words=Kind, code=RefusalCode.UNKNOWN_KIND, component="Kind", required=True)
STATE = Word(words=State, component="State")
DIGEST = Digest(component="Sha256")
NAME = Text()
KEY = Key(description=f"At most {MAX_KEY_BYTES} bytes of UTF-8.")
COUNT = Whole()
SEQ = Whole()
"""A number that the store gave to a job or an event."""

_DESTINATION = evolve(NAME, required=True)
_AFTER = evolve(SEQ, description="`next` of the page before")

NEW_JOB = Shape(
    {
        "destination": _DESTINATION,
        "kind": KIND,
        "r2_key": evolve(KEY, required=True),
        "sha256": DIGEST,
        "bytes": COUNT,
        "id": evolve(ID, required=False),
        "options": Options(),
    },
    what="the job",
    component="NewJob",
)

PUSH = Shape(
    {
        "jobs": Array(
            at_most=MAX_JOBS,
            of="jobs",
            remedy="; push more in further calls",
            required=True,
            hint='; push {"jobs": [{"destination": …, "kind": …, "r2_key": …}]}',
            description="Each is a NewJob, checked on its own: a bad one is listed in `rejected`.",
            examples=([{"destination": "mybot", "kind": "video", "r2_key": "media/intro.mp4"}],),
        ),
        "watch": Flag(default=True, nullable=False, description="Ignored over HTTP."),
    },
    component="Push",
)

NOTHING = Shape({})

BY_ID = Shape({"id": ID})

LOOKUP = Shape(
    {"destination": _DESTINATION, "kind": KIND, "sha256": DIGEST, "r2_key": KEY},
    rule=GivenRule(("sha256", "r2_key"), "name the object by sha256 or by r2_key, one of them", exactly_one=True),
)

LIST = Shape(
    {
        "state": STATE,
        "destination": NAME,
        "limit": Whole(minimum=1, maximum=MAX_LIMIT, default=DEFAULT_LIMIT),
        "after": _AFTER,
    }
)

CHANGE_JOBS = EitherShape(
    "ids",
    given=Shape({"ids": Array(items=ID, at_most=MAX_LIMIT, of="job ids", required=True)}, what="params with ids"),
    otherwise=Shape(
        {
            "state": STATE,
            "destination": NAME,
            "limit": Whole(minimum=1, maximum=MAX_LIMIT, default=MAX_LIMIT),
            "after": _AFTER,
        },
        # A forgotten parameter must not retry or cancel everything.
        rule=GivenRule(("state", "destination"), "name the jobs by ids, or by a state, a destination or both"),
        absent=("ids",),
    ),
    component="ChangeJobs",
)

WATCH = Shape(
    {
        "ids": Array(items=ID, at_most=MAX_WATCHED, of="job ids", remedy="; leave it out to watch every job"),
        "since": SEQ,
    }
)

PAUSE = Shape({"destination": NAME, "until": Time(description="In the future.")}, component="Pause")

RESUME = Shape({"destination": NAME, "until": Time(description="Ignored: the pause ends at once.")}, component="Resume")
"""By the contract, the params are those of `pause`."""

PARAMS: Mapping[str, Shape | EitherShape] = {
    "push": PUSH,
    "get": BY_ID,
    "attempts": BY_ID,
    "find": LOOKUP,
    "list": LIST,
    "cancel": BY_ID,
    "retry": BY_ID,
    "forget": LOOKUP,
    **{f"{action}_jobs": CHANGE_JOBS for action in Action},
    "watch": WATCH,
    "unwatch": NOTHING,
    "pause": PAUSE,
    "resume": RESUME,
    "stats": NOTHING,
}
"""The params of each method."""

COMPONENTS: Mapping[str, Field | Shape | EitherShape] = {
    one.component: one for one in (ID, KIND, STATE, DIGEST, NEW_JOB, PUSH, CHANGE_JOBS, PAUSE, RESUME)
}
"""The schemas that both documents define once and refer to by name."""
