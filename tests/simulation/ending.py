"""Waits until a run has come to rest, and gathers what the oracle asks about."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import trio

from streamwarm.backlog.store import Filter
from streamwarm.model import Job, State
from tests.simulation.facts import Ending
from tests.simulation.host import Host
from tests.simulation.oracle import ENDED
from tests.simulation.plan import CHATS, key_of
from tests.simulation.watcher import Watcher
from tests.simulation.whole import BEARER, KEY_ID, SECRET_KEY, TOKENS, TRUST_S, Whole

REST_WITHIN_S = 900.0
"""How long after the last fault everything may take to end, in virtual seconds: more than the longest time-out of an
answer, and than five back-offs and three windows of a chat's budget together."""

LOOK_S = 1.0
RESUMED_EVERY_S = 120.0
"""How often somebody resumes what is still paused, in virtual seconds: an answer that was given while a fault lasted
may arrive more than a minute after it."""

ALL = 10_000
DESCRIPTORS = Path("/proc/self/fd")


async def come_to_rest(whole: Whole) -> bool:
    """Have somebody resume everything, and wait until every job has ended, everybody has heard of it, and all have done
    what they wanted. False if that takes longer than `REST_WITHIN_S`."""
    with trio.move_on_after(REST_WITHIN_S) as scope:
        for person in whole.people:
            await person.has_acted.wait()
        resumed_at = -RESUMED_EVERY_S
        while not await _is_at_rest(whole):
            if trio.current_time() >= resumed_at + RESUMED_EVERY_S:
                resumed_at = trio.current_time()
                for params in ({}, *({"destination": name} for name in CHATS)):
                    await whole.people[0].ask_once("resume", params)
            await trio.sleep(LOOK_S)
    return not scope.cancelled_caught


async def _is_at_rest(whole: Whole) -> bool:
    if any(host.endpoints is None for host in whole.hosts):
        return False
    jobs = await _jobs(whole.hosts[0])
    if any(job.state not in {*ENDED, State.UNKNOWN} for job in jobs):
        return False
    last_seq = await whole.hosts[0].store.last_seq()
    return all(person.last_seq >= last_seq for person in whole.people)


async def _jobs(host: Host) -> list[Job]:
    page = await host.store.list_jobs(Filter(), limit=ALL)
    return list(page.jobs)


async def push_all(whole: Whole, watcher: Watcher) -> set[tuple[str, str]]:
    """Have somebody push every warm object by its key, once no comparison is trusted any more. Returns what was
    pushed: destinations and keys."""
    somebody = whole.people[0]
    await somebody.ask_once("resume", {})  # a bucket that is paused still is probed at once
    await trio.sleep(TRUST_S + LOOK_S)
    await watcher.look(0)
    names = {(look.destination, look.r2_key): look.record for look in watcher.looks}
    warm = [name for name, record in names.items() if record is not None]
    jobs = [{"destination": name[0], "kind": "document", "r2_key": name[1], "options": {}} for name in warm]
    for job in jobs:
        planned = next(one for one in whole.plan.jobs if key_of(whole.plan, one) == job["r2_key"])
        job["options"] = {"caption": f"{planned.id} finally at {job['destination']}"}
    if jobs:
        somebody.take_answer(await somebody.ask_once("push", {"jobs": jobs, "watch": False}))
    return set(warm)


async def ending_of(
    whole: Whole, watcher: Watcher, *, finally_pushed: set[tuple[str, str]], settled_in_time: bool
) -> Callable[[], Ending]:
    """Gather what only a running service knows. Returns a function that adds the rest once the service has stopped."""
    store = whole.hosts[0].store
    jobs = {job.id: job for job in await _jobs(whole.hosts[0])}
    events = await store.events_after(0, limit=ALL)
    names = sorted({(job.destination, key_of(whole.plan, job)) for job in whole.plan.jobs})
    records = await store.look_up(names)
    accounts = whole.hosts[0].accounts

    def stopped() -> Ending:
        return Ending(
            plan=whole.plan,
            jobs=jobs,
            events=events,
            history=whole.r2.history,
            event_times=whole.event_times,
            looks=watcher.looks,
            records=records,
            named=whole.named_digests(),
            names={token: "mybot" if name == "otherbot" else name for name, token in TOKENS.items()},
            accounts=accounts,
            finally_pushed=finally_pushed,
            calm_at_s=whole.calm_at_s,
            messages=whole.telegram.messages,
            refused=whole.telegram.refused,
            people=whole.people,
            breaches=[*whole.r2.breaches, *whole.telegram.breaches, *whole.lease_breaches],
            left=_left(whole),
            written=_written(whole),
            secrets=[*TOKENS.values(), BEARER, KEY_ID, SECRET_KEY],
            settled_in_time=settled_in_time,
            unexpected=whole.unexpected,
        )

    return stopped


def _left(whole: Whole) -> dict[str, int]:
    left: dict[str, int] = {}
    for host in whole.hosts:
        left[f"connections of host {host.index} open"] = host.open_streams
        left[f"tasks of host {host.index} left"] = host.tasks
    for name, served in whole.served.items():
        left[f"uploads to {name} under way"] = served.uploads
        left[f"connections to {name} open"] = len(served.open)
    left["files in the caches"] = sum(path.is_file() for path in whole.folder.glob("cache-*/**/*"))
    left["files of the caches open"] = _open_files(whole.folder)
    return left


def _open_files(folder: Path) -> int:
    """How many files below it this process has open, deleted ones included. 0 where the system does not say."""
    if not DESCRIPTORS.is_dir():
        return 0
    names = []
    for descriptor in DESCRIPTORS.iterdir():
        with suppress(OSError):  # the folder's own, for example
            names.append(os.readlink(descriptor))
    return sum(name.startswith(f"{folder}/cache-") for name in names)


def _written(whole: Whole) -> dict[str, str]:
    logs = {f"the log of host {host.index}": host.log.getvalue() for host in whole.hosts}
    frames = {f"what client {person.number} got": "\n".join(person.frames) for person in whole.people}
    return {**logs, **frames, "the store": whole.stores.held().decode("utf-8", "replace")}
