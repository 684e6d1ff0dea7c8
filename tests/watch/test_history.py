"""What a user who opens the dashboard now loses without these: the figures of the hour before."""

from __future__ import annotations

import pytest

from streamwarm.errors import ErrorCode
from streamwarm.model import Kind
from streamwarm.watch.history import STEP_S, STEPS, History
from streamwarm.watch.observations import AttemptFailed, AttemptSucceeded, BytesMoved, Direction

START = 1_700_000_040.0  # a whole minute


def succeeded(warm_s: float) -> AttemptSucceeded:
    return AttemptSucceeded("1", "mybot", Kind.VIDEO, "a", 1, 60, 0.5, warm_s)


def failed(*, final: bool) -> AttemptFailed:
    return AttemptFailed("1", "mybot", Kind.VIDEO, "a", 1, ErrorCode.TIMEOUT, "slow", "waiting", final)


def test_each_minute_tells_what_ended_in_it() -> None:
    history = History(START)
    history.observe(succeeded(2.0), START + 1)
    history.observe(failed(final=False), START + 2)  # it will be retried
    history.observe(failed(final=True), START + STEP_S)
    series = history.series(START + STEP_S + 30)
    assert series.starts_at == START - (STEPS - 2) * STEP_S
    assert (series.done[-2:], series.failed[-2:]) == ([1, 0], [0, 1])
    assert series.warm_p50_s[-2:] == [pytest.approx(2.0, rel=0.1), None]


def test_a_service_that_just_started_does_not_claim_an_idle_hour() -> None:
    series = History(START + 5).series(START + STEP_S)
    for values in (series.bytes, series.done, series.failed):
        assert values == [None] * (STEPS - 2) + [0, 0]
    assert series.warm_p95_s == [None] * STEPS


def test_what_is_older_than_an_hour_is_forgotten() -> None:
    history = History(START)
    for minute in range(200):
        history.observe(succeeded(1.0), START + minute * STEP_S)
    assert history.series(START + 199 * STEP_S).done == [1] * STEPS
    assert history.series(START + 10_000 * STEP_S).done == [0] * STEPS
    assert len(history._minutes) == STEPS


def test_a_long_upload_counts_in_the_minutes_in_which_it_moves_and_only_once() -> None:
    history = History(START)
    history.sample(100, START)
    history.sample(250, START + STEP_S)
    history.observe(BytesMoved(Direction.DESTINATION, 300), START + 2 * STEP_S)
    history.sample(300, START + 2 * STEP_S)  # it has ended and is still on the list of those that run
    history.sample(0, START + 3 * STEP_S)
    history.sample(7, START + 3 * STEP_S)  # the next one
    series = history.series(START + 3 * STEP_S)
    assert sum(value or 0 for value in series.bytes) == 600
    history.sample(320, START + 3 * STEP_S)
    assert sum(value or 0 for value in history.series(START + 3 * STEP_S).bytes) == 620
    assert series.bytes[-4:-2] == [100, 150]


@pytest.mark.parametrize("seconds", [0.0, 0.0004, 0.004, 0.25, 7.0, 86_400.0])
def test_a_time_is_told_to_within_a_tenth(seconds: float) -> None:
    history = History(START)
    history.observe(succeeded(seconds), START)
    told = history.series(START).warm_p50_s[-1]
    assert told is not None
    assert told == pytest.approx(max(seconds, 0.001), rel=0.1)


def test_the_slow_ones_show_in_the_95th_of_a_hundred() -> None:
    history = History(START)
    for seconds in [1.0] * 94 + [60.0] * 6:
        history.observe(succeeded(seconds), START)
    series = history.series(START)
    assert series.warm_p50_s[-1] == pytest.approx(1.0, rel=0.1)
    assert series.warm_p95_s[-1] == pytest.approx(60.0, rel=0.1)


def test_a_clock_that_is_set_back_loses_nothing() -> None:
    history = History(START)
    history.observe(succeeded(1.0), START + 5 * STEP_S)
    history.observe(succeeded(1.0), START)
    assert history.series(START + 5 * STEP_S).done[-1] == 2
