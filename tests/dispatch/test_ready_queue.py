"""What a user loses without these: small photos first, and nothing waiting for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamwarm.dispatch.limits import Limits, Pause
from streamwarm.dispatch.priority import score
from streamwarm.dispatch.ready_queue import ReadyQueue
from streamwarm.model import Kind, QueuedJob

NOW = 10_000.0
MAX_WAIT_S = 900.0

jobs_strategy = st.lists(
    st.builds(
        QueuedJob,
        seq=st.integers(0, 10_000),
        id=st.none(),
        destination=st.sampled_from(["a", "b", "c"]),
        kind=st.sampled_from(Kind),
        bytes=st.none() | st.sampled_from([0, 99_999, 100_000, 999_999, 4_999_999, 5_000_000, 20_000_000, 20_000_001]),
        queued_at=st.sampled_from([NOW, NOW - 59, NOW - 60, NOW - 600, NOW - 601, NOW - 899, NOW - 900, NOW - 5000]),
    ),
    unique_by=lambda job: job.seq,
    max_size=30,
)


def named(jobs: list[QueuedJob]) -> list[QueuedJob]:
    return [QueuedJob(j.seq, f"j{j.seq}", j.destination, j.kind, j.bytes, j.queued_at) for j in jobs]


def naive_order(jobs: list[QueuedJob], now: float) -> list[str]:
    def rank(job: QueuedJob) -> tuple[bool, int, int]:
        waited = now - job.queued_at
        return waited < MAX_WAIT_S, -score(job.kind, job.bytes, waited), job.seq

    return [job.id for job in sorted(jobs, key=rank)]


def drain(queue: ReadyQueue, now: float) -> list[str]:
    order = []
    while (job := queue.pop_best(now, lambda _: True)) is not None:
        order.append(job.id)
    return order


def test_the_seeds_table_is_kept_to_the_letter() -> None:
    assert score(Kind.PHOTO, 99_999, 0) == 100 + 50 + 20 + 15
    assert score(Kind.VIDEO, 999_999, 60) == 100 + 30 - 10
    assert score(Kind.AUDIO, 4_999_999, 600) == 100 + 10
    assert score(Kind.DOCUMENT, 20_000_000, 601) == 100 - 5
    assert score(Kind.VIDEO, 20_000_001, 601) == 100 - 20 - 10 - 5
    assert score(Kind.DOCUMENT, None, 59.9) == 100 + 15


@given(jobs=jobs_strategy, later_s=st.sampled_from([0.0, 1.0, 61.0, 300.0, 602.0, 901.0]))
def test_jobs_leave_in_the_order_of_the_naive_model_however_long_they_waited(
    jobs: list[QueuedJob], later_s: float
) -> None:
    jobs = named(jobs)
    queue = ReadyQueue(max_queue=100, max_wait_s=MAX_WAIT_S)
    queue.replace(jobs, NOW)
    # A moment past each line, where the model and the queue must agree again.
    now = NOW + later_s + 0.01
    assert drain(queue, now) == naive_order(jobs, now)


@given(jobs=jobs_strategy)
def test_a_paused_destination_holds_back_nobody_else_and_loses_nothing(jobs: list[QueuedJob]) -> None:
    jobs = named(jobs)
    queue = ReadyQueue(max_queue=100, max_wait_s=MAX_WAIT_S)
    queue.replace(jobs, NOW)
    limits = Limits()
    limits.pause("a", Pause(NOW + 30, "429"))
    sent = []
    while (job := queue.pop_best(NOW, lambda j: limits.may_send(j.destination, NOW))) is not None:
        sent.append(job.id)
    assert sent == naive_order([job for job in jobs if job.destination != "a"], NOW)
    assert drain(queue, NOW) == naive_order([job for job in jobs if job.destination == "a"], NOW)


def test_no_more_is_held_than_max_queue() -> None:
    queue = ReadyQueue(max_queue=3, max_wait_s=MAX_WAIT_S)
    queue.replace((QueuedJob(n, str(n), "a", Kind.PHOTO, 1, NOW) for n in range(10)), NOW)
    assert len(queue) == 3


def test_of_two_deadlines_the_later_one_wins() -> None:
    limits = Limits()
    limits.pause("bot", Pause(50.0, "first"))
    limits.pause("bot", Pause(20.0, "second"))
    assert not limits.may_send("bot", 49.0)
    assert limits.next_change_at(0.0) == 50.0
    assert limits.may_send("bot", 50.0)
    limits.pause("bot", Pause(None, "revoked"))
    assert not limits.may_send("bot", 1e9)
    limits.resume("bot")
    assert limits.may_send("bot", 0.0)
