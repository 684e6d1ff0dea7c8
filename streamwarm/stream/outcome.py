"""Decides what becomes of a job after a failed attempt. Pure."""

from __future__ import annotations

from typing import Literal

from attrs import evolve

from streamwarm.backlog.settlement import Failed, Retry, Settlement
from streamwarm.backlog.shared_limits import PauseEffect, RefusalEffect
from streamwarm.errors import AttemptError, DestinationError, ErrorCode, JobError
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
    effect: PauseEffect | None = None,
) -> Settlement:
    """Returns a retry or the end: `failed`, or `unknown` if the answer was lost and the policy is to hold.

    `now` is the store's time, Unix seconds; `effect` is what the destination's answer has paused.
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
    retry = Retry(claim.lease, reported, when, error.counts, answer_lost)
    if effect is None:
        return retry
    return evolve(retry, cooldown=effect.cooldown, set_aside=effect.set_aside, barred=effect.barred)


def after_refusal(claim: Claim, error: DestinationError, effect: RefusalEffect, *, max_attempts: int) -> Settlement:
    """Returns what follows a refusal in unknown words, as other attempts have decided."""
    if effect.fails:
        message = f"{error.message} (attempt {claim.job.attempt} of {max_attempts}; every chat has refused it)"
        return Failed(claim.lease, JobError(error.code, message, permanent=False), set_aside=effect.set_aside)
    return Retry(
        claim.lease,
        error.as_job_error(),
        effect.retry_at,
        effect.counts,
        set_aside=effect.set_aside,
        barred=effect.barred,
    )
