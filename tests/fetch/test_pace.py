from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamwarm.fetch.pace import FLOOR_BYTES_PER_S, Pace


def test_a_trickle_does_not_hold_a_worker_for_ever() -> None:
    pace = Pace(60.0)
    assert [pace.is_stalled_after(20.0, 1) for _ in range(3)] == [False, False, True]


@given(st.lists(st.floats(0.0, 59.0), max_size=50))
def test_a_slow_link_above_the_floor_is_waited_for(waits: list[float]) -> None:
    pace = Pace(60.0)
    assert not any(pace.is_stalled_after(wait, FLOOR_BYTES_PER_S * 60) for wait in waits)


def test_an_early_burst_does_not_excuse_a_later_trickle() -> None:
    pace = Pace(10.0)
    assert not pace.is_stalled_after(0.1, 100 * 1024 * 1024)
    assert not pace.is_stalled_after(9.0, 1)
    assert pace.is_stalled_after(9.0, 1)
