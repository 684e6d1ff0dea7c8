"""What a user loses without these: retries that spread out, wait as long as the peer asks, and end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwarm.errors import LONGEST_WAIT_S, PASSING, AttemptError, ErrorCode
from streamwarm.retry import CEILING_S, PATIENCE_S, backoff_s, parse_http_date, parse_retry_after, retry_at

NOW = 1_000_000.0
jitter = st.floats(0, 1, exclude_max=True)


@given(attempt=st.integers(1, 1000), random=jitter)
def test_waits_double_with_jitter_up_to_a_ceiling(attempt: int, random: float) -> None:
    full = min(CEILING_S, 2.0 ** min(attempt - 1, 30))
    assert full / 2 <= backoff_s(attempt, random) <= full


def test_jobs_that_failed_together_do_not_come_back_together() -> None:
    assert backoff_s(4, 0.0) != backoff_s(4, 0.9)


@given(random=jitter)
def test_the_last_attempt_is_the_last_and_a_permanent_error_needs_no_second(random: float) -> None:
    counted = AttemptError(ErrorCode.WORKER_LOST, "a bug")
    final = AttemptError(ErrorCode.SOURCE_NOT_FOUND, "gone")
    assert retry_at(counted, attempt=4, max_attempts=5, now=NOW, random=random) is not None
    assert retry_at(counted, attempt=5, max_attempts=5, now=NOW, random=random) is None
    assert retry_at(final, attempt=1, max_attempts=5, now=NOW, random=random) is None


@pytest.mark.parametrize("code", sorted(PASSING))
def test_an_outage_of_minutes_fails_no_job_and_one_that_lasts_does(code: ErrorCode) -> None:
    error = AttemptError(code, "down", permanent=False)

    def again(failed_s_ago: float | None, attempt: int = 9) -> bool:
        first_failed_at = None if failed_s_ago is None else NOW - failed_s_ago
        when = retry_at(error, attempt=attempt, max_attempts=5, now=NOW, random=0.5, first_failed_at=first_failed_at)
        return when is not None

    assert again(None, attempt=5)
    assert again(300)
    assert again(PATIENCE_S - 1)
    assert not again(PATIENCE_S)
    assert again(PATIENCE_S, attempt=4), "the attempts are not used up"


@pytest.mark.parametrize("code", sorted(set(ErrorCode) - PASSING))
def test_what_does_not_pass_by_itself_has_its_attempts_and_no_more(code: ErrorCode) -> None:
    error = AttemptError(code, "wrong", permanent=False)
    assert retry_at(error, attempt=5, max_attempts=5, now=NOW, random=0.5, first_failed_at=NOW) is None


@pytest.mark.parametrize("code", sorted(PASSING))
def test_a_permanent_error_of_a_passing_kind_is_not_tried_again(code: ErrorCode) -> None:
    error = AttemptError(code, "for good", permanent=True)
    assert retry_at(error, attempt=1, max_attempts=5, now=NOW, random=0.5) is None


@given(asked_s=st.floats(0, 1e15), attempt=st.integers(1, 4), random=jitter)
def test_what_the_far_side_asks_for_is_obeyed_within_a_day(asked_s: float, attempt: int, random: float) -> None:
    error = AttemptError(ErrorCode.SOURCE_UNAVAILABLE, "slow down", retry_after_s=asked_s)
    when = retry_at(error, attempt=attempt, max_attempts=5, now=NOW, random=random)
    assert when is not None
    assert min(asked_s, LONGEST_WAIT_S) <= when - NOW + 1e-6
    assert when - NOW <= max(LONGEST_WAIT_S, CEILING_S) + 1e-6


@pytest.mark.parametrize("attempt", [1, 5, 50])
def test_what_was_no_attempt_never_uses_them_up(attempt: int) -> None:
    error = AttemptError(ErrorCode.RATE_LIMITED, "429", retry_after_s=35, counts=False)
    assert retry_at(error, attempt=attempt, max_attempts=5, now=NOW, random=0.5) == NOW + 35


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "Mon, 01 Jan 0001 00:00:00 GMT",
        "Mon, 01 Jan 0001 00:00:00 +1400",
        "Fri, 31 Dec 9999 23:59:59 -1200",
        "Thu, 99999999999999999999 Jan 2026 00:00:00 GMT",
        "Thu, 01 Jan 2026 00:00:00 +99999999999999999999",
        "Fri, 31 Dec 99999 23:59:59 GMT",
        "Fri, 32 Foo 2026 25:61:61 GMT",
        "Thu, 01 Jan 1970 00:00:00 +99999999999999",
        "\ud800",
        "9" * 400,
    ],
)
def test_an_absurd_date_is_no_reason_to_stop(text: str) -> None:
    at = parse_http_date(text)
    assert at is None or -1e11 < at < 1e12
    assert 0 <= (parse_retry_after(text, now=NOW) or 0.0) <= LONGEST_WAIT_S


@given(st.text(max_size=60))
def test_no_text_in_a_date_breaks_its_reader(text: str) -> None:
    parse_http_date(text)
    parse_retry_after(text, now=NOW)
