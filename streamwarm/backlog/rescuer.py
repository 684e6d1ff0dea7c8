"""Keeps the backlog moving when nobody else does: wakes jobs whose retry is due, takes back those whose
worker was lost, and forgets what ended long ago.

Three duties, a task each, all of the same shape: do it, sleep, again. A store that fails is reported and
asked again with back-off; it never ends the service.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import trio

from streamwarm.backlog.store import Rescued, Store
from streamwarm.errors import StoreUnavailable
from streamwarm.retry import backoff_s
from streamwarm.watch.events import AttemptFailed, Observer, StoreTrouble, unobserved

WAKE_EVERY_S = 1.0
"""The longest sleep between two looks at what is due: a job that begins to wait is noticed within it."""

RESCUE_EVERY_S = 5.0
"""A lost job must be claimable within 10 s of its lease's end (fault 18); this leaves half of that for the
store."""

PRUNE_EVERY_S = 3_600.0
"""The longest sleep between two looks at what ended long ago."""

_PRUNE_EVERY_AT_LEAST_S = 5.0
"""However short a time ended jobs are kept: a look costs two index reads and a transaction."""

_BACKOFF_STEPS = 3
"""Failures after which the wait grows no more (to 4 s at most), so that a rescue is never late for long."""

_Duty = Callable[[], Awaitable[float]]
"""Does one round and returns how many seconds to sleep before the next."""


def prune_interval_s(keep_s: float) -> float:
    """How often to look for what was kept for `keep_s`: it is gone a tenth of that later, or a few seconds."""
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
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run until cancelled. `now` is the store's clock (Unix seconds), `random` is uniform in [0, 1),
    `interval_s` the time between two rescues, `prune_every_s` between two prunes; `on_queued` is called when
    jobs became `queued`. `before_rescue` renews this process's own leases: one that was suspended must not rescue
    what it still runs."""
    async with trio.open_nursery() as nursery:
        for where, duty in (
            ("wake", partial(_wake, store, now, on_queued)),
            ("rescue", partial(_rescue, store, interval_s, observe, on_queued, before_rescue)),
            ("prune", partial(_prune, store, prune_every_s)),
        ):
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


async def _wake(store: Store, now: Callable[[], float], on_queued: Callable[[], None]) -> float:
    due = await store.wake_due()
    if due.woken:
        on_queued()
    return WAKE_EVERY_S if due.next_at is None else min(WAKE_EVERY_S, max(0.0, due.next_at - now()))


async def _rescue(
    store: Store,
    interval_s: float,
    observe: Observer,
    on_queued: Callable[[], None],
    before_rescue: Callable[[], Awaitable[None]],
) -> float:
    await before_rescue()
    rescued = await store.rescue()
    tell_set_aside(rescued, observe)
    if rescued.queued:
        on_queued()
    return interval_s


def tell_set_aside(rescued: Rescued, observe: Observer) -> None:
    """Jobs that ended because their worker was lost: no worker can tell of them."""
    for job in rescued.set_aside:
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


async def _prune(store: Store, every_s: float) -> float:
    await store.prune()
    return every_s
