"""A group that was upgraded has a new id for good; forgetting it would cost an upload after every restart."""

from __future__ import annotations

from backlog_helpers import OpenStore

from streamwarm.backlog.store import MovedLane, Store


async def test_the_newest_address_of_each_lane_is_told(store: Store) -> None:
    assert await store.moved_lanes() == []
    for moved in (MovedLane("b", "-1", "-1001"), MovedLane("a", "-1", "-1002"), MovedLane("b", "-1", "-1003")):
        await store.move_lane(moved)
    assert await store.moved_lanes() == [MovedLane("a", "-1", "-1002"), MovedLane("b", "-1", "-1003")]


async def test_an_address_outlives_the_service(open_sqlite: OpenStore) -> None:
    moved = MovedLane("mybot", "-5", "-1005")
    async with open_sqlite() as store:
        await store.move_lane(moved)
    async with open_sqlite() as store:
        assert await store.moved_lanes() == [moved]
