"""What is known of attempts, as values. Pure and immutable. Times are Unix seconds."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen

from streamwarm.errors import JobError
from streamwarm.model import Kind


class Outcome(StrEnum):
    """How an attempt ended.

    `retry`: it failed and another follows. `released`: a shutdown interrupted it. `unknown`: every byte was sent, the
    answer was lost, and the policy is `hold`. `lost`: its process died, or its lease ran out.
    """

    DONE = "done"
    FAILED = "failed"
    RETRY = "retry"
    RELEASED = "released"
    UNKNOWN = "unknown"
    LOST = "lost"
    CANCELLED = "cancelled"


@frozen
class Holder:
    """The process that claims jobs: the name of its host, and its number among the processes of one service."""

    host: str
    process: int


LOCAL = Holder("localhost", 1)
"""The holder where nobody needs to know: a store that one process opens by itself, as tests and tools do."""


@frozen
class AttemptRecord:
    """What is kept of an attempt. None: not known.

    `number` counts the job's attempts, including those that did not count against `queue.max_attempts`. `worker` is its
    number in the process, `lane` the lane's address. `bytes` is what was sent to the destination. An attempt that still
    runs has no `ended_at` and no `outcome`. Of a lost or cancelled attempt, only its process is known.
    """

    job_id: str
    number: int
    started_at: float
    ended_at: float | None = None
    host: str | None = None
    process: int | None = None
    worker: int | None = None
    lane: str | None = None
    bytes: int | None = None
    outcome: Outcome | None = None
    error: JobError | None = None


@frozen
class LaneAttempt:
    """What became of an attempt at a lane. `ended_at` is Unix seconds."""

    job_id: str
    destination: str
    kind: Kind
    ended_at: float
    outcome: Outcome
    error: JobError | None
