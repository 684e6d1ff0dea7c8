"""Applies to this process's limits what the processes of one store share: users' pauses and resumes, moved lanes,
cooldowns after a 429, lanes that are set aside, and how many processes there are.

Each process uses an equal share of every budget, so that together they keep it. All of them draw from one queue, so
equal shares are close to what each can use, and none has to ask another before each message. A process that joins
counts itself before it sends anything. The others count it within `FOLLOW_EVERY_S`; until then the budget may be
exceeded by one share. A process that is gone is counted as long as what it sent counts.

A process that the others had counted out (it stood still, or could not reach the store) does not know what they sent in
its place. So it recalls the last minute when it is back, as a process that starts does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import trio
from attrs import define, field

from streamwarm.backlog.shared_limits import EVERY_LANE, SetAside, SharedLimits
from streamwarm.backlog.store import Store
from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.pauses import Pause, PausedBy
from streamwarm.dispatch.recall import RECALLED_S, recall_lanes
from streamwarm.errors import StoreUnavailable
from streamwarm.model import Kind
from streamwarm.watch.observations import Observer, StoreTrouble

FOLLOW_EVERY_S = 2.0
"""How often the shared limits are read, in seconds: how late this process follows another one at most. Ten processes
together read five times a second."""

ABSENT_S = 10.0
"""Without a read for so long, in seconds, this process may have been counted out: less than the time after which stores
do that (`ALIVE_S`, 15 s)."""

READ_S = 0.5
"""How long one read takes if the store is busy, in seconds."""


@define
class LimitsFollower:
    """Applies the shared limits to `limits`.

    `least`: there are at least so many processes. `now` is the store's clock, `steady_now` that of the limits. `wake`
    is called when they have changed. `follow_source` applies the pause of the bucket, given when the read began.
    """

    store: Store
    limits: Limits
    least: int
    now: Callable[[], float]
    steady_now: Callable[[], float]
    wake: Callable[[], None]
    observe: Observer
    follow_source: Callable[[SharedLimits, float], bool]
    _resumes: Mapping[str, int] | None = None
    _set_asides: dict[tuple[str, str, Kind | None], SetAside] = field(factory=dict)
    _counted_at: dict[int, float] = field(factory=dict)  # by number of processes: when there were last so many
    _heard_at: float = math.inf  # the store's clock; no read yet
    _refreshing: trio.Lock = field(factory=trio.Lock)
    _changed: trio.Event = field(factory=trio.Event)

    def refresh_soon(self) -> None:
        """Another process has changed something: do not wait for the next poll."""
        self._changed.set()

    async def refresh(self) -> None:
        """Apply what the store holds now. Raises `StoreUnavailable`.

        One read at a time: an answer that was long under way must not undo what a later read has found.
        """
        async with self._refreshing:
            read_at = trio.current_time()
            shared = await self.store.shared_limits()
            if shared.processes > 1 and self.now() - self._heard_at > ABSENT_S:
                await recall_lanes(self.store, self.limits)
            self._heard_at = self.now()
            if any([self._apply(shared), self.follow_source(shared, read_at)]):
                self.wake()

    async def refresh_everywhere(self) -> None:
        """`refresh`, and wait until other processes have had time to read too, if there are any.

        So a user who ordered a pause can rely on the answer. Raises `StoreUnavailable`.
        """
        await self.refresh()
        if self.limits.processes > 1:
            await trio.sleep(FOLLOW_EVERY_S + READ_S)

    async def follow(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow the store until cancelled; `start` returns once the first read is applied.

        Raises `StoreUnavailable` if that one fails; later failures leave the limits as they were.
        """
        await self.refresh()
        task_status.started()
        while True:
            with trio.move_on_after(FOLLOW_EVERY_S):
                await self._changed.wait()
            self._changed = trio.Event()  # before the read: what changes during it is not missed
            try:
                await self.refresh()
            except StoreUnavailable as exc:
                self.observe(StoreTrouble("reading what the processes share", str(exc)))

    def _apply(self, shared: SharedLimits) -> bool:
        """Returns True if that changed anything."""
        # In whole seconds: the two clocks are read one after the other, so only a larger difference means that the
        # store's clock was set back.
        ahead_s = round(self.steady_now() - self.now())
        before = self._resumes or {}
        resumed = [name for name, times in shared.resumes.items() if times != before.get(name)]
        # Those of the first read may be long past: chats may have refused jobs since.
        heard_at = -math.inf if self._resumes is None else self.now()
        self._resumes = shared.resumes
        for name in resumed:
            self.limits.resume(name, heard_at)
        news = [
            bool(resumed),
            self.limits.share(self._sharers(shared.processes)),
            self.limits.replace_user_pauses(
                {
                    pause.destination: Pause(
                        _later(pause.until, ahead_s), "paused by a user", by=PausedBy.USER, since=pause.paused_at
                    )
                    for pause in shared.pauses
                }
            ),
            *(self.limits.move_lane(moved.destination, moved.lane, moved.address) for moved in shared.moved_lanes),
            *(
                self.limits.cool_down(
                    cooldown.destination, cooldown.lane, Pause(cooldown.until + ahead_s, cooldown.reason)
                )
                for cooldown in shared.cooldowns
            ),
            self._follow_set_asides(shared.set_asides, ahead_s),
        ]
        return any(news)

    def _follow_set_asides(self, set_asides: Sequence[SetAside], ahead_s: float) -> bool:
        """Set aside the lanes that any process has set aside, and use those again that have taken a job since. Returns
        True if that changed anything."""
        before, self._set_asides = self._set_asides, {(one.destination, one.lane, one.kind): one for one in set_asides}
        ended = [key for key in before if key not in self._set_asides]
        news = [self.limits.took(destination, lane, kind) for destination, lane, kind in ended if kind]
        for one in set_asides:
            pause = Pause(one.until + ahead_s, one.reason, fixable=True)
            if one.lane == EVERY_LANE:
                news.append(self.limits.cool_down(one.destination, None, pause))
                continue
            if one.kind is None:
                news.append(self.limits.set_lane_aside(one.destination, one.lane, pause))
                continue
            news.append(self.limits.refuse_kind(one.destination, one.lane, one.kind, pause))
            if news[-1] and one.room is not None:
                self.limits.suspect(one.destination, one.lane, one.kind, one.room)
        return any(news)

    def _sharers(self, processes: int) -> int:
        """How many processes have sent something that still counts in a quota's window."""
        now = self.steady_now()
        self._counted_at[max(self.least, processes)] = now
        return max(count for count, at in self._counted_at.items() if now - at <= RECALLED_S)


def _later(until: float | None, by_s: float) -> float | None:
    return None if until is None else until + by_s
