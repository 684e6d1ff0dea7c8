"""When to try again: a pure function of the error, the attempt and a random number."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from streamwarm.errors import LONGEST_WAIT_S, AttemptError

BASE_S = 1.0
"""The first wait. R2's SlowDown and Telegram's 5xx usually clear within a second or two."""

CEILING_S = 300.0
"""The longest wait between attempts: beyond five minutes a person watching would take the job for stuck."""


def backoff_s(attempt: int, random: float) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1), exponential with full jitter's upper half.

    `random` is uniform in [0, 1). The wait is between half and all of `BASE_S * 2**(attempt-1)`, at most
    `CEILING_S`: some spread always, so that jobs that failed together do not come back together, and never so
    little that the far side has had no rest (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/,
    "equal jitter").
    """
    full = min(CEILING_S, BASE_S * 2.0 ** min(attempt - 1, 30))
    return full / 2 + random * full / 2


def retry_at(error: AttemptError, *, attempt: int, max_attempts: int, now: float, random: float) -> float | None:
    """When the next attempt may start (Unix seconds), or None if there is to be none.

    What the far side asked for (`retry_after_s`) is obeyed as a minimum. An error that does not count is retried
    whatever the number of attempts.
    """
    if error.permanent or (error.counts and attempt >= max_attempts):
        return None
    if not error.counts:
        return now + (error.retry_after_s or 0.0)
    return now + max(backoff_s(attempt, random), error.retry_after_s or 0.0)


def parse_retry_after(text: str | None, *, now: float) -> float | None:
    """Seconds to stay away, from either form of `Retry-After` (RFC 9110, section 10.2.3), at most a day."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:9]), LONGEST_WAIT_S)
    at = parse_http_date(text)
    return None if at is None else min(max(0.0, at - now), LONGEST_WAIT_S)


def parse_http_date(text: str) -> float | None:
    """Unix seconds of a `Date` or the like; None for what is no date, or is out of every calendar's range."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, OSError, TypeError, IndexError):
        return None
