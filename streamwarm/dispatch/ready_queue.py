"""The queued jobs that the dispatcher holds, best first. Pure: time is passed in (Unix seconds).

Jobs that waited `max_wait_s` go before all others, whatever their score; then the higher score goes first. Among
destinations whose best jobs are equal in that, the one that was served longest ago goes first, so a destination with
ten thousand jobs holds back none with three. Within a destination, ties go by arrival in the queue.

Each destination has a lane, a heap of its jobs; a heap of heads holds the best of each lane. A destination that may not
be sent to now is set aside with its whole lane until it may, so that its jobs cost nothing meanwhile. A job's score
changes at known times, which a further heap holds. Entries are deleted lazily: one counts only while it is the newest
of its job, or of its lane. So every operation costs O(log n), and nothing is ever scanned to find the best.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterable

from attrs import define, field, frozen

from streamwarm.model import QueuedJob
from streamwarm.priority import FRESH_S, next_change_s, score

OVERDUE = 1_000_000
"""The points of a job that waited `max_wait_s`: above any score of the table, so that nothing starves, and the same for
all of them, so that those of equal right are served in turn."""

_Entry = tuple[int, float, int, str]
"""A job in its lane: `(-points, queued_at, seq, id)`."""

_Head = tuple[int, int, float, int, str]
"""The best of a lane among the others: `(-points, turn it was served last, queued_at, seq, destination)`."""


@frozen
class _Held:
    job: QueuedJob
    points: int

    @property
    def entry(self) -> _Entry:
        return (-self.points, self.job.queued_at, self.job.seq, self.job.id)


@define
class _Lane:
    """`head` is the newest entry in the heap of heads, None where there is none: the lane is empty or set aside."""

    jobs: list[_Entry] = field(factory=list)
    head: _Head | None = None
    aside: bool = False


@define
class ReadyQueue:
    """At most `max_queue` jobs; `max_wait_s` as in the contract."""

    max_queue: int
    max_wait_s: float
    _held: dict[str, _Held] = field(factory=dict)
    _lanes: dict[str, _Lane] = field(factory=dict)
    _heads: list[_Head] = field(factory=list)
    _aside: list[tuple[float, str]] = field(factory=list)  # (until, destination)
    _changes: list[tuple[float, str]] = field(factory=list)  # (at, job id)
    _served: dict[str, int] = field(factory=dict)  # the turn by destination: as many as are configured
    _turn: int = 0

    def __len__(self) -> int:
        return len(self._held)

    def replace(self, jobs: Iterable[QueuedJob], now: float) -> int:
        """Hold these instead, the store's best, at most `max_queue` of them; how many of those that were held already
        have changed their score. Whose turn it is stays known; what was set aside is asked about anew."""
        before, self._held = self._held, {}
        for heap in (self._lanes, self._heads, self._aside, self._changes):
            heap.clear()
        for job in itertools.islice(jobs, self.max_queue):
            held = self._held[job.id] = _Held(job, self._points(job, now))
            self._lanes.setdefault(job.destination, _Lane()).jobs.append(held.entry)
            self._await_change(job, now)
        for destination, lane in self._lanes.items():
            heapq.heapify(lane.jobs)
            self._show_head(destination)
        known = ((held, before[job_id]) for job_id, held in self._held.items() if job_id in before)
        return sum(held.points != old.points and held.job == old.job for held, old in known)

    def reorder(self, now: float) -> int:
        """Re-score the jobs whose waiting time has crossed a line; how many changed."""
        due = []
        while self._changes and self._changes[0][0] <= now:
            due.append(heapq.heappop(self._changes)[1])
        changed = 0
        for before in (self._held[job_id] for job_id in due if job_id in self._held):
            job = before.job
            self._await_change(job, now)
            after = _Held(job, self._points(job, now))
            if after != before:
                changed += 1
                self._held[job.id] = after
                heapq.heappush(self._lanes[job.destination].jobs, after.entry)
                self._show_head(job.destination)
        return changed

    def pop_best(self, now: float, free_at: Callable[[str], float]) -> QueuedJob | None:
        """The best job that may be handed out now, or None. Those that may not keep their places.

        `free_at(destination)` is when it may be sent to next: now or earlier where it may, `inf` where nobody knows. A
        destination that may not is not asked about again before that time, or before `ask_again` or `replace`.
        """
        self.reorder(now)
        while self._aside and self._aside[0][0] <= now:
            _, destination = heapq.heappop(self._aside)
            self._lanes[destination].aside = False
            self._show_head(destination)
        while self._heads:
            head = heapq.heappop(self._heads)
            destination = head[-1]
            lane = self._lanes[destination]
            if lane.head != head:
                continue  # from before a change of the lane
            lane.head = None
            until = free_at(destination)
            if until <= now:
                return self._take(destination, lane)
            lane.aside = True
            heapq.heappush(self._aside, (until, destination))
        return None

    def spares(self, destination: str, count: int) -> list[str]:
        """The ids of the next best jobs held for the destination, best first; they keep their places."""
        lane = self._lanes.get(destination)
        best: list[_Entry] = []
        while lane is not None and lane.jobs and len(best) < count:
            entry = heapq.heappop(lane.jobs)
            if self._is_current(entry):
                best.append(entry)
        for entry in best:
            heapq.heappush(self._lanes[destination].jobs, entry)
        return [entry[-1] for entry in best]

    def drop(self, job_ids: Iterable[str]) -> None:
        """Hold these no more: they are not queued any more."""
        gone = [self._held.pop(job_id).job.destination for job_id in job_ids if job_id in self._held]
        for destination in set(gone):
            self._show_head(destination)

    def ask_again(self, destination: str) -> None:
        """The destination may be free earlier than it was said to be."""
        lane = self._lanes.get(destination)
        if lane is not None and lane.aside:
            lane.aside = False
            self._show_head(destination)

    def _take(self, destination: str, lane: _Lane) -> QueuedJob:
        """The best of a lane whose head has just been found current."""
        *_, job_id = heapq.heappop(lane.jobs)
        self._turn += 1
        self._served[destination] = self._turn
        self._show_head(destination)
        return self._held.pop(job_id).job

    def _show_head(self, destination: str) -> None:
        """Put the lane's best among the heads, unless it stands there or the lane is set aside."""
        lane = self._lanes[destination]
        while lane.jobs and not self._is_current(lane.jobs[0]):
            heapq.heappop(lane.jobs)
        if lane.aside or not lane.jobs:
            lane.head = None
            return
        points, queued_at, seq, _ = lane.jobs[0]
        head = (points, self._served.get(destination, 0), queued_at, seq, destination)
        if head != lane.head:
            lane.head = head
            heapq.heappush(self._heads, head)

    def _is_current(self, entry: _Entry) -> bool:
        held = self._held.get(entry[-1])
        return held is not None and held.entry == entry

    def _points(self, job: QueuedJob, now: float) -> int:
        waited_s = now - job.queued_at
        return OVERDUE if waited_s >= self.max_wait_s else score(job.kind, job.bytes, waited_s)

    def _await_change(self, job: QueuedJob, now: float) -> None:
        """Note when the job's points change next, if they do."""
        waited_s = now - job.queued_at
        if waited_s >= self.max_wait_s:
            return
        change_s = next_change_s(waited_s)
        at = math.inf
        if change_s is not None:
            at = job.queued_at + change_s
            if change_s != FRESH_S:
                at = math.nextafter(at, math.inf)  # STALE_POINTS apply *after* ten minutes
        heapq.heappush(self._changes, (min(at, job.queued_at + self.max_wait_s), job.id))
