"""What a user loses if pauses count as waiting: after an outage, old videos go before every photo."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from streamwarm.dispatch.pause_log import KEPT_SPANS, PauseLog
from streamwarm.priority import PausedTime

MAX_WAIT_S = 900.0

EDGES = st.lists(st.integers(0, 5000), max_size=10, unique=True).map(sorted)


def spans_of(edges: list[int]) -> tuple[tuple[float, float], ...]:
    pairs = [(float(begin), float(end)) for begin, end in zip(edges[::2], edges[1::2], strict=False)]
    return (*pairs, (float(edges[-1]), math.inf)) if len(edges) % 2 else tuple(pairs)


@given(edges=EDGES, queued_at=st.integers(0, 5000), waited_s=st.integers(0, 5000))
def test_a_job_is_overdue_once_it_has_waited_long_enough_outside_the_pauses(
    edges: list[int], queued_at: int, waited_s: int
) -> None:
    paused, now = PausedTime(spans_of(edges)), queued_at + waited_s
    counted_s = sum(not any(begin <= second < end for begin, end in paused.spans) for second in range(queued_at, now))
    assert paused.waited_s(queued_at, now) == counted_s
    assert (queued_at <= paused.overdue_to(now, MAX_WAIT_S)) == (counted_s >= MAX_WAIT_S)


def test_pauses_of_all_and_of_one_add_up_and_overlap() -> None:
    log = PauseLog()
    log.note({"bucket": (None, None, math.inf)}, 100.0)
    log.note({"bucket": (None, None, math.inf), "bot": ("bot", None, math.inf)}, 150.0)
    log.note({"bot": ("bot", None, math.inf)}, 200.0)
    log.note({}, 300.0)
    assert log.times.of("bot").spans == ((100.0, 300.0),)
    assert log.times.of("other").spans == ((100.0, 200.0),)


def test_a_pause_counts_from_its_beginning_and_to_its_end_though_it_is_noted_late() -> None:
    """A process that starts in a pause knows when it began; a cooldown ends while all workers are busy."""
    log = PauseLog()
    log.note({"bot": ("bot", 40.0, 130.0)}, 100.0)
    log.note({"bot": ("bot", 150.0, 180.0)}, 160.0)
    log.note({}, 500.0)
    assert log.times.of("bot").spans == ((40.0, 130.0), (150.0, 180.0))


def test_the_log_is_bounded() -> None:
    log = PauseLog()
    for number in range(1000):
        log.note({"bot": ("bot", None, math.inf)}, 10.0 * number)
        log.note({}, 10.0 * number + 5)
    assert len(log.times.of("bot").spans) == KEPT_SPANS
