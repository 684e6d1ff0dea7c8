"""The processes that are one service: what each member is, what it reports, and what member 1 knows of the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import trio
from attrs import asdict, define, field, frozen

from streamwarm.model import Progress
from streamwarm.stream.running import Running, StreamView
from streamwarm.watch.observations import Lifecycle, Observation, UnexpectedError, WorkersStarted

FRONT = 1
"""The member that serves clients."""

SUPERVISOR = 0
"""The supervisor's number in reports. It is not a member."""

REPORT_EVERY_S = 0.5
"""Seconds between two reports. Clients get progress once a second, so a report is at most half as old."""

UNREPORTED_MAX = 10_000
"""Observations that may wait for the next report. Of more, the oldest are dropped and `/metrics` counts too few."""

NOT_REPORTED = (Lifecycle, UnexpectedError, WorkersStarted)
"""Observations that stay with their member: it logs them itself, and no metric sums them up."""


@frozen
class Role:
    """A process is member `number` of `of`. `sockets` are the listening sockets that it serves: file descriptors, by
    the listener's name."""

    number: int = FRONT
    of: int = 1
    sockets: Mapping[str, Sequence[int]] = field(factory=dict)

    @property
    def serves(self) -> bool:
        return self.number == FRONT


@frozen
class Report:
    """What a member did since its last report, and what it does now."""

    number: int
    observations: Sequence[Observation] = ()
    streams: Sequence[StreamView] = ()
    progress: Mapping[str, Progress] = field(factory=dict)
    pool: Mapping[str, int] = field(factory=dict)
    cache: Mapping[str, int] = field(factory=dict)


@frozen
class LostMember:
    """Sent to member 1 when another member died."""

    number: int


@frozen
class Membership:
    """A member's role and how it reaches the others. Member 1 receives `reports`; the others send theirs with
    `report`."""

    role: Role = Role()
    reports: trio.MemoryReceiveChannel[Report | LostMember] | None = None
    report: Callable[[Report], Awaitable[None]] | None = None


ALONE = Membership()
"""A service of one process."""


@define
class Members:
    """The workers of all members: this process's own as they are now, the others' by their last report."""

    role: Role
    running: Running
    workers_each: int
    _reports: dict[int, Report] = field(factory=dict)
    _peak: int = 0

    def take(self, report: Report | LostMember) -> None:
        """Keep a member's report instead of its last one, or drop what a lost member reported."""
        if isinstance(report, LostMember):
            self._reports.pop(report.number, None)  # what it did has ended with it
            return
        self._reports[report.number] = report
        self._peak = max(self._peak, self.busy)

    @property
    def size(self) -> int:
        return self.workers_each * self.role.of

    @property
    def busy(self) -> int:
        return self.running.busy + sum(len(report.streams) for report in self._reports.values())

    @property
    def busy_peak(self) -> int:
        return max(self._peak, self.running.busy_peak)

    @property
    def progress(self) -> Mapping[str, Progress]:
        """How far each running attempt has come, by job."""
        others = {job_id: one for report in self._reports.values() for job_id, one in report.progress.items()}
        return {**others, **self.running.progress}

    def streams(self) -> list[dict[str, object]]:
        """What each busy worker streams, as `stats` shows it. With several processes, each stream names its own."""
        if self.role.of == 1:
            return [asdict(stream) for stream in self.running.streams()]
        own = [{"process": self.role.number, **asdict(stream)} for stream in self.running.streams()]
        others = sorted(self._reports.items())
        return own + [{"process": number, **asdict(stream)} for number, report in others for stream in report.streams]

    def pool(self, own: Mapping[str, int]) -> dict[str, int]:
        """The R2 pool's connections by state: `own` and the other members'."""
        return _sum([own, *(report.pool for report in self._reports.values())])

    def cache(self, own: Mapping[str, int]) -> dict[str, int]:
        """The download cache's counts: `own` and the other members'."""
        return _sum([own, *(report.cache for report in self._reports.values())])


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in counts:
        for name, count in one.items():
            total[name] = total.get(name, 0) + count
    return total
