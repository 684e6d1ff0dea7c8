"""Keeps the limits of this process those of its store, where every process that shares it leaves word: what people have
paused and mended, where lanes have moved, where a 429 asked for silence, and how many processes there are.

Of every budget each takes its equal share, so that together they stay inside it. All of them draw from one queue, so
equal shares are near to what each can use, and none has to ask another before each message. Who joins counts itself
before it sends anything; the others count it within `POLL_S`, and until then the budget may be passed by one share. Who
is gone is counted for as long as what it sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import trio
from attrs import define, field

from streamwarm.backlog.shared_limits import SharedLimits
from streamwarm.backlog.store import Store
from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.pauses import Pause
from streamwarm.dispatch.recall import RECALLED_S
from streamwarm.errors import StoreUnavailable
from streamwarm.watch.events import Observer, StoreTrouble

POLL_S = 2.0
"""How soon is obeyed here what was left word of at another process. Ten processes ask five times a second together."""

READ_S = 0.5
"""What a reading of the store takes where it is busy."""


@define
class LimitsFollower:
    """`least`: so many processes there are for certain. `now` is the store's clock, `steady_now` that of the limits;
    `wake` tells the dispatcher that they have changed."""

    store: Store
    limits: Limits
    least: int
    now: Callable[[], float]
    steady_now: Callable[[], float]
    wake: Callable[[], None]
    observe: Observer
    _mended: Mapping[str, int] = field(factory=dict)
    _counted_at: dict[int, float] = field(factory=dict)  # when there were last so many processes
    _turn: trio.Lock = field(factory=trio.Lock)
    _news: trio.Event = field(factory=trio.Event)

    def look(self) -> None:
        """There is word of another process: do not wait for the next poll."""
        self._news.set()

    async def refresh(self) -> None:
        """Obey what the store says now. Raises `StoreUnavailable`.

        One reading after another: an answer that was long under way must not undo what was read after it.
        """
        async with self._turn:
            if self._obey(await self.store.shared_limits()):
                self.wake()

    async def refresh_everywhere(self) -> None:
        """`refresh`; where others share the store, it returns once they have had the time to look as well, so that
        who ordered a pause may go by the answer."""
        await self.refresh()
        if self.limits.processes > 1:
            await trio.sleep(POLL_S + READ_S)

    async def follow(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep up with the store until cancelled; returns from `start` once the first reading is obeyed.

        Raises `StoreUnavailable` if that fails; later failures leave the limits as they were.
        """
        await self.refresh()
        task_status.started()
        while True:
            with trio.move_on_after(POLL_S):
                await self._news.wait()
            self._news = trio.Event()  # before the read: word that comes during it is not missed
            try:
                await self.refresh()
            except StoreUnavailable as exc:
                self.observe(StoreTrouble("reading what the processes share", str(exc)))

    def _obey(self, shared: SharedLimits) -> bool:
        """Whether anything of it is news."""
        # In whole seconds: the two clocks are read one after the other, and differ for certain only where the store's
        # was set back.
        ahead_s = round(self.steady_now() - self.now())
        mended = [name for name, times in shared.resumes.items() if times != self._mended.get(name)]
        self._mended = shared.resumes
        for name in mended:
            self.limits.resume(name)
        news = [
            bool(mended),
            self.limits.share(self._sharers(shared.processes)),
            self.limits.replace_user_pauses(
                {
                    pause.destination: Pause(_later(pause.until, ahead_s), "paused by a user", by_user=True)
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
        ]
        return any(news)

    def _sharers(self, processes: int) -> int:
        """How many have sent something that the windows of quotas still hold."""
        now = self.steady_now()
        self._counted_at[max(self.least, processes)] = now
        return max(count for count, at in self._counted_at.items() if now - at <= RECALLED_S)


def _later(until: float | None, by_s: float) -> float | None:
    return None if until is None else until + by_s
