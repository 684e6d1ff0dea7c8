"""Weighs a refusal in unknown words: reads what other attempts have shown, and applies what `evidence` decides."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import define, field

from streamwarm.attempts import AttemptRecord, LaneAttempt, Outcome
from streamwarm.backlog.shared_limits import RefusalEffect, SetAside
from streamwarm.backlog.store import Store
from streamwarm.dispatch.evidence import SEEN, WINDOW_S, Refusal, Seen, judge, judge_chat
from streamwarm.dispatch.lanes import all_of
from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.pauses import Pause
from streamwarm.errors import DestinationError, ErrorCode, JobError, StoreUnavailable
from streamwarm.model import Claim, Job, Kind
from streamwarm.watch.observations import DestinationPaused, Observer, StoreTrouble

READ_BACK_S = 24 * WINDOW_S
"""How far back the attempts at a lane are read, in seconds."""

READ = 500
"""How many attempts at a lane are read, of all kinds; `SEEN` of the job's kind are used."""

OTHER_LANE_S = 1.0
"""How long a refused job waits before it goes to another lane, in seconds."""

SAME_S = 30.0
"""If the store has an attempt of the same job less than so many seconds from one that this process remembers, both are
one attempt. No job comes back to a lane within `evidence.SAME_LANE_S`, which is longer."""


@define
class LaneJudge:
    """Finds out what follows a refusal in unknown words, and notes which lanes take jobs again.

    `now` is the store's clock (Unix seconds), `steady_now` that of the limits. `wake` is called when a lane is set
    aside or takes jobs again. `_own` is what this process has seen lately: the store may not have it yet.
    """

    store: Store
    limits: Limits
    now: Callable[[], float]
    steady_now: Callable[[], float]
    max_attempts: int
    wake: Callable[[], None]
    observe: Observer
    _own: dict[tuple[str, str, Kind], list[Seen]] = field(factory=lambda: defaultdict(list))

    async def weigh(self, claim: Claim, error: DestinationError) -> RefusalEffect | None:
        """Return what follows a refusal. None if its words say what is at fault, or if the destination has no lanes.

        If the store is unavailable, what this process remembers decides.
        """
        if claim.lane is None or not error.is_unclear:
            return None
        job, lane, now = claim.job, claim.lane, self.now()
        state = self.limits.state(job.destination)
        if lane.name not in state.lanes:
            return None
        mates = {mate.name: mate.address for mate in state.mates(lane.name)}
        # What was refused before a user resumed the destination says nothing about it now.
        since = state.resumed_at if state.resumed_at <= now else -math.inf  # the clock was set back
        before, refused_by = await self._read(job, mates, since=since)
        this = Seen(job.id, now, took=False)
        self._remember(job, lane.name, this)
        chat = judge_chat(lane.name, this, before) if len(mates) > 1 else None
        refusal = Refusal(
            job_id=job.id,
            lane=lane.name,
            at=now,
            attempt=job.attempt,
            max_attempts=self.max_attempts,
            refused_by=refused_by,
            usable=self.limits.usable(job.destination, job.kind, self.steady_now()),
            mates=frozenset(mates) if chat is not None else frozenset(),
            chat_is_out=chat is not None and chat.was_out,
        )
        found = judge(refusal, before[lane.name], backoff_s=OTHER_LANE_S)
        set_aside = self._apply(job, lane.name, lane.address, error, found.lane_out_until, found.lane_room)
        if chat is not None:
            whole = all_of(state.lanes[lane.name].budget)
            set_aside = self._apply(job, whole, whole, error, chat.out_until, chat.room) or set_aside
        return RefusalEffect(found.fails, found.counts, found.retry_at, found.barred, set_aside)

    def took(self, claim: Claim) -> str | None:
        """Note that the lane took the job. Returns the lane's name if it had refused jobs of this kind before."""
        if claim.lane is None:
            return None
        job, lane = claim.job, claim.lane.name
        state = self.limits.state(job.destination)
        if lane not in state.lanes:
            return None
        if (job.destination, lane, job.kind) in self._own:
            self._remember(job, lane, Seen(job.id, self.now(), took=True))
        whole = all_of(state.lanes[lane].budget)
        changed = [name for name in (lane, whole) if self.limits.took(job.destination, name, job.kind)]
        if changed:
            self.wake()
        return changed[-1] if changed else None

    def _remember(self, job: Job, lane: str, seen: Seen) -> None:
        key = (job.destination, lane, job.kind)
        self._own[key] = [*self._own[key], seen][-SEEN:]

    def _apply(
        self, job: Job, lane: str, address: str, error: DestinationError, out_until: float | None, room: int
    ) -> SetAside | None:
        self.limits.suspect(job.destination, lane, job.kind, room)
        if out_until is None:
            return None
        now = self.now()
        pause = Pause(out_until - now + self.steady_now(), error.message, fixable=True)
        self.limits.refuse_kind(job.destination, lane, job.kind, pause)
        code = ErrorCode.CHAT_UNAVAILABLE
        self.observe(DestinationPaused(job.destination, error.message, out_until - now, code, address, job.kind))
        self.wake()
        return SetAside(job.destination, lane, job.kind, out_until, now, room, error.message)

    async def _read(
        self, job: Job, lanes: Mapping[str, str], *, since: float
    ) -> tuple[dict[str, list[Seen]], dict[str, float]]:
        """What is known of each lane (name and address) with this kind since then, oldest first, and which lanes have
        refused the job."""
        stored: dict[str, list[Seen]] = {name: [] for name in lanes}
        own: Sequence[AttemptRecord] = ()
        try:
            for name, address in lanes.items():
                stored[name] = await self._read_lane(job, address)
            own = await self.store.attempts(job.id) or ()
        except StoreUnavailable as exc:  # what this process remembers must do
            self.observe(StoreTrouble("weighing a refusal", str(exc)))
        names = {state.address: name for name, state in self.limits.state(job.destination).lanes.items()}
        refused_by = {
            names[one.lane]: one.ended_at
            for one in own
            if one.lane in names and one.ended_at is not None and one.ended_at >= since and _is_unclear(one.error)
        }
        known = {name: _merged(stored[name], self._own.get((job.destination, name, job.kind), ())) for name in lanes}
        return {name: [one for one in seen if one.at >= since] for name, seen in known.items()}, refused_by

    async def _read_lane(self, job: Job, address: str) -> list[Seen]:
        at_lane = await self.store.attempts_at_lane(address, since=self.now() - READ_BACK_S, limit=READ)
        of_kind = [one for one in at_lane if (one.destination, one.kind) == (job.destination, job.kind)]
        return list(_seen(reversed(of_kind[:SEEN])))


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
    """Return what the store and this process have seen, oldest first, each attempt once."""
    missing = [
        one
        for one in own
        if not any(other.job_id == one.job_id and abs(other.at - one.at) < SAME_S for other in stored)
    ]
    return sorted([*stored, *missing], key=lambda one: one.at)[-SEEN:]
