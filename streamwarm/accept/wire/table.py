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
from streamwarm.accept.wire.record_fields import Cursor, Etag, Reference, Words
from streamwarm.accept.wire.shapes import EitherShape, GivenRule, Shape
from streamwarm.backlog.store import Action, RefusalCode
from streamwarm.errors import ErrorCode
from streamwarm.model import MAX_KEY_BYTES, Kind, Refresh, State
from streamwarm.warm_record import MediaWarning, SourceState

MAX_JOBS = 10_000
"""Jobs in one push. Without a bound, a megabyte of `{}` would need half a million refusals in the reply."""

MAX_WATCHED = 100_000
"""Job ids that one connection may watch: as many as the default of `queue.max_pending`."""

DEFAULT_LIMIT = 100
MAX_LIMIT = 500
"""Jobs on one page: about half a megabyte. Records, too."""

MAX_IMPORTED = 1_000
"""Records in one import. It is one transaction, which writes of others wait for: some 50 ms."""

MAX_VERIFIED = 100
"""Records of which one `verify` asks. At Telegram's pace (`VERIFY_PER_S`) that takes five seconds."""

ID = Id(component="Id", required=True)
KIND = Word(words=Kind, code=RefusalCode.UNKNOWN_KIND, component="Kind", required=True)
STATE = Word(words=State, component="State")
DIGEST = Digest(component="Sha256")
NAME = Text()
KEY = Key(description=f"At most {MAX_KEY_BYTES} bytes of UTF-8.")
COUNT = Whole()
ETAG = Etag(description="The version of the object. Quotes and `W/` are removed.")
FILE_ID = Reference()
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
        "source_etag": ETAG,
        "refresh": Word(
            words=Refresh,
            default=Refresh.IF_CHANGED,
            description="What a record that exists means to this push: it answers if its object has not changed, "
            "always (`never` asked), or not at all (`always` warmed anew).",
        ),
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

FORGET = Shape(
    {**LOOKUP.fields, "file_id": evolve(FILE_ID, description="Drop the record only if it is still this one.")},
    rule=LOOKUP.rule,
)

INVALID = Shape(
    {
        **LOOKUP.fields,
        "file_id": evolve(FILE_ID, required=True, hint="; give the one that did not work"),
        "error": Words(description="What the destination said; for the log."),
    },
    rule=LOOKUP.rule,
)

INVALID_BODY = Shape({name: INVALID.fields[name] for name in ("file_id", "error")}, component="Invalid")
"""The body of the HTTP request: its path names the record."""

_PREFIX = evolve(KEY, description="What the keys begin with.")

RECORDS = Shape(
    {
        "destination": NAME,
        "kind": evolve(KIND, required=False),
        "prefix": _PREFIX,
        "source_state": Word(words=SourceState),
        "warning": Word(words=MediaWarning),
        "limit": Whole(minimum=1, maximum=MAX_LIMIT, default=DEFAULT_LIMIT),
        "after": Cursor(description="`next` of the page before"),
    }
)

IMPORTED_RECORD = Shape(
    {
        "destination": _DESTINATION,
        "kind": KIND,
        "r2_key": evolve(KEY, required=True),
        "file_id": FILE_ID,
        "file_unique_id": Reference(),
        "sha256": DIGEST,
        "bytes": COUNT,
        "source_etag": ETAG,
        "options": Options(),
        "warmed_at": Time(description="Now, if it is left out."),
        "account": evolve(NAME, description="If it is given, it must be the destination's own."),
        "result": Options(description="All that the destination answered, as `find` has it."),
    },
    what="the record",
    component="ImportedRecord",
)

IMPORT = Shape(
    {
        "records": Array(
            at_most=MAX_IMPORTED,
            of="records",
            remedy="; import more in further calls",
            required=True,
            description="Each is an ImportedRecord, checked on its own: a bad one is listed in `refused`.",
            examples=([{"destination": "mybot", "kind": "video", "r2_key": "media/intro.mp4", "file_id": "BAACAg"}],),
        ),
        "replace": Flag(default=False, nullable=False, description="Replace records of the service's own, too."),
    },
    component="Import",
)

VERIFY = Shape(
    {
        "destination": _DESTINATION,
        "prefix": _PREFIX,
        "limit": Whole(minimum=1, maximum=MAX_VERIFIED, default=MAX_VERIFIED),
        "after": Cursor(description="`next` of the page before"),
    },
    component="Verify",
)

REFRESH = Shape(
    {
        "destination": NAME,
        "prefix": _PREFIX,
        "warning": Word(words=MediaWarning),
        "always": Flag(default=False, nullable=False, description="Warm anew what has not changed, too."),
        "dry_run": Flag(default=False, nullable=False, description="Only count what would be done."),
    },
    component="Refresh",
)

LIST = Shape(
    {
        "state": STATE,
        "destination": NAME,
        "kind": evolve(KIND, required=False),
        "code": Word(words=ErrorCode, description="Of the job's error."),
        "prefix": _PREFIX,
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
    "records": RECORDS,
    "invalid": INVALID,
    "import": IMPORT,
    "verify": VERIFY,
    "refresh": REFRESH,
    "forget": FORGET,
    **{f"{action}_jobs": CHANGE_JOBS for action in Action},
    "watch": WATCH,
    "unwatch": NOTHING,
    "pause": PAUSE,
    "resume": RESUME,
    "stats": NOTHING,
}
"""The params of each method."""

COMPONENTS: Mapping[str, Field | Shape | EitherShape] = {
    one.component: one
    for one in (
        ID,
        KIND,
        STATE,
        DIGEST,
        NEW_JOB,
        PUSH,
        CHANGE_JOBS,
        PAUSE,
        RESUME,
        INVALID_BODY,
        IMPORT,
        IMPORTED_RECORD,
        VERIFY,
        REFRESH,
    )
}
"""The schemas that both documents define once and refer to by name."""
