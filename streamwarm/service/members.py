"""The processes that are one service, as each of them knows the others: its role, their reports, their workers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import trio
from attrs import define, field, frozen

from streamwarm.model import Progress
from streamwarm.stream.running import Running
from streamwarm.watch.events import Lifecycle, Observation, UnexpectedError, WorkersStarted

FRONT = 1
"""The member that serves clients."""

SUPERVISOR = 0
"""What reports by this number comes from no member."""

REPORT_EVERY_S = 0.5
"""Progress goes to clients once a second."""

UNREPORTED_MAX = 10_000
"""Observations that wait for the next report; of more, the counters of `/metrics` miss some."""

NOT_REPORTED = (Lifecycle, UnexpectedError, WorkersStarted)
"""What each member logs for itself and no metric sums up."""


@frozen
class Role:
    """Member `number` of `of`; `sockets` are the listening ones that it serves, as file descriptors, by name."""

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
    streams: Sequence[Mapping[str, object]] = ()
    progress: Mapping[str, Progress] = field(factory=dict)
    pool: Mapping[str, int] = field(factory=dict)
    cache: Mapping[str, int] = field(factory=dict)


@frozen
class Lost:
    """Told to member 1: that member has died."""

    number: int


@frozen
class Link:
    """A member's place and its ways to the others: member 1 hears `reports`, the others `report`."""

    role: Role = Role()
    reports: trio.MemoryReceiveChannel[Report | Lost] | None = None
    report: Callable[[Report], Awaitable[None]] | None = None


ALONE = Link()
"""A service of one process."""


@define
class Crew:
    """The workers of all members, as this one knows them: its own now, the others' by their last report."""

    role: Role
    running: Running
    workers_each: int
    _reports: dict[int, Report] = field(factory=dict)
    _peak: int = 0

    def take(self, report: Report | Lost) -> None:
        if isinstance(report, Lost):
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
        others = {job_id: one for report in self._reports.values() for job_id, one in report.progress.items()}
        return {**others, **self.running.progress}

    def streams(self) -> list[dict[str, object]]:
        """As `Running.streams`; where there are several processes, each stream says in which it is."""
        if self.role.of == 1:
            return self.running.streams()
        own = [{"process": self.role.number, **stream} for stream in self.running.streams()]
        others = sorted(self._reports.items())
        return own + [{"process": number, **stream} for number, report in others for stream in report.streams]

    def pool(self, own: Mapping[str, int]) -> dict[str, int]:
        return _sum([own, *(report.pool for report in self._reports.values())])

    def cache(self, own: Mapping[str, int]) -> dict[str, int]:
        return _sum([own, *(report.cache for report in self._reports.values())])


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in counts:
        for name, count in one.items():
            total[name] = total.get(name, 0) + count
    return total
