"""What happens inside streamwarm, as frozen observations. Each sink (`logs.py`, `metrics.py`, `history.py`) reads them.

A stage gets an `Observer` and does not know the sinks. No observation contains a secret. `_s` ends fields in seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from attrs import frozen

from streamwarm.errors import ErrorCode
from streamwarm.model import Kind


@frozen
class Observation:
    """Something that happened. Each kind is a subclass."""


@frozen
class WorkersStarted(Observation):
    concurrency: int
    max_queue_size: int


@frozen
class PoolOpened(Observation):
    connections: int
    keepalive_s: float


@frozen
class JobAdded(Observation):
    """A push stored a new job."""

    id: str
    destination: str
    kind: Kind
    r2_key: str


@frozen
class JobCancelled(Observation):
    """A client cancelled a job."""

    id: str
    destination: str
    kind: Kind


@frozen
class QueueFull(Observation):
    """A push was refused, whole or in part: the backlog has `max_pending` jobs. `refused` counts the push's jobs."""

    refused: int
    max_pending: int


@frozen
class QueueReordered(Observation):
    """The scores of `jobs` jobs changed because they have waited."""

    jobs: int


@frozen
class AttemptStarted(Observation):
    id: str
    destination: str
    kind: Kind
    r2_key: str
    attempt: int
    worker: int
    queue_wait_s: float


@frozen
class CacheHit(Observation):
    id: str
    r2_key: str
    bytes: int


@frozen
class CacheMissed(Observation):
    id: str
    r2_key: str


@frozen
class HandoffRefused(Observation):
    """The destination was asked to fetch the object by itself and did not. The object was streamed instead."""

    id: str
    destination: str
    r2_key: str
    why: str


@frozen
class SourceReopened(Observation):
    """The source broke off at `offset` (bytes) and was opened again there. The same upload goes on."""

    r2_key: str
    offset: int


class Direction(StrEnum):
    """From where or to where bytes moved: bucket, download cache, destination. The values are labels of a metric."""

    SOURCE, CACHE, DESTINATION = "source", "cache", "destination"


@frozen
class BytesMoved(Observation):
    direction: Direction
    bytes: int


@frozen
class AttemptSucceeded(Observation):
    id: str
    destination: str
    kind: Kind
    r2_key: str
    attempt: int
    bytes: int
    transfer_s: float
    warm_s: float


@frozen
class AttemptFailed(Observation):
    """An attempt failed. `outcome` is the job's state afterwards (`failed`, `unknown`, `waiting`). `final`: the job has
    ended."""

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
class RetryScheduled(Observation):
    id: str
    destination: str
    code: ErrorCode
    attempt: int
    in_s: float


@frozen
class DestinationPaused(Observation):
    """Nothing is sent to the destination, or its lane (an address), or of one `kind`, for `for_s` seconds.

    `code` is a 429, or why it cannot be sent to. If `for_s` is None, only a user ends it.
    """

    destination: str
    reason: str
    for_s: float | None
    code: ErrorCode
    lane: str | None = None
    kind: Kind | None = None


@frozen
class PausedByUser(Observation):
    """A user paused a destination, or the whole service (None). `until` is Unix seconds, None until it is resumed."""

    destination: str | None
    until: float | None


@frozen
class SourcePaused(Observation):
    """The bucket refuses or fails every request: nothing is read from it until a probe succeeds."""

    reason: str


@frozen
class SourceResumed(Observation):
    """A probe of the paused bucket has succeeded."""


@frozen
class ResumedByUser(Observation):
    """A user resumed a destination, or the whole service (None)."""

    destination: str | None


@frozen
class SweepFailed(Observation):
    """Leftovers of attempts that died with their process could not be removed from a destination. The next start tries
    again."""

    destination: str
    message: str


@frozen
class ChatMoved(Observation):
    """A warm-up chat has a new id, because its group was upgraded. The user may correct the configuration."""

    destination: str
    chat: str
    moved_to: str


@frozen
class LateResult(Observation):
    """A worker finished after its lease was lost. Nothing was changed (fault 20)."""

    id: str
    destination: str
    outcome: str


@frozen
class BatchDone(Observation):
    """The backlog is empty. The figures count the jobs since it was last empty."""

    count: int
    ok: int
    failed: int
    seconds: float


@frozen
class SigningKeyDerived(Observation):
    date: str


@frozen
class ClientConnected(Observation):
    """A websocket client passed the handshake."""


@frozen
class ClientDisconnected(Observation):
    """A websocket connection ended. `reason` says why if streamwarm closed it."""

    reason: str


@frozen
class ConnectionRefused(Observation):
    """A connection was closed because its handshake was refused or malformed, or it broke the server's bounds."""

    reason: str


@frozen
class StoreTrouble(Observation):
    """The store failed. The code that needs it waits and tries again. `where` names that code."""

    where: str
    message: str


@frozen
class UnexpectedError(Observation):
    """A bug of ours. `where` says what was being done. Logged with its traceback, redacted."""

    where: str
    exception: BaseException


@frozen
class Lifecycle(Observation):
    """The service is ready, drains or stops; `phase` says which."""

    phase: str
    detail: str = ""


@frozen
class ProcessLost(Observation):
    """A process of the service ended unexpectedly and is started again in `retry_in_s`. `status` is as in a shell."""

    process: int
    pid: int
    status: int
    retry_in_s: float


Observer = Callable[[Observation], None]


def unobserved(_: Observation) -> None:
    """An observer that ignores everything."""
