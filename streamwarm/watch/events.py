"""What happens inside streamwarm, as frozen observations. Each sink (`logs.py`, `metrics.py`) reads them its own way.

A stage gets one `Observer` passed in and calls it; it never knows who listens. An observation holds no secret.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from attrs import frozen

from streamwarm.errors import ErrorCode
from streamwarm.model import Kind


@frozen
class WorkersStarted:
    concurrency: int
    max_queue_size: int


@frozen
class PoolOpened:
    connections: int
    keepalive_s: float


@frozen
class JobAdded:
    """A push stored a new job."""

    id: str
    destination: str
    kind: Kind
    r2_key: str


@frozen
class JobCancelled:
    """A person, or a program, decided against a job."""

    id: str
    destination: str
    kind: Kind


@frozen
class QueueFull:
    """A push was refused because the backlog holds `max_pending` jobs already."""

    refused: int
    max_pending: int


@frozen
class QueueReordered:
    """Waiting changed the score of `jobs` jobs."""

    jobs: int


@frozen
class AttemptStarted:
    id: str
    destination: str
    kind: Kind
    r2_key: str
    attempt: int
    worker: int
    queue_wait_s: float


@frozen
class CacheHit:
    id: str
    r2_key: str
    bytes: int


@frozen
class CacheMissed:
    id: str
    r2_key: str


@frozen
class HandoffRefused:
    """The destination was to fetch the object by itself and did not; it was streamed instead."""

    id: str
    destination: str
    r2_key: str
    why: str


@frozen
class SourceReopened:
    """The source broke off at `offset` and was opened again there, under the same upload."""

    r2_key: str
    offset: int


class Direction(StrEnum):
    """Which way bytes moved; the values are labels of a metric."""

    SOURCE = "source"
    """From the bucket."""
    CACHE = "cache"
    """From the download cache."""
    DESTINATION = "destination"


@frozen
class BytesMoved:
    direction: Direction
    bytes: int


@frozen
class AttemptSucceeded:
    id: str
    destination: str
    kind: Kind
    r2_key: str
    attempt: int
    bytes: int
    transfer_s: float
    warm_s: float


@frozen
class AttemptFailed:
    """`final`: the job ends here; `outcome` is its state after (`failed`, `unknown`, `waiting`)."""

    id: str
    destination: str
    kind: Kind
    r2_key: str
    attempt: int
    code: ErrorCode
    message: str
    outcome: str
    final: bool


@frozen
class RetryScheduled:
    id: str
    destination: str
    code: ErrorCode
    attempt: int
    in_s: float


@frozen
class DestinationPaused:
    """The destination, or one of its lanes (by address), asked for silence (429) or cannot be sent to for another
    reason, which `code` tells; `for_s` is None where only a person ends it."""

    destination: str
    reason: str
    for_s: float | None
    code: ErrorCode
    lane: str | None = None


@frozen
class PausedByUser:
    """A person paused a destination, or the whole service (None), until then (Unix seconds) or until they resume it."""

    destination: str | None
    until: float | None


@frozen
class ResumedByUser:
    destination: str | None


@frozen
class SweepFailed:
    """What attempts that died with their process left at a destination stays there until the next start."""

    destination: str
    message: str


@frozen
class ChatMoved:
    """A warm-up chat has another id from now on (a group that was upgraded); the configuration may be corrected."""

    destination: str
    chat: str
    moved_to: str


@frozen
class LateResult:
    """A worker finished after its lease was lost; nothing was changed (fault 20)."""

    id: str
    destination: str
    outcome: str


@frozen
class BatchDone:
    """The backlog ran empty."""

    count: int
    ok: int
    failed: int
    seconds: float


@frozen
class SigningKeyDerived:
    date: str


@frozen
class ClientConnected:
    """A websocket client passed the handshake."""


@frozen
class ClientDisconnected:
    """A websocket client went; `reason` says why, where streamwarm closed it."""

    reason: str


@frozen
class ConnectionRefused:
    """A handshake was refused or malformed; the connection is closed, the service goes on."""

    reason: str


@frozen
class StoreTrouble:
    """The store failed; what depends on it waits and tries again."""

    where: str
    message: str


@frozen
class UnexpectedError:
    """A bug of ours: what was being done, and the exception. Logged with its (redacted) traceback."""

    where: str
    exception: BaseException


@frozen
class Lifecycle:
    """The service came up, drains or stops; `phase` says which."""

    phase: str
    detail: str = ""


@frozen
class ProcessLost:
    """A process of the service ended by itself (`status` as a shell tells it) and is started again in `retry_in_s`."""

    process: int
    pid: int
    status: int
    retry_in_s: float


Observation = (
    ProcessLost
    | WorkersStarted
    | PoolOpened
    | JobAdded
    | JobCancelled
    | QueueFull
    | QueueReordered
    | AttemptStarted
    | CacheHit
    | CacheMissed
    | HandoffRefused
    | SourceReopened
    | BytesMoved
    | AttemptSucceeded
    | AttemptFailed
    | RetryScheduled
    | DestinationPaused
    | PausedByUser
    | ResumedByUser
    | SweepFailed
    | ChatMoved
    | LateResult
    | BatchDone
    | SigningKeyDerived
    | ClientConnected
    | ClientDisconnected
    | ConnectionRefused
    | StoreTrouble
    | UnexpectedError
    | Lifecycle
)

Observer = Callable[[Observation], None]


def unobserved(_: Observation) -> None:
    """The observer of those who do not care."""
