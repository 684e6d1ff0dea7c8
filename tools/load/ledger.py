"""What became of every job, from the replies and notifications that came in. No I/O; times are the run's clock, in
seconds.

Several pushes may lead to one job (they name the same media), so records are kept by push, and notifications go to
every record of their job. A fast job's end can be read before the reply that names it: ends are kept by id.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from attrs import define, field

from load.plan import PlannedJob

RECENT = 1_000
"""Latencies of done jobs that a live view shows."""

ENDED = frozenset({"done", "failed", "unknown", "cancelled"})


@define(eq=False)
class Record:
    """One push and what came of it. `state` is None until it ends; `rejected` where the service did not take it.
    `attempts` are those that count, `sends` all that began."""

    job: PlannedJob
    intended_at: float
    pushed_at: float
    id: str | None = None
    acknowledged_at: float | None = None
    running_at: float | None = None
    ended_at: float | None = None
    state: str | None = None
    error_code: str | None = None
    error_message: str = ""
    result: Mapping[str, Any] = field(factory=dict)
    duplicate: bool = False
    attempts: int = 0
    sends: int = 0

    @property
    def as_expected(self) -> bool:
        if self.job.expect == "done":
            return self.state == "done"
        return self.state == "failed" and self.error_code == self.job.expect

    @property
    def push_to_end_s(self) -> float | None:
        """From the intended arrival, so that a push which had to wait for its turn counts its waiting."""
        return None if self.ended_at is None else self.ended_at - self.intended_at


@define(eq=False)
class _Known:
    """What was told of a job so far, under whichever connection."""

    running_at: float | None = None
    attempts: int = 0
    began: set[str] = field(factory=set)
    ended_at: float | None = None
    end: Mapping[str, Any] = field(factory=dict)


@define(eq=False)
class Ledger:
    """All pushes of a run. `on_end` is called once for every record when it ends.

    `wall_offset_s` turns the service's own times (Unix seconds) into the run's clock, where both are on one machine;
    else a job runs from when we heard of it, which is late by the notification's way.
    """

    clock: Callable[[], float]
    wall_offset_s: float | None = None
    on_end: Callable[[Record], None] = lambda _: None
    records: list[Record] = field(factory=list)
    ended: int = 0
    surprises: int = 0
    recent_s: deque[float] = field(factory=lambda: deque(maxlen=RECENT))
    _open: dict[str, list[Record]] = field(factory=dict)
    _known: dict[str, _Known] = field(factory=dict)

    @property
    def in_flight(self) -> int:
        return len(self.records) - self.ended

    def pushed(self, job: PlannedJob, *, intended_at: float) -> Record:
        """A push goes out now."""
        record = Record(job, intended_at, self.clock())
        self.records.append(record)
        return record

    def answered(self, record: Record, reply: Mapping[str, Any]) -> None:
        """The reply to a push of this one job."""
        record.acknowledged_at = self.clock()
        if reply["rejected"]:
            refusal = reply["rejected"][0]
            self._end(record, "rejected", {"error": refusal}, record.acknowledged_at)
            return
        taken = reply["accepted"][0]
        record.id, record.duplicate = taken["id"], taken["duplicate"]
        known = self._known.setdefault(taken["id"], _Known())
        if taken["state"] in ENDED:
            self._end(record, taken["state"], taken, record.acknowledged_at)
        elif known.ended_at is not None:
            self._copy(record, known)
            self._end(record, known.end["state"], known.end, max(known.ended_at, record.pushed_at))
        else:
            self._open.setdefault(taken["id"], []).append(record)

    def refused(self, record: Record, code: str, message: str) -> None:
        """The push as a whole was refused."""
        self._end(record, "rejected", {"error": {"code": code, "message": message}}, self.clock())

    def notified(self, event: Mapping[str, Any]) -> None:
        """An `event` notification; of a job that two clients watch it may come twice."""
        known = self._known.setdefault(event["id"], _Known())
        if event["state"] == "running":
            known.running_at = known.running_at or self._at(event)
            known.attempts = max(known.attempts, event["attempt"])
            known.began.add(event.get("at", ""))
        if event["state"] in ENDED and known.ended_at is None:
            known.ended_at, known.end = self.clock(), event
            for record in self._open.pop(event["id"], ()):
                self._copy(record, known)
                self._end(record, event["state"], event, known.ended_at)

    def _at(self, event: Mapping[str, Any]) -> float:
        if self.wall_offset_s is None:
            return self.clock()
        return datetime.fromisoformat(event["at"]).timestamp() + self.wall_offset_s

    def _copy(self, record: Record, known: _Known) -> None:
        record.running_at, record.attempts, record.sends = known.running_at, known.attempts, len(known.began)

    def _end(self, record: Record, state: str, told: Mapping[str, Any], at: float) -> None:
        error = told.get("error") or {}
        record.state, record.ended_at = state, at
        record.result = told.get("result") or {}
        record.error_code, record.error_message = error.get("code"), error.get("message", "")
        self.ended += 1
        self.surprises += not record.as_expected
        if state == "done" and not record.duplicate:
            self.recent_s.append(at - record.intended_at)
        self.on_end(record)
