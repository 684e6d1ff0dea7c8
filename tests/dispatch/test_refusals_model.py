"""What a bot's user loses if these fail: jobs to a chat's fault, hours to bad files, uploads to a chat that takes none.

A Telegram of any mix of chats and files, in virtual time: the ready queue, the limits and the rule of evidence decide
as they do in the service, and the chats answer in words that no table knows.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict

from attrs import define, evolve, field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwarm.dispatch.evidence import Judgement, Refusal, Seen, judge
from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.pauses import Pause
from streamwarm.dispatch.ready_queue import ReadyQueue
from streamwarm.model import Kind, Lane, QueuedJob
from streamwarm.send.destination import LaneRates, Rates

BOT, WORKERS, MAX_ATTEMPTS = "bot", 5, 5
HORIZON_S = 6 * 3600.0
MOST_DELAY_S = 120.0
MOST_UPLOADS, HOUR_S = 6, 3600.0
KINDS = (Kind.VOICE, Kind.DOCUMENT)


@frozen
class Chat:
    """`refuses`: kinds of which it takes nothing until `from_s`. `share`: it refuses each job whose number it divides
    (0: none). `cooldown_s`: so long it answers 429."""

    name: str
    refuses: frozenset[Kind] = frozenset()
    share: int = 0
    from_s: float = math.inf
    cooldown_s: float = 0.0

    def takes(self, job: QueuedJob, now: float) -> bool:
        refused = job.kind in self.refuses and now < self.from_s
        return not refused and not (self.share and job.seq % self.share == 0)


@define
class Telegram:
    """Runs jobs through `chats` until nothing happens any more, or for `HORIZON_S`. `bad`: jobs that no chat takes."""

    chats: dict[str, Chat]
    bad: frozenset[str]
    upload_s: float
    now: float = 0.0
    done: dict[str, float] = field(factory=dict)
    failed: dict[str, float] = field(factory=dict)
    uploads: dict[tuple[str, Kind], list[float]] = field(factory=lambda: defaultdict(list))
    _seen: dict[tuple[str, Kind], list[Seen]] = field(factory=lambda: defaultdict(list))
    _refused_by: dict[str, dict[str, float]] = field(factory=lambda: defaultdict(dict))
    _attempts: dict[str, int] = field(factory=lambda: defaultdict(int))
    _waiting: list[tuple[float, int, QueuedJob]] = field(factory=list)
    _running: list[tuple[float, int, QueuedJob, Lane]] = field(factory=list)

    def run(self, jobs: list[QueuedJob]) -> None:
        limits = Limits({BOT: Rates(lanes={name: LaneRates() for name in self.chats})})
        for chat in self.chats.values():
            limits.cool_down(BOT, chat.name, Pause(chat.cooldown_s, "429"))
        queue = ReadyQueue(500, 900.0)
        queue.replace(jobs, self.now)
        while self.now < HORIZON_S:
            while self._waiting and self._waiting[0][0] <= self.now:
                queue.add(heapq.heappop(self._waiting)[2], self.now)
            while self._running and self._running[0][0] <= self.now:
                _, _, job, lane = heapq.heappop(self._running)
                limits.end(job.route, lane, self.now, self.now)
                self._answer(job, lane, limits)
            queue.ask_again(BOT)
            while len(self._running) < WORKERS and (job := queue.pop_best(self.now, limits.route_free_at)):
                lane = limits.reserve(job.route, self.now)
                assert lane is not None
                heapq.heappush(self._running, (self.now + self.upload_s, job.seq, job, lane))
            ahead = [*(at for at, *_ in self._running), *(at for at, *_ in self._waiting)]
            ahead.append(queue.next_ready_at)
            if min(ahead) == math.inf:
                return
            self.now = max(self.now + 0.001, min(ahead))

    def _answer(self, job: QueuedJob, lane: Lane, limits: Limits) -> None:
        where = (lane.name, job.kind)
        self.uploads[where].append(self.now)
        self._attempts[job.id] += 1
        if self.chats[lane.name].takes(job, self.now) and job.id not in self.bad:
            self.done[job.id] = self.now
            self._seen[where].append(Seen(job.id, self.now, took=True))
            limits.took(BOT, lane.name, job.kind)
            return
        found = judge(
            Refusal(
                job.id,
                lane.name,
                self.now,
                self._attempts[job.id],
                MAX_ATTEMPTS,
                dict(self._refused_by[job.id]),
                limits.usable(BOT, job.kind, self.now),
            ),
            self._seen[where],
            backoff_s=1.0,
        )
        self._seen[where].append(Seen(job.id, self.now, took=False))
        self._refused_by[job.id][lane.name] = self.now
        self._follow(found, job, lane, limits)

    def _follow(self, found: Judgement, job: QueuedJob, lane: Lane, limits: Limits) -> None:
        if not found.counts:
            self._attempts[job.id] -= 1
        limits.suspect(BOT, lane.name, job.kind, found.lane_room)
        if found.lane_out_until is not None:
            limits.refuse_kind(BOT, lane.name, job.kind, Pause(found.lane_out_until, "words", fixable=True))
        if found.fails:
            self.failed[job.id] = self.now
        else:
            heapq.heappush(self._waiting, (found.retry_at, job.seq, evolve(job, barred=found.barred)))


def jobs_of(kinds: list[Kind]) -> list[QueuedJob]:
    return [QueuedJob(number, f"j{number}", BOT, kind, 1, number / 1000, "k") for number, kind in enumerate(kinds, 1)]


HEALTHY = st.just((frozenset[Kind](), 0))
REFUSING = st.sampled_from(
    [(frozenset(KINDS), 0), (frozenset({Kind.VOICE}), 0), (frozenset({Kind.DOCUMENT}), 0), (frozenset[Kind](), 2)]
)
CHATS = st.lists(HEALTHY | REFUSING, min_size=1, max_size=4).map(
    lambda found: {f"-{n}": Chat(f"-{n}", *one) for n, one in enumerate(found)}
)
JOBS = st.lists(st.sampled_from(KINDS), min_size=1, max_size=60).map(jobs_of)
UPLOAD_S = st.sampled_from([0.5, 3.0, 20.0])


@settings(max_examples=60)
@given(
    chats=CHATS,
    jobs=JOBS,
    bad_every=st.integers(0, 4),
    upload_s=UPLOAD_S,
    cooldown_s=st.sampled_from([0.0, 10.0, 2000.0]),
)
def test_no_job_fails_that_a_healthy_chat_would_have_taken(
    chats: dict[str, Chat], jobs: list[QueuedJob], bad_every: int, upload_s: float, cooldown_s: float
) -> None:
    """Nor while the healthy ones have no room for it."""
    bad = frozenset(job.id for job in jobs if bad_every and job.seq % bad_every == 0)
    chats = {
        name: chat if chat.refuses or chat.share else evolve(chat, cooldown_s=cooldown_s)
        for name, chat in chats.items()
    }
    telegram = Telegram(chats, bad, upload_s)
    telegram.run(jobs)
    for job in jobs:
        healthy = [chat for chat in chats.values() if job.kind not in chat.refuses and not chat.share]
        if healthy and job.id not in bad:
            assert job.id in telegram.done, (job, telegram.now)


@settings(max_examples=60)
@given(chats=CHATS, jobs=JOBS, upload_s=UPLOAD_S)
def test_a_chat_that_refuses_a_kind_costs_six_uploads_of_it_an_hour(
    chats: dict[str, Chat], jobs: list[QueuedJob], upload_s: float
) -> None:
    telegram = Telegram(chats, frozenset(), upload_s)
    telegram.run(jobs)
    for (name, kind), uploads in telegram.uploads.items():
        if kind in chats[name].refuses:
            for at in uploads:
                assert sum(at <= other < at + HOUR_S for other in uploads) <= MOST_UPLOADS, uploads


@settings(max_examples=30)
@given(jobs=st.integers(4, 40), from_s=st.sampled_from([20.0, 200.0, 4000.0, 9000.0]), upload_s=UPLOAD_S)
def test_the_only_chat_fails_no_job_though_it_refuses_all_for_hours(jobs: int, from_s: float, upload_s: float) -> None:
    telegram = Telegram({"-1": Chat("-1", frozenset(KINDS), from_s=from_s)}, frozenset(), upload_s)
    telegram.run(jobs_of([Kind.VOICE] * jobs))
    assert len(telegram.done) == jobs, telegram.failed


@settings(max_examples=60)
@given(
    refusing=st.lists(REFUSING, max_size=2),
    jobs=JOBS | st.integers(10, 60).map(lambda count: jobs_of([Kind.VOICE] * count)),
    bad_run=st.integers(0, 3),
    good_run=st.integers(3, 5),
    upload_s=UPLOAD_S,
)
def test_no_good_job_is_delayed_for_two_minutes_by_the_refusals_of_others(
    refusing: list[tuple[frozenset[Kind], int]], jobs: list[QueuedJob], bad_run: int, good_run: int, upload_s: float
) -> None:
    """Three bad files in a row included, if no more than half of all are bad."""
    chats = {"-9": Chat("-9")} | {f"-{n}": Chat(f"-{n}", *one) for n, one in enumerate(refusing)}
    bad = frozenset(job.id for job in jobs if (job.seq - 1) % (bad_run + good_run) < bad_run)
    telegram, calm = Telegram(chats, bad, upload_s), Telegram({"-9": chats["-9"]}, frozenset(), upload_s)
    telegram.run(jobs)
    calm.run(jobs)
    for job in jobs:
        if job.id not in bad:
            own = sum(chat.share and job.seq % chat.share == 0 for chat in chats.values()) * (upload_s + 1)
            assert telegram.done.get(job.id, math.inf) <= calm.done[job.id] + own + MOST_DELAY_S, job
