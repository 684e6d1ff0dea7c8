"""A person's pause: what is lost if it does not outlive a restart, or ends when it should not."""

from __future__ import annotations

from backlog_helpers import Clock, OpenStore

from streamwarm.backlog.store import Store, UserPause


async def test_each_pause_ends_by_itself_alone(store: Store, clock: Clock) -> None:
    await store.pause("mybot", None)
    await store.pause(None, clock.at + 60)
    await store.pause("another", clock.at + 30)
    assert [pause.destination for pause in await store.pauses()] == [None, "another", "mybot"]

    await store.resume(None)
    assert [pause.destination for pause in await store.pauses()] == ["another", "mybot"]
    await store.resume(None)  # twice is no error
    await store.pause(None, None)
    await store.resume("mybot")
    assert [pause.destination for pause in await store.pauses()] == [None, "another"]


async def test_a_pause_ends_at_its_time_and_a_new_one_replaces_it(store: Store, clock: Clock) -> None:
    await store.pause("mybot", clock.at + 60)
    clock.at += 10
    await store.pause("mybot", clock.at + 20)
    assert await store.pauses() == [UserPause("mybot", clock.at + 20, paused_at=clock.at)]
    clock.at += 20
    assert await store.pauses() == []


async def test_a_pause_outlives_the_service(open_sqlite: OpenStore, clock: Clock) -> None:
    async with open_sqlite() as store:
        await store.pause(None, None)
        await store.pause("mybot", clock.at + 60)
        kept = await store.pauses()
    async with open_sqlite() as store:
        assert await store.pauses() == kept
