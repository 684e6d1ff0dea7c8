"""The service's terms as values: kinds, states, jobs, events, warm records.

Pure and immutable: no network, no store, no clock. Times are Unix seconds (float, UTC). Only `accept` turns them into
RFC 3339 text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from attrs import field, frozen

from streamwarm.errors import JobError

JsonObject = Mapping[str, Any]

MAX_KEY_BYTES = 1024
"""The longest object key, in bytes of UTF-8. R2 and S3 have the same limit.

Sources: https://developers.cloudflare.com/r2/platform/limits/ and S3's "Creating object key names".
"""


class Kind(StrEnum):
    """The kind of media Telegram stores a file as. It decides the method, the size limits and the `file_id`."""

    PHOTO = "photo"
    VIDEO = "video"
    AUDIO = "audio"
    DOCUMENT = "document"
    ANIMATION = "animation"
    VOICE = "voice"
    VIDEO_NOTE = "video_note"


class MediaWarning(StrEnum):
    """What went less than well with a job that is done: a result's `warnings`, a closed list (contract, section 5)."""

    NO_DIMENSIONS = "no_dimensions"
    """A video or an animation for which Telegram stored no width and height of its own: people see a square."""
    NO_THUMBNAIL = "no_thumbnail"
    """A thumbnail was sent, and Telegram dropped it."""
    INDEX_AT_END = "index_at_end"
    """The index of an MP4 stands at its end, so it plays only once all of it is loaded."""
    OTHER_KIND = "other_kind"
    """Telegram stored the file as another kind than the job asked for."""


class State(StrEnum):
    """The state of a job. `backlog/core/lifecycle.py` lists the allowed changes."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"


def bare_etag(written: str | None) -> str | None:
    """An ETag as records and jobs keep it: unquoted and without `W/`. None if it is absent or empty."""
    return (written or "").strip().removeprefix("W/").strip('"') or None


@frozen
class MediaKey:
    """Identifies the work of a job: `(destination, kind, reference)`. Jobs with equal keys are the same work.

    `reference` is `sha256:<64 hex>` if the job has a digest, else `key:<r2_key>`. One text column needs one index.
    """

    destination: str
    kind: Kind
    reference: str

    @classmethod
    def of(cls, destination: str, kind: Kind, *, sha256: str | None, r2_key: str) -> MediaKey:
        return cls(destination, kind, f"sha256:{sha256}" if sha256 else f"key:{r2_key}")


class Refresh(StrEnum):
    """What a record that exists means to a push (contract, section 4)."""

    NEVER = "never"
    IF_CHANGED = "if_changed"
    ALWAYS = "always"


class SourceState(StrEnum):
    """How a record stands to its object, as they were last compared."""

    CURRENT = "current"
    CHANGED = "changed"
    """The bucket has another version."""
    GONE = "gone"
    """The bucket has no object of this name."""


@frozen
class NewJob:
    """A pushed job after validation, before it is stored.

    `id` is the client's choice or None. `bytes` is the size the client expects, None if unknown. `sha256` is
    lower-case hex. `source_etag` is the version that the client saw, unquoted. `source_etag` and `refresh` are not
    part of what an `id` compares.
    """

    destination: str
    kind: Kind
    r2_key: str
    sha256: str | None = None
    bytes: int | None = None
    id: str | None = None
    options: JsonObject = field(factory=dict)
    source_etag: str | None = None
    refresh: Refresh = Refresh.IF_CHANGED

    @property
    def media_key(self) -> MediaKey:
        return MediaKey.of(self.destination, self.kind, sha256=self.sha256, r2_key=self.r2_key)


@frozen
class Barred:
    """The lanes that refused a job in words that nobody knows. It goes to others first, and to these not before
    `until` (Unix seconds; `inf`: never)."""

    lanes: frozenset[str]
    until: float


NOWHERE = Barred(frozenset(), -math.inf)
"""A job that no lane has refused."""


class Route(NamedTuple):
    """Which lanes may take a job. Jobs of one route may be handed out at the same times, so they queue together."""

    destination: str
    kind: Kind
    barred: Barred = NOWHERE


@frozen
class Job:
    """A stored job as users see it (`get`, `list`).

    `seq` is the order of arrival. `attempt` counts the claims since the job was last pushed or retried by a user, but
    neither released ones nor attempts that were not the job's fault (`Retry.counts`). `possible_duplicate` is set if an
    attempt's answer or worker was lost and the job was sent again, or if the job was cancelled while an attempt ran.
    `first_failed_at` is when its present trouble began: the first failed attempt that counts since the job was pushed,
    a user retried it, or it had gone untried for an hour. Clients get neither that nor `barred`.
    """

    seq: int
    id: str
    destination: str
    kind: Kind
    r2_key: str
    sha256: str | None
    bytes: int | None
    options: JsonObject
    state: State
    attempt: int
    created_at: float
    updated_at: float
    retry_at: float | None = None
    result: JsonObject | None = None
    error: JobError | None = None
    possible_duplicate: bool = False
    first_failed_at: float | None = None
    barred: Barred = NOWHERE

    @property
    def route(self) -> Route:
        return Route(self.destination, self.kind, self.barred)

    @property
    def media_key(self) -> MediaKey:
        return MediaKey.of(self.destination, self.kind, sha256=self.sha256, r2_key=self.r2_key)


@frozen
class QueuedJob:
    """The fields of a queued job that ordering needs. The dispatcher keeps these in memory, never whole jobs."""

    seq: int
    id: str
    destination: str
    kind: Kind
    bytes: int | None
    queued_at: float
    r2_key: str
    barred: Barred = NOWHERE

    @property
    def route(self) -> Route:
        return Route(self.destination, self.kind, self.barred)


@frozen
class Lease:
    """The right to finish one attempt. Every write that ends the attempt carries the token, so a worker that lost its
    lease changes nothing."""

    job_id: str
    token: str


@frozen
class Lane:
    """A destination's sub-queue with a budget of its own. For a bot, a lane is one of its warm-up chats.

    `name` is the configured name; the budget is kept under it. `address` is the current one: an upgraded group has a
    new id.
    """

    name: str
    address: str


@frozen
class Claim:
    """A job claimed for a worker, with its lease. `lane` is the one reserved for it, None if the destination has
    no lanes."""

    job: Job
    lease: Lease
    lane: Lane | None = None


class RecordName(NamedTuple):
    """What a look-up by key names: one object at one destination, as one kind, under one account."""

    destination: str
    account: str
    kind: Kind
    r2_key: str


class DigestName(NamedTuple):
    """What a look-up by digest names: the same bytes, whatever their object's name is."""

    destination: str
    account: str
    kind: Kind
    sha256: str


@frozen
class WarmRecord:
    """What a destination returned for one version of an object, under one account. A bot looks it up before it sends.

    `sha256` is the digest of the delivered bytes, None if the destination fetched the object by itself. `source_etag`
    is the ETag of that version, unquoted and without `W/`. `options` are the job's own. `opened_at` is when the object
    was opened, or last found to be the same, by the store's clock: of the records of one name, the latest answers by
    key. `checked_at` is when the object was last compared with the record, None if never.
    """

    destination: str
    kind: Kind
    r2_key: str
    sha256: str | None
    bytes: int
    result: JsonObject
    job_id: str
    warmed_at: float
    account: str = ""
    source_etag: str | None = None
    options: JsonObject = field(factory=dict)
    opened_at: float = 0.0
    checked_at: float | None = None
    source_state: SourceState = SourceState.CURRENT

    @property
    def name(self) -> RecordName:
        return RecordName(self.destination, self.account, self.kind, self.r2_key)

    @property
    def answer(self) -> JsonObject:
        """The result of a push that this record answers. Its ETag may have been learned later, by a comparison."""
        return {**self.result, "source_etag": self.source_etag} if "source_etag" in self.result else self.result

    @property
    def version(self) -> str:
        """What tells the versions of one object apart: the digest, or else the ETag. Records that know neither are
        one version."""
        if self.sha256 is not None:
            return f"sha256:{self.sha256}"
        return "" if self.source_etag is None else f"etag:{self.source_etag}"


@frozen
class SeenObject:
    """The last known metadata of an object, kept in `media_store`. `sha256` is lower-case hex, None if not read."""

    r2_key: str
    bytes: int
    etag: str | None
    content_type: str | None
    sha256: str | None


@frozen
class Event:
    """One change of a job's state. The store numbers events (`seq`) in the order of commit."""

    seq: int
    id: str
    state: State
    at: float
    attempt: int
    destination: str
    kind: Kind
    r2_key: str
    result: JsonObject | None = None
    error: JobError | None = None
    retry_at: float | None = None


@frozen
class OddRow:
    """A row that this version cannot read: its table, its key (`id='job-1'`), and why."""

    table: str
    key: str
    why: str


@frozen
class Progress:
    """The progress of a running attempt, in bytes. `total` is None until the object's size is known. Never stored."""

    id: str
    bytes_in: int
    bytes_out: int
    total: int | None
