"""When to retry. Pure: functions of the error, the attempt, a random number and the time."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from streamwarm.errors import LONGEST_WAIT_S, AttemptError

BASE_S = 1.0
"""The first wait, in seconds. R2's SlowDown and Telegram's 5xx usually pass within a second or two."""

CEILING_S = 300.0
"""The longest wait between attempts, in seconds. After more than five minutes a user would think the job is stuck."""


def backoff_s(attempt: int, random: float) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1): exponential back-off with equal jitter.

    `random` is uniform in [0, 1). The wait is between half and all of `BASE_S * 2**(attempt-1)`, at most `CEILING_S`.
    The random half spreads jobs that failed together. The fixed half always gives the peer some rest.
    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ ("equal jitter").
    """
    full = min(CEILING_S, BASE_S * 2.0 ** min(attempt - 1, 30))
    return full / 2 + random * full / 2


def retry_at(error: AttemptError, *, attempt: int, max_attempts: int, now: float, random: float) -> float | None:
    """When the next attempt may start (Unix seconds), or None if there is none.

    The wait is never shorter than the peer asked for (`retry_after_s`). An error that does not count is retried however
    many attempts there were.
    """
    if error.permanent or (error.counts and attempt >= max_attempts):
        return None
    if not error.counts:
        return now + (error.retry_after_s or 0.0)
    return now + max(backoff_s(attempt, random), error.retry_after_s or 0.0)


def parse_retry_after(text: str | None, *, now: float) -> float | None:
    """Seconds to wait, from either form of `Retry-After` (RFC 9110, section 10.2.3); at most a day.

    Returns None if the header is missing or malformed. `now` is Unix seconds.
    """
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
