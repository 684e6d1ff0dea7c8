"""What a user loses if these fail: jobs to an endpoint that refuses everything, or hours to a few bad objects."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.send.endpoint_health import ALIKE, FIRST_S, LONGEST_S, REMEMBERED, EndpointHealth

NOW = 1_772_366_405.0


def refused(health: EndpointHealth, job_id: str, now: float = NOW) -> DestinationError:
    return health.judge(job_id, DestinationError(ErrorCode.DESTINATION_REFUSED, "it answered 403"), now=now)


def test_an_object_fails_once_the_endpoint_has_taken_another_between_two_refusals() -> None:
    health = EndpointHealth()
    assert not refused(health, "bad").permanent
    assert not refused(health, "bad").permanent  # nothing shows that the endpoint takes anything
    health.stored("good")
    error = refused(health, "bad")
    assert (error.permanent, error.counts, error.pauses_destination) == (True, True, False)
    assert not refused(health, "bad").permanent  # a user has retried it


def test_each_pause_is_twice_as_long_until_an_object_is_taken_and_what_was_under_way_lengthens_none() -> None:
    health, now = EndpointHealth(), NOW
    for expected in (FIRST_S, 2 * FIRST_S, 4 * FIRST_S):
        for number in range(5):
            error = refused(health, f"{number}", now)
        assert (error.pauses_destination, error.counts, error.permanent) == (True, False, False)
        assert error.retry_after_s == expected
        now += expected
    for _ in range(9):
        now += refused(health, "9", now).retry_after_s or 0
    assert refused(health, "9", now).retry_after_s == LONGEST_S
    health.stored("good")
    assert not refused(health, "1", now).pauses_destination


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=60))
def test_no_job_fails_for_good_unless_the_endpoint_took_another_in_between(history: list[tuple[int, bool]]) -> None:
    health = EndpointHealth()
    open_refusals: dict[int, bool] = {}  # job: another was stored since it was refused first
    row: set[int] = set()
    for job, is_taken in history:
        if is_taken:
            health.stored(f"{job}")
            open_refusals = {other: True for other in open_refusals if other != job}
            row.clear()
            continue
        error = refused(health, f"{job}")
        if error.permanent:
            assert open_refusals.pop(job)
            assert not error.pauses_destination
            continue
        row.add(job)
        assert error.pauses_destination is (len(row) >= ALIKE)
        open_refusals.setdefault(job, False)


def test_bad_objects_that_are_the_last_in_the_queue_end() -> None:
    """None is left that the endpoint would take, but it took some since it refused these first."""
    health = EndpointHealth()
    for number in range(2):
        assert not refused(health, f"bad {number}").permanent
        health.stored("good")
    health.stored("good")
    for number in range(2):
        assert refused(health, f"bad {number}").permanent


def test_what_is_remembered_is_bounded() -> None:
    health = EndpointHealth()
    for number in range(2 * REMEMBERED):
        refused(health, f"{number}")
        health.stored("good")
    assert len(health._refused) <= REMEMBERED
