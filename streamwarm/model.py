"""The words of the contract as values: kinds, states, jobs, events, warm records.

Everything here is immutable and knows nothing of networks, stores or clocks. Times are Unix seconds (float, UTC);
they become RFC 3339 text only at the edges (`accept`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from attrs import field, frozen

from streamwarm.errors import JobError

JsonObject = Mapping[str, Any]

MAX_KEY_BYTES = 1024
"""The longest object name in UTF-8, for R2 and S3 alike.

Sources: https://developers.cloudflare.com/r2/platform/limits/ and S3's "Creating object key names".
"""


class Kind(StrEnum):
    """What Telegram takes a file for; it decides the method, the limits and which `file_id` comes back."""

    PHOTO = "photo"
    VIDEO = "video"
    AUDIO = "audio"
    DOCUMENT = "document"
    ANIMATION = "animation"
    VOICE = "voice"
    VIDEO_NOTE = "video_note"


class State(StrEnum):
    """Where a job stands; `lifecycle.py` has the table of changes."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"


@frozen
class MediaKey:
    """What makes two jobs the same work: `(destination, kind, reference)`.

    `reference` is `sha256:<64 hex>` where the job names a digest, else `key:<r2_key>`: one text column, one index.
    """

    destination: str
    kind: Kind
    reference: str

    @classmethod
    def of(cls, destination: str, kind: Kind, *, sha256: str | None, r2_key: str) -> MediaKey:
        return cls(destination, kind, f"sha256:{sha256}" if sha256 else f"key:{r2_key}")


@frozen
class NewJob:
    """A job as pushed and validated, before the store has seen it.

    `id` is the client's own or None; `bytes` is the client's hint, None if unknown; `sha256` is lower-case hex.
    """

    destination: str
    kind: Kind
    r2_key: str
    sha256: str | None = None
    bytes: int | None = None
    id: str | None = None
    options: JsonObject = field(factory=dict)

    @property
    def media_key(self) -> MediaKey:
        return MediaKey.of(self.destination, self.kind, sha256=self.sha256, r2_key=self.r2_key)


@frozen
class Job:
    """A stored job as users see it (`get`, `list`).

    `seq` is the order of arrival. `attempt` counts claims, less those given back. `possible_duplicate` is set once an
    attempt's answer was lost, or its worker was, and the job was sent again.
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

    @property
    def media_key(self) -> MediaKey:
        return MediaKey.of(self.destination, self.kind, sha256=self.sha256, r2_key=self.r2_key)


@frozen
class QueuedJob:
    """As much of a queued job as ordering needs; the dispatcher holds these, never whole jobs."""

    seq: int
    id: str
    destination: str
    kind: Kind
    bytes: int | None
    queued_at: float


@frozen
class Lease:
    """The right to finish one attempt: every write that ends it carries the token (decision 6)."""

    job_id: str
    token: str


@frozen
class Lane:
    """Where inside its destination a job is sent to: for a bot, one of its warm-up chats.

    `name` is the lane as configured, and what its budget is kept by; `address` is what it is reached by now (a group
    that was upgraded has another id).
    """

    name: str
    address: str


@frozen
class Claim:
    """A job that a worker holds, with the lease it holds it by, and the lane that was reserved for it, if its
    destination has any."""

    job: Job
    lease: Lease
    lane: Lane | None = None


@frozen
class WarmRecord:
    """What a bot asks for before it sends: the reference that a destination answered with.

    `sha256` is that of the bytes that were delivered; None where the destination fetched them by itself.
    """

    destination: str
    kind: Kind
    r2_key: str
    sha256: str | None
    bytes: int
    result: JsonObject
    job_id: str
    warmed_at: float


@frozen
class SeenObject:
    """What was last seen of an object, kept in `media_store`. `sha256` is lower-case hex, None where none was read."""

    r2_key: str
    bytes: int
    etag: str | None
    content_type: str | None
    sha256: str | None


@frozen
class Event:
    """One change of state, numbered by the store in the order of commit."""

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
class Progress:
    """How far an attempt has come. `total` is None until the object's size is known. Never stored."""

    id: str
    bytes_in: int
    bytes_out: int
    total: int | None
