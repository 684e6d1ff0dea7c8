"""What a user loses without these: small photos first, and nothing waiting for ever."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.pauses import Pause
from streamwarm.dispatch.ready_queue import ReadyQueue
from streamwarm.model import NOWHERE, Barred, Kind, QueuedJob, Route
from streamwarm.priority import score
from tests.worlds.naive_queue import NaiveQueue

NOW = 10_000.0
MAX_WAIT_S = 900.0
LATER_S = (0.001, 0.5, 1.0, 59.0, 300.0, 601.0)
DESTINATION = st.sampled_from(["a", "b", "c"])

jobs_strategy = st.lists(
    st.builds(
        QueuedJob,
        seq=st.integers(0, 10_000),
        id=st.none(),
        destination=DESTINATION,
        kind=st.sampled_from(Kind),
        bytes=st.none() | st.sampled_from([0, 99_999, 100_000, 999_999, 4_999_999, 5_000_000, 20_000_000, 20_000_001]),
        r2_key=st.just("k"),
        queued_at=st.sampled_from([NOW, NOW - 59, NOW - 60, NOW - 600, NOW - 601, NOW - 899, NOW - 900, NOW - 5000]),
        barred=st.sampled_from([NOWHERE, NOWHERE, NOWHERE, Barred(frozenset({"-1"}), NOW)]),
    ),
    unique_by=lambda job: job.seq,
    max_size=30,
)


def named(jobs: list[QueuedJob]) -> list[QueuedJob]:
    return [evolve(job, id=f"j{job.seq}") for job in jobs]


def always(_: Route) -> float:
    return NOW


def naive_order(jobs: list[QueuedJob], now: float) -> list[str]:
    return drain(NaiveQueue(MAX_WAIT_S, list(jobs)), now)


def drain(queue: ReadyQueue | NaiveQueue, now: float) -> list[str]:
    order = []
    while (job := queue.pop_best(now, always)) is not None:
        order.append(job.id)
    return order


def test_the_seeds_table_is_kept_to_the_letter() -> None:
    assert score(Kind.PHOTO, 99_999, 0) == 100 + 50 + 20 + 15
    assert score(Kind.VIDEO, 999_999, 60) == 100 + 30 - 10
    assert score(Kind.AUDIO, 4_999_999, 600) == 100 + 10
    assert score(Kind.DOCUMENT, 20_000_000, 601) == 100 - 5
    assert score(Kind.VIDEO, 20_000_001, 601) == 100 - 20 - 10 - 5
    assert score(Kind.DOCUMENT, None, 59.9) == 100 + 15


@given(
    jobs=jobs_strategy,
    busy=st.lists(
        st.tuples(DESTINATION, st.none() | st.sampled_from(Kind), st.sampled_from([0.0, 30.0, 700.0, inf])), max_size=5
    ),
    steps=st.lists(
        st.sampled_from(["pop", "pop", "pop", "pop", "push", "push", "replace", "taken elsewhere", *LATER_S]),
        min_size=1,
        max_size=60,
    ),
)
def test_jobs_leave_in_the_order_of_the_naive_model_however_long_they_waited(
    jobs: list[QueuedJob], busy: list[tuple[str, Kind | None, float]], steps: list[str | float]
) -> None:
    """Also at the very second at which a score changes, whichever destinations are paused until then, whichever kinds
    a bot's chats refuse, and whichever other process takes jobs."""
    queue, naive, now = ReadyQueue(max_queue=100, max_wait_s=MAX_WAIT_S), NaiveQueue(MAX_WAIT_S, named(jobs)), NOW
    pushed = naive.jobs[len(naive.jobs) // 2 :]
    naive.jobs = naive.jobs[: len(naive.jobs) // 2]
    queue.replace(naive.jobs, now)
    pauses = {(destination, kind): NOW + for_s for destination, kind, for_s in busy}

    def free_at(route: Route) -> float:
        return max(pauses.get((route.destination, kind), 0.0) for kind in (None, route.kind))

    for step in steps:
        if step == "pop":
            best = naive.pop_best(now, free_at)
            assert queue.pop_best(now, free_at) == best
        elif step == "replace":
            queue.replace(naive.jobs, now)
        elif step == "push":
            for job in pushed[:2]:
                assert queue.add(job, now)
                assert queue.add(job, now)  # once more, as after a read that found it already
                naive.jobs.append(job)
            del pushed[:2]
        elif step == "taken elsewhere":
            queue.reorder(now)
            route = naive.jobs[0].route if naive.jobs else Route("a", Kind.PHOTO)
            (second,) = queue.spares(route, 2)[1:] or [None]
            assert queue.spares(route, 100) == naive_order([job for job in naive.jobs if job.route == route], now)
            queue.drop([second] if second else [])
            naive.jobs = [job for job in naive.jobs if job.id != second]
        else:
            now += float(step)
    assert len(queue) == len(naive.jobs)


@given(jobs=jobs_strategy, max_queue=st.integers(1, 6), steps=st.lists(st.sampled_from(["push", "push", "pop"])))
def test_a_pushed_job_never_overtakes_a_better_one_of_its_bot_that_only_the_store_holds(
    jobs: list[QueuedJob], max_queue: int, steps: list[str]
) -> None:
    """Nor does it wait in the store unless the queue is read again for it, or others of its bot go first."""
    jobs = named(jobs)
    pushed, store = jobs[: len(jobs) // 2], jobs[len(jobs) // 2 :]
    queue = ReadyQueue(max_queue, MAX_WAIT_S)
    queue.replace(best_of(store, max_queue), NOW)
    for step in steps:
        if step == "push" and pushed:
            job = pushed.pop()
            store.append(job)
            if not queue.add(job, NOW):
                assert queue.more
                queue.replace(best_of(store, max_queue), NOW)
        elif step == "pop" and (best := queue.pop_best(NOW, always)) is not None:
            same = [job for job in store if job.destination == best.destination]
            assert best.id == naive_order(same, NOW)[0]
            store.remove(best)
        assert len(queue) <= max_queue
        assert queue.more or len(queue) == len(store)


def best_of(jobs: list[QueuedJob], count: int) -> list[QueuedJob]:
    """What the store returns of these jobs."""
    order = naive_order(jobs, NOW)
    return sorted(jobs, key=lambda job: order.index(job.id))[:count]


def test_a_better_job_that_finds_the_queue_full_is_read_from_the_store() -> None:
    queue = ReadyQueue(max_queue=2, max_wait_s=MAX_WAIT_S)
    queue.replace(many("a", 2, 0, queued_at=NOW - 100, kind=Kind.VIDEO), NOW)
    assert not queue.add(QueuedJob(9, "face", "a", Kind.PHOTO, 1, NOW, "k"), NOW)
    queue.pop_best(NOW, always)
    assert queue.add(QueuedJob(10, "film", "a", Kind.VIDEO, 20_000_001, NOW - 100, "k"), NOW)  # left behind the other
    assert len(queue) == 1
    assert queue.add(QueuedJob(11, "second", "a", Kind.PHOTO, 1, NOW, "k"), NOW)
    assert drain(queue, NOW) == ["second", "a1"]
    assert not queue.add(QueuedJob(12, "last", "a", Kind.VIDEO, 20_000_001, NOW, "k"), NOW)  # it may be the best by now


def many(destination: str, count: int, first_seq: int, **fields: Any) -> list[QueuedJob]:
    return [
        QueuedJob(
            first_seq + n, f"{destination}{n}", destination, **{"kind": Kind.PHOTO, "bytes": 1, "r2_key": "k", **fields}
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("waited_s", [0.0, MAX_WAIT_S])
def test_a_bot_with_hundreds_of_jobs_holds_back_none_with_three(waited_s: float) -> None:
    jobs = many("large", 490, 0, queued_at=NOW - waited_s) + many("small", 3, 490, queued_at=NOW - waited_s)
    queue = ReadyQueue(max_queue=500, max_wait_s=MAX_WAIT_S)
    queue.replace(jobs, NOW)
    assert drain(queue, NOW)[:7] == ["large0", "small0", "large1", "small1", "large2", "small2", "large3"]


def test_a_bot_that_pushes_one_job_at_a_time_gets_every_second_turn_not_every_turn() -> None:
    queue = ReadyQueue(max_queue=500, max_wait_s=MAX_WAIT_S)
    order: list[str] = []
    for turn in range(6):
        rest = [job for job in many("large", 10, 0, queued_at=NOW) if job.id not in order]
        queue.replace(rest + many("small", 1, 100 + turn, queued_at=NOW), NOW)
        order.append(queue.pop_best(NOW, always).id)  # type: ignore[union-attr]
    assert order == ["large0", "small0", "large1", "small0", "large2", "small0"]


def test_a_limited_bot_with_hundreds_of_jobs_is_asked_about_once_not_at_every_hand_out() -> None:
    asked: list[str] = []

    def free_at(route: Route) -> float:
        asked.append(route.destination)
        return NOW + 30 if route.destination == "limited" else NOW

    queue = ReadyQueue(max_queue=500, max_wait_s=MAX_WAIT_S)
    video = {"kind": Kind.VIDEO, "queued_at": NOW}
    queue.replace(many("limited", 400, 0, queued_at=NOW) + many("free", 100, 400, **video), NOW)
    for _ in range(100):
        assert queue.pop_best(NOW, free_at).destination == "free"  # type: ignore[union-attr]
    assert queue.pop_best(NOW + 29.9, free_at) is None
    assert asked.count("limited") == 1
    assert queue.pop_best(NOW + 30, free_at).id == "limited0"  # type: ignore[union-attr]


@given(jobs=jobs_strategy)
def test_a_paused_destination_holds_back_nobody_else_and_loses_nothing(jobs: list[QueuedJob]) -> None:
    jobs = named(jobs)
    queue = ReadyQueue(max_queue=100, max_wait_s=MAX_WAIT_S)
    queue.replace(jobs, NOW)
    limits = Limits()
    limits.pause("a", Pause(NOW + 30, "429"))
    sent = []
    while (job := queue.pop_best(NOW, limits.route_free_at)) is not None:
        sent.append(job.id)
    assert sent == naive_order([job for job in jobs if job.destination != "a"], NOW)
    later = NOW + 30
    assert drain(queue, later) == naive_order([job for job in jobs if job.destination == "a"], later)


def test_no_more_is_held_than_max_queue() -> None:
    queue = ReadyQueue(max_queue=3, max_wait_s=MAX_WAIT_S)
    queue.replace((QueuedJob(n, str(n), "a", Kind.PHOTO, 1, NOW, "k") for n in range(10)), NOW)
    assert len(queue) == 3


def test_of_two_deadlines_the_later_one_wins() -> None:
    limits = Limits()
    limits.pause("bot", Pause(50.0, "first"))
    limits.pause("bot", Pause(20.0, "second"))
    assert limits.free_at("bot") > 49.0
    assert limits.next_change_at(0.0) == 50.0
    assert limits.free_at("bot") <= 50.0
    limits.pause("bot", Pause(None, "revoked"))
    assert limits.free_at("bot") > 1e9
    limits.resume("bot")
    assert limits.free_at("bot") <= 0.0


def test_a_kind_that_no_chat_takes_holds_back_no_other_kind_of_its_bot() -> None:
    queue = ReadyQueue(max_queue=500, max_wait_s=MAX_WAIT_S)
    voices = many("bot", 300, 0, queued_at=NOW, kind=Kind.VOICE)
    documents = [evolve(job, id=f"d{job.seq}") for job in many("bot", 2, 300, queued_at=NOW, kind=Kind.DOCUMENT)]
    queue.replace(voices + documents, NOW)
    asked: list[Kind] = []

    def free_at(route: Route) -> float:
        asked.append(route.kind)
        return inf if route.kind is Kind.VOICE else NOW

    taken = [queue.pop_best(NOW, free_at) for _ in range(3)]
    assert [job and job.kind for job in taken] == [Kind.DOCUMENT, Kind.DOCUMENT, None]
    assert asked.count(Kind.VOICE) == 1
    queue.ask_again("bot")
    assert drain(queue, NOW) == [job.id for job in voices]
