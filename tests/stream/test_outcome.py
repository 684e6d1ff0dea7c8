"""A job that waits for an outage to pass looks stuck, unless its error says why it is still tried."""

from __future__ import annotations

from attrs import evolve

from streamwarm.backlog.settlement import Failed, Retry, Settlement
from streamwarm.errors import AttemptError, ErrorCode
from streamwarm.model import Claim, Lease, State
from streamwarm.retry import PATIENCE_S
from streamwarm.stream.outcome import after_failure
from tests.worlds.stream import NOW, job

DOWN = AttemptError(ErrorCode.DESTINATION_UNAVAILABLE, "the endpoint answered 503")


def settle(error: AttemptError, *, attempt: int, failed_s_ago: float) -> Settlement:
    tried = evolve(job(attempt=attempt), first_failed_at=NOW - failed_s_ago)
    claim = Claim(tried, Lease(tried.id, "lease-token"))
    return after_failure(claim, error, on_unknown="retry", max_attempts=5, now=NOW, random=0.5)


def test_a_job_tried_more_often_than_allowed_says_why() -> None:
    settlement = settle(DOWN, attempt=7, failed_s_ago=300)
    assert isinstance(settlement, Retry)
    assert settlement.counts
    assert settlement.error.message == (
        "the endpoint answered 503 (attempt 7 of 5, within 15 minutes of the first failure)"
    )


def test_a_job_with_attempts_left_says_only_what_failed() -> None:
    settlement = settle(DOWN, attempt=2, failed_s_ago=300)
    assert isinstance(settlement, Retry)
    assert settlement.error.message == "the endpoint answered 503"


def test_trouble_that_lasts_ends_the_job_with_the_number_of_its_attempts() -> None:
    settlement = settle(DOWN, attempt=12, failed_s_ago=PATIENCE_S)
    assert isinstance(settlement, Failed)
    assert settlement.state is State.FAILED
    assert settlement.error.message == "the endpoint answered 503 (attempt 12 of 5)"


def test_a_lost_answer_is_not_sent_again_for_fifteen_minutes() -> None:
    lost = AttemptError(ErrorCode.DELIVERY_UNKNOWN, "the answer was lost")
    assert isinstance(settle(lost, attempt=5, failed_s_ago=1), Failed)
