"""What a user loses if a job that was compared first is not handed out: seconds, for each of a library."""

from __future__ import annotations

import pytest

from streamwarm.dispatch.arrivals import Arrivals
from streamwarm.model import Kind, QueuedJob

JOB = QueuedJob(1, "job-1", "bot", Kind.VIDEO, None, 0.0, "a.mp4")


@pytest.mark.parametrize("event_first", [False, True])
def test_a_job_that_was_compared_is_handed_out_without_a_read_of_the_store(event_first: bool) -> None:
    arrivals = Arrivals(10)
    if event_first:
        assert arrivals.is_news("job-1")
        arrivals.expect(["job-1"])
    else:
        arrivals.expect(["job-1"])
        assert not arrivals.is_news("job-1")
    assert arrivals.drain() == []
    assert arrivals.release([JOB])
    assert arrivals.drain() == [JOB]


def test_jobs_that_find_no_room_are_left_to_the_store() -> None:
    arrivals = Arrivals(1)
    assert not arrivals.release([JOB, JOB])
    assert arrivals.drain() == [JOB]
