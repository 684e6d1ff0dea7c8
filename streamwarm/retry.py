"""When to retry. Pure: functions of the error, the attempt, a random number and the time."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from streamwarm.errors import LONGEST_WAIT_S, AttemptError

BASE_S = 1.0
"""The first wait, in seconds. R2's SlowDown and Telegram's 5xx usually pass within a second or two."""

CEILING_S = 300.0
"""The longest wait between attempts, in seconds. After more than five minutes a user would think the job is stuck."""

PATIENCE_S = 900.0
"""How many seconds after its first failure a job is retried although its attempts are used up, if the trouble passes by
itself. An outage of some minutes must not fail a lone job (contract, section 4: 15 minutes). Five attempts with
back-off take half a minute."""

NEW_TROUBLE_S = 3600.0
"""How many seconds a job must have gone untried for its next failure to be new trouble, with a patience of its own. The
waits between attempts are at most `CEILING_S`, so one outage seldom leaves such a gap."""

RENEWED_ATTEMPTS = 50
"""How many attempts may renew a job's patience. An object that is broken for good must fail in the end, though each
attempt comes hours after the last. One outage of `PATIENCE_S` takes about twelve attempts."""


def backoff_s(attempt: int, random: float) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1): exponential back-off with equal jitter.

    `random` is uniform in [0, 1). The wait is between half and all of `BASE_S * 2**(attempt-1)`, at most `CEILING_S`.
    The random half spreads jobs that failed together. The fixed half always gives the peer some rest.
    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ ("equal jitter").
    """
    full = min(CEILING_S, BASE_S * 2.0 ** min(attempt - 1, 30))
    return full / 2 + random * full / 2


def retry_at(
    error: AttemptError,
    *,
    attempt: int,
    max_attempts: int,
    now: float,
    random: float,
    first_failed_at: float | None = None,
) -> float | None:
    """When the next attempt may start (Unix seconds), or None if there is none.

    The wait is never shorter than the peer asked for (`retry_after_s`). An error that does not count is retried however
    many attempts there were. So is passing trouble until `PATIENCE_S` after `first_failed_at`: when this trouble began
    (Unix seconds; None: now).
    """
    used_up = error.counts and attempt >= max_attempts
    if error.permanent or (used_up and not (error.passing and is_patient(first_failed_at, now))):
        return None
    if not error.counts:
        return now + (error.retry_after_s or 0.0)
    return now + max(backoff_s(attempt, random), error.retry_after_s or 0.0)


def is_patient(first_failed_at: float | None, now: float) -> bool:
    """Whether a job whose attempts are used up is still retried: `PATIENCE_S` have not passed since the trouble began.

    Both times are Unix seconds of the store's clock; None: the trouble begins now.
    """
    return first_failed_at is None or now < first_failed_at + PATIENCE_S


def trouble_since(first_failed_at: float | None, *, attempt: int, untried_s: float) -> float | None:
    """When the trouble began to which a failure of the next attempt belongs, or None if it will be new trouble.

    `first_failed_at` is when the known trouble began. The job has gone untried for `untried_s` seconds and has used
    `attempt` attempts.
    """
    return None if untried_s >= NEW_TROUBLE_S and attempt < RENEWED_ATTEMPTS else first_failed_at


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
    """Unix seconds of a `Date` or the like; None if the text is not a date, or if the date is out of range."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, OSError, TypeError, IndexError):
        return None
