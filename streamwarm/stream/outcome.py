"""Decides what becomes of a job after a failed attempt. Pure."""

from __future__ import annotations

from typing import Literal

from streamwarm.backlog.settlement import Failed, Retry, Settlement
from streamwarm.backlog.shared_limits import Cooldown
from streamwarm.errors import AttemptError, ErrorCode, JobError
from streamwarm.model import Claim, State
from streamwarm.retry import PATIENCE_S, retry_at


def after_failure(
    claim: Claim,
    error: AttemptError,
    *,
    on_unknown: Literal["retry", "hold"],
    max_attempts: int,
    now: float,
    random: float,
    cooldown: Cooldown | None = None,
) -> Settlement:
    """Returns a retry or the end: `failed`, or `unknown` if the answer was lost and the policy is to hold.

    `now` is the store's time, Unix seconds; `cooldown` is what the destination has asked for.
    """
    attempt = claim.job.attempt
    answer_lost = error.code is ErrorCode.DELIVERY_UNKNOWN
    if answer_lost and on_unknown == "hold":
        return Failed(claim.lease, error.as_job_error(), State.UNKNOWN)
    when = retry_at(
        error,
        attempt=attempt,
        max_attempts=max_attempts,
        now=now,
        random=random,
        first_failed_at=claim.job.first_failed_at,
    )
    if error.permanent:
        return Failed(claim.lease, error.as_job_error())
    used_up = f"attempt {attempt} of {max_attempts}"
    if when is None:
        return Failed(claim.lease, JobError(error.code, f"{error.message} ({used_up})", permanent=False))
    reported = error.as_job_error()
    if error.counts and attempt >= max_attempts:
        message = f"{error.message} ({used_up}, within {PATIENCE_S / 60:.0f} minutes of the first failure)"
        reported = JobError(error.code, message, permanent=False)
    return Retry(claim.lease, reported, when, error.counts, answer_lost, cooldown)
