"""Keeps the backlog moving: wakes jobs whose retry is due, rescues jobs whose worker was lost, deletes what ended
long ago, and looks for rows that cannot be read.

Each of these duties has a task, which does it, sleeps, and repeats. If the store fails, that is reported and the
duty is tried again with back-off. It never ends the service.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import trio
from attrs import define, field

from streamwarm.backlog.core.deadlines import SlowClock, Steps
from streamwarm.backlog.store import Store
from streamwarm.backlog.upkeep import Rescued
from streamwarm.errors import StoreUnavailable
from streamwarm.retry import backoff_s
from streamwarm.watch.observations import AttemptFailed, Observer, StoreTrouble, unobserved
from streamwarm.watch.store_news import OddRowFound

WAKE_EVERY_S = 1.0
"""The longest sleep in seconds between two checks for due jobs. A job that starts to wait is noticed within it."""

RESCUE_EVERY_S = 5.0
"""Seconds between two rescues. A lost job must be claimable within 10 s of its lease's end (fault 18); half of that is
left for the store."""

PRUNE_EVERY_S = 3_600.0
"""The longest sleep in seconds between two prunes."""

SURVEY_EVERY_S = 3_600.0
"""Seconds between two surveys of all rows. A row that was corrected is read again within that time."""

_PRUNE_EVERY_AT_LEAST_S = 5.0
"""The shortest sleep between two prunes, even if ended jobs are kept for less: each costs a transaction."""

_BACKOFF_STEPS = 3
"""Failures in a row after which the wait stops growing. It is 4 s at most, so that no rescue is late for long."""

_Duty = Callable[[], Awaitable[float]]
"""Does one round and returns the seconds to sleep before the next."""


def prune_interval_s(keep_s: float) -> float:
    """Seconds between two prunes if ended jobs are kept for `keep_s`.

    They are deleted at most a tenth of that, or a few seconds, too late.
    """
    return min(PRUNE_EVERY_S, max(_PRUNE_EVERY_AT_LEAST_S, keep_s / 10))


async def run_rescuer(
    store: Store,
    *,
    now: Callable[[], float],
    random: Callable[[], float],
    observe: Observer = unobserved,
    on_queued: Callable[[], None] = lambda: None,
    before_rescue: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint,
    interval_s: float = RESCUE_EVERY_S,
    prune_every_s: float = PRUNE_EVERY_S,
    lease_s: float = 30.0,
    surveys: bool = True,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run until cancelled.

    `now` is the store's clock (Unix seconds), `random` is uniform in [0, 1). `interval_s` is the time between two
    rescues, `prune_every_s` that between two prunes. `on_queued` is called when jobs became `queued`. `before_rescue`
    renews this process's own leases: a process that was suspended must not rescue what it still runs. `lease_s` is how
    long every process has to renew its leases after the clock was set. One process of a service `surveys` the rows.
    """
    clock = _WatchedClock(store, now, lease_s)
    duties: list[tuple[str, _Duty]] = [
        ("wake", partial(_wake, store, clock, on_queued, observe)),
        ("rescue", partial(_rescue, store, interval_s, observe, on_queued, before_rescue, clock)),
        ("prune", partial(_prune, store, prune_every_s, clock)),
    ]
    if surveys:
        duties.append(("survey", partial(_survey, store)))
    async with trio.open_nursery() as nursery:
        for where, duty in duties:
            nursery.start_soon(_repeat, where, duty, random, observe)
        task_status.started()


async def _repeat(where: str, duty: _Duty, random: Callable[[], float], observe: Observer) -> None:
    failures = 0
    while True:
        try:
            pause_s = await duty()
        except StoreUnavailable as error:
            failures += 1
            observe(StoreTrouble(where, str(error)))
            pause_s = backoff_s(min(failures, _BACKOFF_STEPS), random())
        else:
            failures = 0
        await trio.sleep(pause_s)


@define
class _WatchedClock:
    """The store's clock, beside the steady one of the event loop."""

    store: Store
    now: Callable[[], float]
    lease_s: float
    _steps: Steps = field(factory=Steps)
    _believed: SlowClock = field(factory=SlowClock)
    _is_set_back: bool = False

    async def check(self) -> None:
        """If the clock was set back, reset the stored deadlines. Raises `StoreUnavailable`."""
        self._is_set_back |= self._steps.measure(self.now(), trio.current_time()) < 0
        if self._is_set_back:
            await self.store.reset_deadlines()
            self._is_set_back = False

    @property
    def is_settled(self) -> bool:
        """False for as long after a step as other processes may need to renew their leases."""
        return self._steps.is_settled(trio.current_time(), self.lease_s)

    def believed(self) -> float:
        return self._believed.read(self.now(), trio.current_time())


async def _wake(store: Store, clock: _WatchedClock, on_queued: Callable[[], None], observe: Observer) -> float:
    for row in store.new_odd_rows():
        observe(OddRowFound(row.table, row.key, row.why))
    await clock.check()
    due = await store.wake_due()
    if due.woken:
        on_queued()
    return WAKE_EVERY_S if due.next_at is None else min(WAKE_EVERY_S, max(0.0, due.next_at - clock.now()))


async def _rescue(
    store: Store,
    interval_s: float,
    observe: Observer,
    on_queued: Callable[[], None],
    before_rescue: Callable[[], Awaitable[None]],
    clock: _WatchedClock,
) -> float:
    await clock.check()
    await before_rescue()
    if not clock.is_settled:
        return interval_s
    rescued = await store.rescue()
    report_abandoned(rescued, observe)
    if rescued.queued:
        on_queued()
    return interval_s


def report_abandoned(rescued: Rescued, observe: Observer) -> None:
    """Report jobs that ended because their worker was lost: no worker can report them."""
    for job in rescued.abandoned:
        if (error := job.error) is not None:
            observe(
                AttemptFailed(
                    id=job.id,
                    destination=job.destination,
                    kind=job.kind,
                    r2_key=job.r2_key,
                    attempt=job.attempt,
                    code=error.code,
                    message=error.message,
                    outcome=job.state.value,
                    final=True,
                )
            )


async def _prune(store: Store, every_s: float, clock: _WatchedClock) -> float:
    await store.prune(believed=clock.believed())
    return every_s


async def _survey(store: Store) -> float:
    await store.survey()
    return SURVEY_EVERY_S
