"""What every store keeps of refusals: without it, a restart or another host sends to a chat that takes nothing, job by
job, until each has failed."""

from __future__ import annotations

import math

import pytest
from attrs import evolve

from streamwarm.attempts import LaneAttempt, Outcome
from streamwarm.backlog.settlement import Failed, Ran, Retry
from streamwarm.backlog.shared_limits import SetAside
from streamwarm.backlog.store import Filter, Store
from streamwarm.errors import ErrorCode, JobError
from streamwarm.model import NOWHERE, Barred, Kind, NewJob, Route
from tests.worlds.backlog import Clock, claim_one, done, photo, push_one, start, view

LANE = "-1001"
RAN = Ran(worker=1, lane=LANE, bytes=7)
REFUSED = JobError(ErrorCode.DESTINATION_REFUSED, "in words that no table knows", permanent=False)


def set_aside(clock: Clock, kind: Kind | None = Kind.PHOTO, lane: str = LANE) -> SetAside:
    return SetAside("bot", lane, kind, clock.at + 30, clock.at, 1, "refused three jobs")


@pytest.mark.parametrize("until", [1_800_000_000.0, math.inf])
async def test_a_refused_job_goes_to_other_chats_also_after_a_restart(store: Store, clock: Clock, until: float) -> None:
    claim = await start(store, photo())
    barred = Barred(frozenset({LANE, "-1002/7"}), until)
    await store.settle([Retry(claim.lease, REFUSED, clock.at, barred=barred, ran=RAN)])
    await store.wake_due()
    [queued] = await store.queued(5)
    assert queued.route == Route("bot", Kind.PHOTO, barred)
    again = await claim_one(store, claim.job.id)
    assert again.job.route == queued.route
    await store.settle([Retry(again.lease, REFUSED, clock.at, ran=RAN)])
    assert (await view(store, claim.job.id)).barred == barred  # another failure says nothing about the chats


async def test_a_job_that_a_person_retries_may_go_anywhere(store: Store, clock: Clock) -> None:
    claim = await start(store, photo())
    await store.settle([Retry(claim.lease, REFUSED, clock.at, barred=Barred(frozenset({LANE}), math.inf))])
    await store.wake_due()
    again = await claim_one(store, claim.job.id)
    await store.settle([Failed(again.lease, REFUSED)])
    await store.retry(claim.job.id)
    assert (await view(store, claim.job.id)).barred == NOWHERE


async def test_after_a_resume_no_job_waits_for_a_chat_that_has_refused_it(store: Store, clock: Clock) -> None:
    barred = Barred(frozenset({LANE}), math.inf)
    for key in ("queued", "waiting", "elsewhere"):
        claim = await start(store, evolve(photo(key), destination="other" if key == "elsewhere" else "bot"))
        retry_at = clock.at + (60 if key == "waiting" else 0)
        await store.settle([Retry(claim.lease, REFUSED, retry_at, barred=barred, ran=RAN)])
        await store.wake_due()
    events = await store.next_events(0, limit=100)
    await store.resume(None)
    await store.resume("bot")
    assert {job.r2_key: job.barred for job in (await store.list_jobs(Filter(), limit=9)).jobs} == {
        "queued": NOWHERE,
        "waiting": NOWHERE,
        "elsewhere": barred,
    }
    assert {queued.r2_key: queued.route.barred for queued in await store.queued(9)} == {
        "queued": NOWHERE,
        "elsewhere": barred,
    }
    assert await store.next_events(0, limit=100) == events  # no job has changed its state


async def test_what_a_chat_refuses_reaches_every_host_until_it_takes_one_again(store: Store, clock: Clock) -> None:
    claim = await start(store, photo())
    refused = set_aside(clock)
    await store.settle([Retry(claim.lease, REFUSED, clock.at, set_aside=refused)])
    last = await start(store, photo("b.jpg"))
    closed = set_aside(clock, kind=None, lane="-1002")
    await store.settle([Failed(last.lease, REFUSED, set_aside=closed)])
    assert (await store.shared_limits()).set_asides == [refused, closed]
    await store.wake_due()
    taken = await claim_one(store, claim.job.id)
    await store.settle([evolve(done(taken), takes_again=LANE)])
    assert (await store.shared_limits()).set_asides == [closed]


async def test_a_later_refusal_replaces_an_earlier_one_and_a_resume_ends_both(store: Store, clock: Clock) -> None:
    for n in range(2):
        claim = await start(store, photo(f"{n}.jpg"))
        clock.at += n
        await store.settle([Failed(claim.lease, REFUSED, set_aside=set_aside(clock))])
    assert (await store.shared_limits()).set_asides == [set_aside(clock)]
    await store.resume("another-bot")
    await store.resume(None)
    assert (await store.shared_limits()).set_asides == [set_aside(clock)]
    await store.resume("bot")
    assert (await store.shared_limits()).set_asides == []


async def test_a_clock_that_is_set_back_sets_no_chat_aside_for_longer(store: Store, clock: Clock) -> None:
    claim = await start(store, photo())
    await store.settle([Failed(claim.lease, REFUSED, set_aside=set_aside(clock))])
    clock.at -= 3600
    [held] = (await store.shared_limits()).set_asides
    assert held.until == clock.at + 30


async def test_what_became_of_the_last_attempts_at_a_chat_is_the_evidence(store: Store, clock: Clock) -> None:
    started = clock.at
    for n, (kind, lane) in enumerate([(Kind.PHOTO, LANE), (Kind.VOICE, LANE), (Kind.PHOTO, "-1002")]):
        claim = await start(store, NewJob("bot", kind, f"{n}"))
        clock.at += 1
        await store.settle([Retry(claim.lease, REFUSED, clock.at, ran=evolve(RAN, lane=lane))])
    claim = await start(store, NewJob("other", Kind.PHOTO, "3"))
    clock.at += 1
    await store.settle([evolve(done(claim), ran=RAN)])
    found = await store.attempts_at_lane(LANE, since=started, limit=10)
    assert [(one.destination, one.kind, one.ended_at - started, one.outcome) for one in found] == [
        ("other", Kind.PHOTO, 4, Outcome.DONE),
        ("bot", Kind.VOICE, 2, Outcome.RETRY),
        ("bot", Kind.PHOTO, 1, Outcome.RETRY),
    ]
    assert found[1] == LaneAttempt(found[1].job_id, "bot", Kind.VOICE, started + 2, Outcome.RETRY, REFUSED)
    assert len(await store.attempts_at_lane(LANE, since=started, limit=1)) == 1
    assert await store.attempts_at_lane(LANE, since=clock.at, limit=10) == []


async def test_a_kind_that_no_chat_takes_fills_no_room_of_the_others(store: Store, clock: Clock) -> None:
    """However many voice messages wait, the photos behind them must be found."""
    voices = [NewJob("bot", Kind.VOICE, f"v{n}", bytes=1) for n in range(12)]
    notes = [NewJob("bot", Kind.VIDEO_NOTE, f"n{n}", bytes=1) for n in range(3)]
    await store.push(voices)
    await store.push([*notes, NewJob("bot", Kind.VIDEO, "film", bytes=50_000_000), NewJob("second", Kind.VOICE, "v")])
    refused = {"bot": frozenset({Kind.VOICE, Kind.VIDEO})}
    found = await store.queued(6, refused_kinds=refused)
    assert sorted(job.r2_key for job in found) == ["n0", "n1", "n2", "v"]
    found = await store.queued(19, refused_kinds={"bot": frozenset({Kind.VIDEO_NOTE})})
    assert len(found) == 14
    await push_one(store, photo("face", bytes=1))
    first, *_ = await store.queued(2, without=["second"], refused_kinds=refused)
    assert first.r2_key == "face"
