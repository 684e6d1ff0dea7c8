"""What users order and what destinations ask for must outlive a restart, reach every process, and end in time."""

from __future__ import annotations

from streamwarm.backlog.settlement import Retry
from streamwarm.backlog.shared_limits import Cooldown, MovedLane, SourcePause, UserPause
from streamwarm.backlog.store import Store
from tests.worlds.backlog import TIMED_OUT, Clock, OpenStore, photo, start


async def paused(store: Store) -> list[str | None]:
    return [pause.destination for pause in (await store.shared_limits()).pauses]


async def test_each_pause_ends_by_itself_alone(store: Store, clock: Clock) -> None:
    await store.pause("mybot", None)
    await store.pause(None, clock.at + 60)
    await store.pause("another", clock.at + 30)
    assert await paused(store) == [None, "another", "mybot"]

    await store.resume(None)
    assert await paused(store) == ["another", "mybot"]
    await store.resume(None)  # twice is no error
    await store.pause(None, None)
    await store.resume("mybot")
    assert await paused(store) == [None, "another"]


async def test_a_pause_ends_at_its_time_and_a_new_one_replaces_it(store: Store, clock: Clock) -> None:
    await store.pause("mybot", clock.at + 60)
    clock.at += 10
    await store.pause("mybot", clock.at + 20)
    assert (await store.shared_limits()).pauses == [UserPause("mybot", clock.at + 20, paused_at=clock.at)]
    clock.at += 20
    assert await paused(store) == []


async def test_each_time_a_destination_is_mended_is_told_whether_or_not_it_was_paused(store: Store) -> None:
    for destination in ("mybot", None, "another", "mybot"):
        await store.resume(destination)
    assert (await store.shared_limits()).resumes == {"another": 1, "mybot": 2}


async def test_the_newest_address_of_each_lane_is_told(store: Store) -> None:
    for moved in (MovedLane("b", "-1", "-1001"), MovedLane("a", "-1", "-1002"), MovedLane("b", "-1", "-1003")):
        await store.move_lane(moved)
    told = (await store.shared_limits()).moved_lanes
    assert told == [MovedLane("a", "-1", "-1002"), MovedLane("b", "-1", "-1003")]


async def cool_down(store: Store, clock: Clock, lane: str | None, for_s: float) -> Cooldown:
    """The destination answers an attempt with a 429."""
    cooldown = Cooldown("mybot", lane, clock.at + for_s, f"429, {for_s:g} s")
    claim = await start(store, photo())
    await store.settle([Retry(claim.lease, TIMED_OUT, clock.at, counts=False, cooldown=cooldown)])
    await store.wake_due()
    return cooldown


async def test_a_silence_lasts_until_the_latest_deadline_of_its_place(store: Store, clock: Clock) -> None:
    whole = await cool_down(store, clock, None, 40)
    first = await cool_down(store, clock, "-1", 30)
    await cool_down(store, clock, "-1", 20)
    await store.resume("mybot")  # no user can end a 429
    assert (await store.shared_limits()).cooldowns == [whole, first]
    longer = await cool_down(store, clock, "-1", 50)
    clock.at += 40
    assert (await store.shared_limits()).cooldowns == [longer]
    clock.at += 10
    assert (await store.shared_limits()).cooldowns == []


async def test_a_silence_is_told_even_by_an_attempt_that_lost_its_lease(store: Store, clock: Clock) -> None:
    claim = await start(store, photo())
    await store.cancel(claim.job.id)
    cooldown = Cooldown("mybot", None, clock.at + 60, "429")
    again = Retry(claim.lease, TIMED_OUT, cooldown.until, counts=False, cooldown=cooldown)
    assert await store.settle([again]) == [False]
    assert (await store.shared_limits()).cooldowns == [cooldown]


async def test_all_of_it_outlives_the_service(open_sqlite: OpenStore, clock: Clock) -> None:
    async with open_sqlite() as store:
        await store.pause(None, None)
        await store.pause("mybot", clock.at + 60)
        await store.resume("another")
        await store.move_lane(MovedLane("mybot", "-5", "-1005"))
        await cool_down(store, clock, "-5", 60)
        kept = await store.shared_limits()
    assert all((kept.pauses, kept.resumes, kept.moved_lanes, kept.cooldowns))
    async with open_sqlite() as store:
        assert await store.shared_limits() == kept


async def test_the_pause_of_the_bucket_can_be_read_without_a_write(store: Store, clock: Clock) -> None:
    assert (await store.shared_limits()).source is None
    await store.pause_source("SignatureDoesNotMatch")
    assert (await store.shared_limits()).source == SourcePause("SignatureDoesNotMatch", clock.at)
