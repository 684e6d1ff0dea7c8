"""What a client that watches jobs loses if an event comes twice or not at all; and how often it may ask."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streamwarm.accept.allowance import Allowance, Allowances
from streamwarm.accept.websocket.watching import Watching
from streamwarm.accept.wire.refusals import too_often
from streamwarm.accept.wire.requests import parse_list
from streamwarm.model import Event, Kind, State
from tests.worlds.accept import job, open_websocket_service, open_world, quick
from tests.worlds.accept_clients import open_client


def event(seq: int, job_id: str, state: State = State.RUNNING) -> Event:
    return Event(seq, job_id, state, 0.0, 1, "mybot", Kind.VIDEO, "a.mp4")


def told(watching: Watching, events: list[Event]) -> list[int]:
    return [one.seq for one in events if one.seq > watching.cursor and watching.advance(one)]


async def ids_told(client: Any, count: int) -> list[str]:
    return [(await client.notification())["params"]["id"] for _ in range(count)]


async def test_a_job_that_is_watched_later_from_the_start_repeats_none_of_the_others() -> None:
    async with open_world() as world, open_websocket_service(world) as url, open_client(url) as client:
        await world.intake.push([job("a", id="a"), job("b", id="b"), job("c", id="c")])
        await client.call("watch", ids=["a"], since=0)
        assert await ids_told(client, 1) == ["a"]
        await client.call("watch", ids=["b"], since=0)
        assert await ids_told(client, 1) == ["b"]
        await client.call("watch", ids=["a"], since=0)  # asked for again by name
        assert await ids_told(client, 1) == ["a"]
        await client.call("watch")
        await client.call("watch", ids=["c"], since=0)
        await world.intake.push([job("d", id="d")])
        assert sorted(await ids_told(client, 2)) == ["c", "d"]
        assert client.notifications == []


@given(
    calls=st.lists(
        st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from([None, 0, 2, 5]), st.integers(0, 3)), max_size=6
    )
)
def test_without_a_replay_nothing_is_told_twice_and_with_one_all_that_was_asked_for(
    calls: list[tuple[str | None, int | None, int]],
) -> None:
    events = [event(seq, "ab"[seq % 2]) for seq in range(1, 11)]
    watching, last = Watching(0, {}), 0
    for name, since, steps in calls:
        after = last if since is None else min(since, last)
        ids = None if name is None else [name]
        if ids is None:
            watching = watching.with_all(after, replay=since is not None)
        else:
            watching = watching.with_ids(ids, after, replay=since is not None)
        last = min(10, last + steps)
        seen = told(watching, events[:last])
        assert seen == sorted(set(seen))
        if since is not None:
            wanted = {one.seq for one in events[after:last] if ids is None or one.id in ids}
            assert wanted <= set(seen)
        assert told(watching, events[:last]) == []


def test_a_done_job_is_followed_no_longer() -> None:
    watching = Watching(0, {}).with_ids(["a"], 0, replay=False)
    assert told(watching, [event(1, "a"), event(2, "a", State.DONE), event(3, "a", State.QUEUED)]) == [1, 2]
    assert not watching.includes("a")


async def test_a_client_that_asks_too_often_is_told_when_to_come_back_and_others_are_not() -> None:
    limits = quick(requests_per_s=0.5, requests_burst=3)
    async with open_world() as world, open_websocket_service(world, limits=limits) as url:
        async with open_client(url) as hasty, open_client(url) as other:
            for _ in range(3):
                assert "error" not in await hasty.call("stats")
            error = (await hasty.call("push", jobs=[job()]))["error"]
            assert (error["code"], error["data"]["reason"]) == (-32005, "rate_limited")
            assert 0 < error["data"]["retry_after_s"] <= 2
            assert (await hasty.call("nonsense"))["error"]["code"] == -32005
            assert "error" not in await other.call("stats")
        assert (await world.intake.list_jobs(parse_list({})))["jobs"] == []


def test_who_asks_too_often_is_never_told_to_come_back_at_once() -> None:
    assert [too_often(wait_s).retry_after_s for wait_s in (0.0001, 0.25)] == [0.001, 0.25]


def test_an_allowance_fills_up_again_to_its_burst_and_no_further() -> None:
    allowance = Allowance(per_s=10, burst=5)
    assert [allowance.take(0.0) for _ in range(5)] == [None] * 5
    assert allowance.take(0.0) == 0.1
    assert allowance.take(0.1) is None
    assert allowance.take(0.1) is not None
    assert [allowance.take(100.0) for _ in range(6)][-1] is not None
    assert [allowance.take(100.5) for _ in range(5)] == [None] * 5


def test_of_many_clients_each_has_its_own_allowance_and_only_those_that_asked_last_are_kept_in_mind() -> None:
    allowances = Allowances(per_s=1, burst=1, max_clients=2)
    assert [allowances.take(client, 0.0) for client in "aba"] == [None, None, 1.0]
    assert allowances.take("c", 0.0) is None  # "b" asked longest ago
    assert [allowances.take(client, 0.0) for client in "ab"] == [1.0, None]
    assert allowances.take("b", 0.5, cost=0.5) is None
    assert allowances.take("b", 0.5, cost=0.5) == 0.5


async def test_every_client_is_told_before_the_service_goes() -> None:
    async with open_world() as world, open_websocket_service(world) as url, open_client(url) as early:
        await early.call("watch")
        world.intake.drain(30)
        assert await early.notification() == {
            "jsonrpc": "2.0",
            "method": "draining",
            "params": {"within_s": 30},
        }
        async with open_client(url) as late:
            assert (await late.notification())["method"] == "draining"
            assert (await late.call("push", jobs=[job()]))["error"]["code"] == -32004
