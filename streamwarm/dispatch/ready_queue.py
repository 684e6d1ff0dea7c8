"""The queued jobs that the dispatcher has loaded, best first. Pure: time is passed in (Unix seconds).

Jobs that waited `max_wait_s` go before all others, whatever their score. Then the higher score goes first. Among
destinations whose best jobs are equal in that, the one that was served longest ago goes first, so a destination with
ten thousand jobs does not hold back one with three. Within a destination, ties go by arrival in the queue.

Jobs that the same lanes may take have one route (`model.Route`): a bot's chat may refuse one kind and take the others.
Each route has a heap of its jobs; a heap of heads holds the best job of each. A route that may not be used now is not
ready: its whole heap leaves the heads until it is, so that its jobs cost nothing meanwhile. A job's score changes at
known times, which a further heap holds. Entries are deleted lazily: one counts only while it is the newest of its job,
or of its route. So every operation costs O(log n), and no search scans all jobs.

The queue may be less than the whole backlog (`more`). Then each destination's floor is the worst of its jobs that the
store returned: what the store still holds ranks behind it. A new job ranks before the floor, or it stays in the store
too, so that it never overtakes a better one there. Points only fall with age, but for `max_wait_s`, so the floor
keeps the points it was read with.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterable, Iterator

from attrs import define, field, frozen

from streamwarm.model import QueuedJob, Route
from streamwarm.priority import FRESH_S, NEVER_PAUSED, PausedTimes, next_change_s, score

OVERDUE = 1_000_000
"""The points of a job that waited `max_wait_s`: above any score of the table, so that nothing starves. All such jobs
have the same points, so that their destinations are served round-robin."""

_Entry = tuple[int, float, int, str]
"""A job in its route's heap: `(-points, queued_at, seq, id)`."""

_Head = tuple[int, int, float, int, int, Route]
"""A route's best job among the others': `(-points, serving number, queued_at, seq, number of the heap, route)`. No two
routes are compared: their heaps' numbers differ.

The serving number is that of the destination's last job. Among equal points the lowest goes first, which is
round-robin."""


@frozen
class _Loaded:
    job: QueuedJob
    points: int

    @property
    def entry(self) -> _Entry:
        return (-self.points, self.job.queued_at, self.job.seq, self.job.id)


@define
class _Heap:
    """One route's jobs. `head` is its newest entry in the heap of heads, None if it has none: then there are no jobs,
    or the route is not ready."""

    number: int
    jobs: list[_Entry] = field(factory=list)
    head: _Head | None = None
    not_ready: bool = False


@define
class ReadyQueue:
    """At most `max_queue` jobs; `max_wait_s` as in the contract. `more`: the store may hold jobs beyond these.

    `paused`: when nothing could be sent, which does not count towards `max_wait_s`. After it has changed, a job's score
    follows with `replace`, or when it would change anyway.
    """

    max_queue: int
    max_wait_s: float
    more: bool = False
    paused: PausedTimes = NEVER_PAUSED
    _loaded: dict[str, _Loaded] = field(factory=dict)
    _heaps: dict[str, dict[Route, _Heap]] = field(factory=dict)  # by destination
    _floors: dict[str, _Entry] = field(factory=dict)  # by destination; none while the queue is the whole backlog
    _heads: list[_Head] = field(factory=list)
    _not_ready: list[tuple[float, int, Route]] = field(factory=list)  # (until, number of the heap, route)
    _numbers: Iterator[int] = field(factory=itertools.count)
    _changes: list[tuple[float, str]] = field(factory=list)  # (at, job id)
    _served: dict[str, int] = field(factory=dict)  # by destination, as many as are configured
    _servings: int = 0

    def __len__(self) -> int:
        return len(self._loaded)

    def replace(self, jobs: Iterable[QueuedJob], now: float) -> int:
        """Load these jobs in place of the loaded ones: the store's best, at most `max_queue`.

        Returns how many of the jobs that stay have changed their score. The round-robin order is kept; destinations
        that were not ready are asked about anew.
        """
        before, self._loaded = self._loaded, {}
        for structure in (self._heaps, self._floors, self._heads, self._not_ready, self._changes):
            structure.clear()
        for job in itertools.islice(jobs, self.max_queue):
            self._heap(job.route).jobs.append(self._load(job, now))
        self.more = len(self._loaded) >= self.max_queue
        for destination, heaps in self._heaps.items():
            if self.more:
                self._floors[destination] = max(max(heap.jobs) for heap in heaps.values())
            for route, heap in heaps.items():
                heapq.heapify(heap.jobs)
                self._show_head(route)
        known = ((loaded, before[job_id]) for job_id, loaded in self._loaded.items() if job_id in before)
        return sum(loaded.points != old.points and loaded.job == old.job for loaded, old in known)

    def add(self, job: QueuedJob, now: float) -> bool:
        """Load a job that was just queued, or leave it in the store if the queue is full or better ones wait there.

        Returns False if it was left out though it may be its destination's best: the store must then be read. A job
        that is loaded already changes nothing.
        """
        before = self._loaded.get(job.id)
        if before is not None and before.job == job:
            return True
        entry = _Loaded(job, self._points(job, now)).entry
        floor = self._floors.get(job.destination)
        # With as many destinations as there is room for jobs, the read left others out: their best jobs are unknown.
        behind = len(self._floors) >= self.max_queue if floor is None else entry > floor
        if behind or (before is None and len(self._loaded) >= self.max_queue):
            self.more = True
            return behind and any(heap.jobs for heap in self._heaps.get(job.destination, {}).values())
        heapq.heappush(self._heap(job.route).jobs, self._load(job, now))
        self._show_head(job.route)
        return True

    def reorder(self, now: float) -> int:
        """Score again the jobs whose waiting time has crossed a threshold; returns how many changed."""
        due = []
        while self._changes and self._changes[0][0] <= now:
            due.append(heapq.heappop(self._changes)[1])
        changed = 0
        for before in (self._loaded[job_id] for job_id in due if job_id in self._loaded):
            job = before.job
            self._await_change(job, now)
            after = _Loaded(job, self._points(job, now))
            if after != before:
                changed += 1
                self._loaded[job.id] = after
                heapq.heappush(self._heap(job.route).jobs, after.entry)
                self._show_head(job.route)
        return changed

    def pop_best(self, now: float, free_at: Callable[[Route], float]) -> QueuedJob | None:
        """The best job that may be handed out now, or None. Jobs that may not stay loaded.

        `free_at(route)` is when a job of that route may be sent next: now or earlier if it may already, `inf` if that
        is unknown. A route that is not ready is not asked about again before that time, `ask_again` or `replace`.
        """
        self.reorder(now)
        while self._not_ready and self._not_ready[0][0] <= now:
            *_, route = heapq.heappop(self._not_ready)
            self._heap(route).not_ready = False
            self._show_head(route)
        while self._heads:
            head = heapq.heappop(self._heads)
            route = head[-1]
            heap = self._heap(route)
            if heap.head != head:
                continue  # an older head of this route
            heap.head = None
            until = free_at(route)
            if until <= now:
                return self._take(route, heap)
            heap.not_ready = True
            heapq.heappush(self._not_ready, (until, heap.number, route))
        return None

    def spares(self, route: Route, count: int) -> list[str]:
        """The ids of the route's next best loaded jobs, best first; they stay loaded."""
        heap = self._heaps.get(route.destination, {}).get(route)
        best: list[_Entry] = []
        while heap is not None and heap.jobs and len(best) < count:
            entry = heapq.heappop(heap.jobs)
            if self._is_current(entry) and entry not in best[-1:]:  # a job that was dropped and added is there twice
                best.append(entry)
        if heap is not None:
            for entry in best:
                heapq.heappush(heap.jobs, entry)
        return [entry[-1] for entry in best]

    def drop(self, job_ids: Iterable[str]) -> None:
        """Unload jobs that are not queued any more."""
        gone = [self._loaded.pop(job_id).job.route for job_id in job_ids if job_id in self._loaded]
        for route in set(gone):
            self._show_head(route)

    @property
    def next_ready_at(self) -> float:
        """When a route that was not ready may be ready next, as far as is known; `inf` if there is none."""
        return self._not_ready[0][0] if self._not_ready else math.inf

    def ask_again(self, destination: str) -> None:
        """Note that the destination may be ready earlier than `free_at` said."""
        for route, heap in self._heaps.get(destination, {}).items():
            if heap.not_ready:
                heap.not_ready = False
                self._show_head(route)

    def _heap(self, route: Route) -> _Heap:
        heaps = self._heaps.setdefault(route.destination, {})
        if (heap := heaps.get(route)) is None:
            heap = heaps[route] = _Heap(next(self._numbers))
        return heap

    def _load(self, job: QueuedJob, now: float) -> _Entry:
        """Returns the job's entry, which the caller must put into its route's heap."""
        loaded = self._loaded[job.id] = _Loaded(job, self._points(job, now))
        self._await_change(job, now)
        return loaded.entry

    def _take(self, route: Route, heap: _Heap) -> QueuedJob:
        """Pop the best of a heap whose head has just been found current."""
        *_, job_id = heapq.heappop(heap.jobs)
        self._servings += 1
        self._served[route.destination] = self._servings
        job = self._loaded.pop(job_id).job
        for other in self._heaps[route.destination]:
            self._show_head(other)  # its serving number has changed
        return job

    def _show_head(self, route: Route) -> None:
        """Put the route's best job among the heads, unless it is there or the route is not ready."""
        heap = self._heap(route)
        while heap.jobs and not self._is_current(heap.jobs[0]):
            heapq.heappop(heap.jobs)
        if heap.not_ready or not heap.jobs:
            heap.head = None
            return
        points, queued_at, seq, _ = heap.jobs[0]
        head = (points, self._served.get(route.destination, 0), queued_at, seq, heap.number, route)
        if head != heap.head:
            heap.head = head
            heapq.heappush(self._heads, head)

    def _is_current(self, entry: _Entry) -> bool:
        loaded = self._loaded.get(entry[-1])
        return loaded is not None and loaded.entry == entry

    def _points(self, job: QueuedJob, now: float) -> int:
        overdue_to = self.paused.of(job.destination).overdue_to(now, self.max_wait_s)
        return OVERDUE if job.queued_at <= overdue_to else score(job.kind, job.bytes, now - job.queued_at)

    def _await_change(self, job: QueuedJob, now: float) -> None:
        """Note when the job's points change next, if they do."""
        paused = self.paused.of(job.destination)
        if job.queued_at <= paused.overdue_to(now, self.max_wait_s):
            return
        left_s = self.max_wait_s - paused.waited_s(job.queued_at, now)
        change_s = next_change_s(now - job.queued_at)
        at = math.inf
        if change_s is not None:
            at = job.queued_at + change_s
            if change_s != FRESH_S:
                at = math.nextafter(at, math.inf)  # STALE_POINTS apply *after* ten minutes
        heapq.heappush(self._changes, (max(math.nextafter(now, math.inf), min(at, now + left_s)), job.id))
