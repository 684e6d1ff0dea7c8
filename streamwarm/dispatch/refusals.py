"""What a destination's refusal pauses, and what that means for the job that met it. Pure."""

from __future__ import annotations

from streamwarm.backlog.shared_limits import Cooldown, PauseEffect
from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.pauses import Pause
from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.model import Claim, Lane


def pause_after(
    limits: Limits, claim: Claim, error: DestinationError, *, now: float, steady_now: float
) -> tuple[Lane | None, PauseEffect]:
    """Pause the destination, or the lane, until the deadline that the error names.

    Returns the lane, or None if the whole destination pauses. `now` is the store's time, `steady_now` that of the
    limits.
    """
    destination, for_s = claim.job.destination, error.retry_after_s
    limited = error.code is ErrorCode.RATE_LIMITED
    pause = Pause(None if for_s is None else steady_now + for_s, error.message, fixable=not limited)
    lane = None if error.pauses_destination else claim.lane
    if lane is None:
        limits.pause(destination, pause)
    elif not limited:
        limits.set_lane_aside(destination, lane.name, pause)
    elif limits.cool_down_lane(destination, lane.name, pause, steady_now):
        lane = None  # the whole destination cools down
    # A job that the pause costs nothing stays in the queue: it goes on with all others when a user resumes.
    job_waits = lane is None and (limited or error.counts)
    job_waits = job_waits or (limited and destination in limits.active(steady_now))
    if not limited or for_s is None:
        return lane, PauseEffect(job_waits)
    cooldown = Cooldown(destination, lane.name if lane else None, now + for_s, error.message, set_at=now)
    return lane, PauseEffect(job_waits, cooldown)
