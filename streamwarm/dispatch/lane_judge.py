"""Weighs a refusal in unknown words: reads what other attempts have shown, and applies what `evidence` decides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from attrs import define, field

from streamwarm.attempts import LaneAttempt, Outcome
from streamwarm.backlog.shared_limits import RefusalEffect, SetAside
from streamwarm.backlog.store import Store
from streamwarm.dispatch.evidence import SEEN, WINDOW_S, Judgement, Refusal, Seen, judge
from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.pauses import Pause
from streamwarm.errors import DestinationError, ErrorCode, JobError, StoreUnavailable
from streamwarm.model import Claim, Job, Kind, Lane
from streamwarm.watch.observations import DestinationPaused, Observer, StoreTrouble

READ_BACK_S = 24 * WINDOW_S
"""How far back the attempts at a lane are read, in seconds."""

READ = 500
"""How many of them are read: the lane's other kinds are among them."""

OTHER_LANE_S = 1.0
"""How long a refused job waits before it goes to another lane, in seconds."""

SAME_S = 30.0
"""An attempt that this process remembers, and one of the same job that ended so near to it, are the same one: no job
comes back to a lane within `evidence.SAME_LANE_S`."""


@define
class LaneJudge:
    """`now` is the store's clock (Unix seconds), `steady_now` that of the limits. `wake` is called when a lane is set
    aside. `_own` has what this process has seen lately: the store may not have it yet."""

    store: Store
    limits: Limits
    now: Callable[[], float]
    steady_now: Callable[[], float]
    max_attempts: int
    wake: Callable[[], None]
    observe: Observer
    _own: dict[tuple[str, str, Kind], list[Seen]] = field(factory=lambda: defaultdict(list))

    async def weigh(self, claim: Claim, error: DestinationError) -> RefusalEffect | None:
        """What follows a refusal that does not say what is at fault. None if the destination has no lanes."""
        if claim.lane is None or not error.is_unclear:
            return None
        job, lane, now = claim.job, claim.lane, self.now()
        key = (job.destination, lane.name, job.kind)
        # What was refused before a user resumed the destination says nothing about it now.
        since = self.limits.state(job.destination).resumed_at
        stored, refused_by = await self._read(job, lane)
        before = [one for one in _merged(stored, self._own[key]) if one.at > since]
        self._own[key] = [*self._own[key], Seen(job.id, now, took=False)][-SEEN:]
        refusal = Refusal(
            job_id=job.id,
            lane=lane.name,
            at=now,
            attempt=job.attempt,
            max_attempts=self.max_attempts,
            refused_by={name: at for name, at in refused_by.items() if at > since},
            usable=self.limits.usable(job.destination, job.kind, self.steady_now()),
        )
        found = judge(refusal, before, backoff_s=OTHER_LANE_S)
        set_aside = self._apply(job, lane, error, found, now)
        return RefusalEffect(found.fails, found.counts, found.retry_at, found.barred, set_aside)

    def took(self, claim: Claim) -> str | None:
        """Note that the lane took the job. Returns the lane's name if it had refused jobs of this kind before."""
        if claim.lane is None:
            return None
        job, lane = claim.job, claim.lane.name
        key = (job.destination, lane, job.kind)
        if key in self._own:
            self._own[key] = [*self._own[key], Seen(job.id, self.now(), took=True)][-SEEN:]
        if not self.limits.took(job.destination, claim.lane, job.kind):
            return None
        self.wake()
        return lane

    def _apply(self, job: Job, lane: Lane, error: DestinationError, found: Judgement, now: float) -> SetAside | None:
        self.limits.suspect(job.destination, lane.name, job.kind, found.lane_room)
        if found.lane_out_until is None:
            return None
        pause = Pause(found.lane_out_until - now + self.steady_now(), error.message, fixable=True)
        self.limits.refuse_kind(job.destination, lane.name, job.kind, pause)
        for_s = found.lane_out_until - now
        self.observe(DestinationPaused(job.destination, error.message, for_s, ErrorCode.CHAT_UNAVAILABLE, lane.address))
        self.wake()
        return SetAside(job.destination, lane.name, job.kind, found.lane_out_until, now, found.lane_room, error.message)

    async def _read(self, job: Job, lane: Lane) -> tuple[list[Seen], dict[str, float]]:
        """What the store has of the lane with this kind, oldest first, and which lanes have refused the job."""
        try:
            at_lane = await self.store.attempts_at_lane(lane.address, since=self.now() - READ_BACK_S, limit=READ)
            own = await self.store.attempts(job.id) or []
        except StoreUnavailable as exc:  # what this process remembers must do
            self.observe(StoreTrouble("weighing a refusal", str(exc)))
            return [], {}
        of_kind = [one for one in at_lane if (one.destination, one.kind) == (job.destination, job.kind)]
        names = {state.address: name for name, state in self.limits.state(job.destination).lanes.items()}
        refused_by = {
            names[one.lane]: one.ended_at
            for one in own
            if one.lane in names and one.ended_at is not None and _is_unclear(one.error)
        }
        return list(_seen(reversed(of_kind[:SEEN]))), refused_by


def _seen(attempts: Iterable[LaneAttempt]) -> Iterable[Seen]:
    for one in attempts:
        if one.outcome is Outcome.DONE:
            yield Seen(one.job_id, one.ended_at, took=True)
        elif _is_unclear(one.error):
            yield Seen(one.job_id, one.ended_at, took=False)


def _is_unclear(error: JobError | None) -> bool:
    """Whether a kept attempt was refused in unknown words: no other refusal has this code and may succeed later."""
    return error is not None and error.code is ErrorCode.DESTINATION_REFUSED and not error.permanent


def _merged(stored: Sequence[Seen], own: Sequence[Seen]) -> list[Seen]:
    """What was seen, by time, each attempt once."""
    missing = [
        one
        for one in own
        if not any(other.job_id == one.job_id and abs(other.at - one.at) < SAME_S for other in stored)
    ]
    return sorted([*stored, *missing], key=lambda one: one.at)[-SEEN:]
