"""A client that watches jobs all day loses its connection's use if ended jobs stay on its list (issue 14, number 9).

And a client that comes back to a few jobs waits for everybody else's events, if those are read too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from streamwarm.accept.websocket import follower
from streamwarm.accept.websocket.watching import Watching
from streamwarm.backlog.settlement import Failed, Retry
from streamwarm.backlog.store import Action
from streamwarm.errors import ErrorCode, JobError
from streamwarm.model import State
from streamwarm.settle.publisher import Publisher
from tests.accept.test_watching import event, told
from tests.worlds.accept import World, job, open_websocket_service, open_world
from tests.worlds.accept_clients import Client, open_client
from tests.worlds.failing_store import FailingStore

AT_MOST = 20
LATER = JobError(ErrorCode.TIMEOUT, "later", permanent=False)


@pytest.fixture(autouse=True)
def short_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection's list that is full after 20 jobs instead of 100,000."""
    monkeypatch.setattr(follower, "MAX_WATCHED", AT_MOST)


async def done(world: World, job_id: str) -> None:
    await world.warm(job_id)


async def failed(world: World, job_id: str) -> None:
    [claim] = await world.store.claim([job_id])
    assert await world.store.settle([Failed(claim.lease, LATER)]) == [True]


async def unknown(world: World, job_id: str) -> None:
    [claim] = await world.store.claim([job_id])
    assert await world.store.settle([Failed(claim.lease, LATER, State.UNKNOWN)]) == [True]


async def cancelled(world: World, job_id: str) -> None:
    await world.store.cancel(job_id)


async def cancelled_while_it_waits(world: World, job_id: str) -> None:
    [claim] = await world.store.claim([job_id])
    await world.store.settle([Retry(claim.lease, LATER, world.store.now() + 1000)])
    await world.store.cancel(job_id)


async def failed_and_forgotten(world: World, job_id: str) -> None:
    await failed(world, job_id)
    assert len((await world.store.change_each(Action.FORGET, [job_id])).jobs) == 1


async def retried_and_failed_again(world: World, job_id: str) -> None:
    await failed(world, job_id)
    await world.store.retry(job_id)
    await failed(world, job_id)


ENDS = [
    done,
    failed,
    unknown,
    cancelled,
    cancelled_while_it_waits,
    failed_and_forgotten,
    retried_and_failed_again,
]


@asynccontextmanager
async def watching_client() -> AsyncIterator[tuple[World, Client]]:
    async with open_world() as world, open_websocket_service(world) as url, open_client(url) as client:
        yield world, client


async def push(client: Client, name: str, count: int = AT_MOST) -> list[str]:
    """Push and watch `count` jobs. Returns their ids."""
    answer = await client.call("push", jobs=[job(f"{name}-{number}") for number in range(count)])
    assert "error" not in answer, answer
    return [item["id"] for item in answer["accepted"]]


async def hear_of(client: Client, job_id: str, state: str) -> None:
    while True:
        params = (await client.notification())["params"]
        if (params.get("id"), params.get("state")) == (job_id, state):
            return


@pytest.mark.parametrize("end", ENDS)
async def test_jobs_that_ended_however_they_did_leave_room_for_more(end: Any) -> None:
    async with watching_client() as (world, client):
        for turn in range(4):
            ids = await push(client, f"turn {turn}")
            for job_id in ids:
                await end(world, job_id)
            await client.call("push", jobs=[job(f"last of {turn}", id=f"last-{turn}")], watch=False)
            await world.warm(f"last-{turn}")
            if end is failed_and_forgotten:  # the last events may be deleted before they are sent
                await wait_all_tasks_blocked()
                continue
            with trio.fail_after(5):
                while not client.notifications or client.notifications[-1]["params"]["seq"] < world.feed.last_seq - 3:
                    client.notifications.append(await client.receive())


async def test_a_failed_job_that_a_user_retries_is_followed_to_its_end() -> None:
    async with watching_client() as (world, client):
        [job_id] = await push(client, "a", 1)
        await failed(world, job_id)
        await hear_of(client, job_id, "failed")
        await client.call("retry", id=job_id)
        await hear_of(client, job_id, "queued")
        await world.warm(job_id)
        await hear_of(client, job_id, "done")


async def test_a_retried_job_keeps_its_place_while_ended_ones_leave() -> None:
    async with watching_client() as (world, client):
        ids = await push(client, "a")
        for job_id in ids:
            await failed(world, job_id)
        await hear_of(client, ids[-1], "failed")
        await client.call("retry", id=ids[0])
        await hear_of(client, ids[0], "queued")
        await push(client, "b", AT_MOST - 1)
        await world.warm(ids[0])
        await hear_of(client, ids[0], "done")


async def test_live_jobs_are_never_dropped_for_room() -> None:
    async with watching_client() as (world, client):
        ids = await push(client, "a")
        refused = await client.call("push", jobs=[job("one more")])
        assert refused["error"]["code"] == -32602
        await failed(world, ids[3])
        await hear_of(client, ids[3], "failed")
        await push(client, "b", 1)
        assert (await client.call("push", jobs=[job("one more")]))["error"]["code"] == -32602


@pytest.mark.parametrize("end", ENDS)
async def test_jobs_that_ended_while_the_client_was_away_take_up_no_room_for_ever(end: Any) -> None:
    async with watching_client() as (world, client):
        answer = await world.intake.push([job(f"a-{number}") for number in range(AT_MOST)])
        ids = [item["id"] for item in answer["accepted"]]
        for job_id in ids:
            await end(world, job_id)
        assert "error" not in await client.call("watch", ids=ids)
        await push(client, "b")


async def test_ids_that_match_no_job_take_up_no_room_for_ever() -> None:
    async with watching_client() as (_, client):
        for turn in range(3):
            await client.call("watch", ids=[f"nothing-{turn}-{number}" for number in range(AT_MOST)])
        await push(client, "a")


async def test_duplicates_of_jobs_that_ended_take_up_no_room_for_ever() -> None:
    async with watching_client() as (world, client):
        jobs = [job(f"a-{number}", id=f"a-{number}") for number in range(AT_MOST)]
        await world.intake.push(jobs)
        for one in jobs:
            await failed(world, one["id"])
        answer = await client.call("push", jobs=jobs)
        assert {(item["state"], item["duplicate"]) for item in answer["accepted"]} == {("failed", True)}
        await push(client, "b")


async def test_what_was_missed_of_ended_jobs_is_sent_before_they_make_room() -> None:
    async with watching_client() as (world, client):
        answer = await world.intake.push([job(f"a-{number}") for number in range(AT_MOST)])
        ids = [item["id"] for item in answer["accepted"]]
        for job_id in ids:
            await failed(world, job_id)
        await client.call("watch", ids=ids, since=0)
        while "error" in await client.call("push", jobs=[job("b")]):
            pass
        seen = [(note["params"]["id"], note["params"]["state"]) for note in client.notifications]
        assert [one for one in seen if one[0] in ids] == [
            *((job_id, "queued") for job_id in ids),
            *((job_id, state) for job_id in ids for state in ("running", "failed")),
        ]


@given(st.permutations(range(6)), st.integers(1, 6), st.integers(0, 3))
def test_room_is_made_of_those_that_ended_longest_ago(order: list[int], more: int, live: int) -> None:
    watching = Watching(0, {}).with_ids([f"job-{number}" for number in range(6)], 0, replay=False)
    ending = order[live:]
    told(watching, [event(seq, f"job-{number}", State.CANCELLED) for seq, number in enumerate(ending, 1)])
    fits = watching.make_room(more, 6)
    assert fits == (more <= len(ending))
    assert list(watching.ended) == [f"job-{number}" for number in ending[min(more, len(ending)) :]]
    assert all(watching.includes(f"job-{number}") for number in order[:live])


async def test_a_client_that_comes_back_to_its_jobs_reads_no_other_jobs_events() -> None:
    async with open_world() as world:
        counting = FailingStore(world.store)
        async with trio.open_nursery() as nursery:
            world.feed = Publisher(counting, dict, world.observe)
            await nursery.start(world.feed.run)
            await world.intake.push([job("mine", id="mine")])
            for batch in range(5):
                await world.intake.push([job(f"{batch}-{number}") for number in range(1000)])
            await failed(world, "mine")
            await world.feed.wait(5002)
            counting.calls.clear()
            async with open_websocket_service(world) as url, open_client(url) as client:
                await client.call("watch", ids=["mine"], since=0)
                states = [(await client.notification())["params"]["state"] for _ in range(3)]
                assert states == ["queued", "running", "failed"]
                assert counting.calls["events_after"] == 0
                assert counting.calls["events_of"] == 1
                await world.store.retry("mine")
                assert (await client.notification())["params"]["state"] == "queued"
            nursery.cancel_scope.cancel()


@given(
    owners=st.lists(st.sampled_from("abc"), max_size=40),
    calls=st.lists(st.tuples(st.sampled_from(["a", "b", "ab"]), st.integers(0, 40), st.integers(0, 9)), max_size=4),
)
def test_a_replay_by_the_index_brings_what_reading_every_event_brings(
    owners: list[str], calls: list[tuple[str, int, int]]
) -> None:
    events = [event(seq, owner) for seq, owner in enumerate(owners, 1)]

    def seen_with(indexed: bool) -> list[int]:
        watching, seen = Watching(0, {}).with_ids(["c"], 0, replay=False), []
        for ids, since, reads in calls:
            last = len(events)
            watching = watching.with_ids(list(ids), min(since, last), replay=True)
            for _ in range(reads):
                if indexed and watching.replay is not None:
                    wanted = watching.replay
                    unread = [one for one in events if one.id in wanted.ids]
                    unread = [one for one in unread if watching.cursor < one.seq <= wanted.until][:3]
                    seen += [one.seq for one in unread if watching.advance(one)]
                    if len(unread) < 3:
                        watching.finish_replay()
                else:
                    seen += told(watching, events[watching.cursor : watching.cursor + 3])
        while watching.replay is not None or watching.cursor < len(events):
            if indexed and watching.replay is not None:
                wanted = watching.replay
                unread = [one for one in events if one.id in wanted.ids and watching.cursor < one.seq <= wanted.until]
                seen += [one.seq for one in unread if watching.advance(one)]
                watching.finish_replay()
            else:
                seen += told(watching, events)
                watching.finish_replay()
        return seen

    with_index, without = seen_with(True), seen_with(False)
    assert set(with_index) == set(without)
