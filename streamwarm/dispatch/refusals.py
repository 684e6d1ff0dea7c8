"""What a destination's refusal pauses, and what that means for the job that met it. Pure."""

from __future__ import annotations

from streamwarm.backlog.shared_limits import Cooldown, PauseEffect, SetAside
from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.pauses import Pause
from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.model import Barred, Claim, Kind, Lane


def pause_after(
    limits: Limits, claim: Claim, error: DestinationError, *, now: float, steady_now: float
) -> tuple[Lane | None, PauseEffect]:
    """Pause the destination, the lane, or the lane for the job's kind, until the deadline that the error names.

    Returns the lane, or None if the whole destination pauses. `now` is the store's time, `steady_now` that of the
    limits.
    """
    if error.code is ErrorCode.RATE_LIMITED:
        return _cool_down(limits, claim, error, now=now, steady_now=steady_now)
    destination, for_s = claim.job.destination, error.retry_after_s
    pause = Pause(None if for_s is None else steady_now + for_s, error.message, fixable=True)
    lane = None if error.pauses_destination else claim.lane
    if lane is None:
        limits.pause(destination, pause)
        # A job that the pause costs nothing stays in the queue: it goes on with all others when a user resumes.
        return None, PauseEffect(job_waits=error.counts)
    kind = Kind(error.sent_as or claim.job.kind) if error.pauses_kind else None
    if kind is None:
        limits.set_lane_aside(destination, lane.name, pause)
    else:
        limits.refuse_kind(destination, lane.name, kind, pause)
    if for_s is None:
        return lane, PauseEffect(job_waits=False)
    set_aside = SetAside(destination, lane.name, kind, now + for_s, now, None, error.message)
    barred = None if kind is None or kind is claim.job.kind else _barred_also(claim.job.barred, lane, now + for_s)
    return lane, PauseEffect(job_waits=False, set_aside=set_aside, barred=barred)


def is_older_than_resume(limits: Limits, claim: Claim, error: DestinationError, *, now: float) -> bool:
    """Whether a user has resumed the destination while the attempt was under way.

    The refusal may be of a fault that is fixed by now, so it pauses nothing: the next attempt shows. A 429 does, and so
    does an outage, for which an attempt counts. `now` is the store's time; if its clock was set back since the resume,
    nothing is known.
    """
    resumed_at = limits.state(claim.job.destination).resumed_at
    is_fixable = error.code is not ErrorCode.RATE_LIMITED and not error.counts
    return is_fixable and claim.job.updated_at < resumed_at <= now


def _barred_also(before: Barred, lane: Lane, until: float) -> Barred:
    """The lane does not take what this job is sent as, though it takes jobs of its kind."""
    return Barred(before.lanes | {lane.name}, max(before.until, until))


def _cool_down(
    limits: Limits, claim: Claim, error: DestinationError, *, now: float, steady_now: float
) -> tuple[Lane | None, PauseEffect]:
    destination, for_s = claim.job.destination, error.retry_after_s
    pause = Pause(None if for_s is None else steady_now + for_s, error.message)
    lane = None if error.pauses_destination else claim.lane
    if lane is None:
        limits.pause(destination, pause)
    elif limits.cool_down_lane(destination, lane.name, pause, steady_now):
        lane = None  # the whole destination cools down
    job_waits = lane is None or destination in limits.active(steady_now)
    if for_s is None:
        return lane, PauseEffect(job_waits)
    cooldown = Cooldown(destination, lane.name if lane else None, now + for_s, error.message, set_at=now)
    return lane, PauseEffect(job_waits, cooldown)
