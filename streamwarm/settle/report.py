"""What observers learn of a settled attempt. Pure."""

from __future__ import annotations

from typing import Any

from attrs import define

from streamwarm.backlog.settlement import Done, Failed, Release, Retry
from streamwarm.model import State
from streamwarm.settle.finished import Finished
from streamwarm.watch.observations import (
    AttemptFailed,
    AttemptSucceeded,
    BatchDone,
    Observation,
    RetryScheduled,
)


def observations_of(finished: Finished, now: float) -> list[Observation]:
    """Returns what to observe of an attempt whose outcome is committed; `now` is the store's time."""
    job, settlement = finished.claim.job, finished.settlement
    about: dict[str, Any] = {"id": job.id, "destination": job.destination, "kind": job.kind, "r2_key": job.r2_key}
    if isinstance(settlement, Done):
        return [
            AttemptSucceeded(
                **about,
                attempt=job.attempt,
                bytes=settlement.seen.bytes,
                transfer_s=finished.seconds,
                warm_s=max(0.0, now - job.created_at),
            )
        ]
    if isinstance(settlement, Release):
        return []  # released at shutdown: nothing has happened to the job
    code = settlement.error.code
    state = settlement.state if isinstance(settlement, Failed) else State.WAITING
    failed = AttemptFailed(
        **about,
        attempt=job.attempt,
        code=code,
        message=settlement.error.message,
        outcome=state.value,
        final=state is not State.WAITING,
    )
    if isinstance(settlement, Retry):
        return [failed, RetryScheduled(job.id, job.destination, code, job.attempt, max(0.0, settlement.retry_at - now))]
    return [failed]


@define
class Tally:
    """Counts what ended since the backlog was last empty."""

    ok: int = 0
    failed: int = 0
    started_at: float = float("inf")
    ended_at: float = 0.0

    @property
    def count(self) -> int:
        return self.ok + self.failed

    def add(self, finished: Finished, now: float) -> None:
        self.started_at = min(self.started_at, now - finished.seconds)
        self.ended_at = now
        if isinstance(finished.settlement, Done):
            self.ok += 1
        elif isinstance(finished.settlement, Failed):
            self.failed += 1

    def finish(self) -> BatchDone:
        """Returns the summary and starts counting afresh."""
        summary = BatchDone(self.count, self.ok, self.failed, max(0.0, self.ended_at - self.started_at))
        self.ok, self.failed, self.started_at = 0, 0, float("inf")
        return summary
