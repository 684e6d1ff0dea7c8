"""What everybody loses if a few clients' unread answers take the memory of the service (issue 14, number 2)."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from streamwarm.accept.answer_budget import SHORT_BYTES, AnswerBudget, AnswerLimits, AnswerUnreadError
from streamwarm.accept.intake import Intake
from streamwarm.accept.wire.refusals import CallRefusedError, Reason
from streamwarm.accept.wire.requests import parse_list
from streamwarm.accept.wire.sizes import MAX_PAGE_BYTES
from streamwarm.watch.observations import ClientDisconnected, UnexpectedError
from tests.accept.test_strangers import frame, upgraded
from tests.worlds.accept import World, job, open_http_service, open_websocket_service, open_world, quick
from tests.worlds.accept_clients import api, dial, open_client

LONG = SHORT_BYTES + 1


def budget(**changes: Any) -> AnswerBudget:
    return AnswerBudget(AnswerLimits(**{"long_bytes": 10 * LONG, "wait_s": 5.0, "unread_s": 1.0} | changes))


async def hold(answers: AnswerBudget, size: int, seconds: float, *, made: bool = True) -> None:
    async with answers.room(size) as room:
        if made:
            room.keep(size)
        await trio.sleep(seconds)


async def test_an_answer_without_room_waits_for_it(autojump_clock: MockClock) -> None:
    answers = budget()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold, answers, 10 * LONG, 0.5)
        await wait_all_tasks_blocked()
        async with answers.room(LONG):
            assert trio.current_time() == 0.5
    assert answers.used == 0


async def test_who_waits_too_long_is_refused_with_when_to_come_back(autojump_clock: MockClock) -> None:
    answers = budget()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: hold(answers, 10 * LONG, 60, made=False))  # a slow store: nobody's fault
        await wait_all_tasks_blocked()
        with pytest.raises(CallRefusedError) as refused:
            async with answers.room(LONG):
                raise AssertionError("there is no room")
        assert refused.value.reason is Reason.RATE_LIMITED
        assert refused.value.retry_after_s
        assert trio.current_time() == 5
        nursery.cancel_scope.cancel()
    assert answers.used == 0


async def test_the_answer_that_is_unread_for_longest_makes_room_for_others(autojump_clock: MockClock) -> None:
    answers, ended = budget(), []

    async def unread(name: str, size: int) -> None:
        try:
            await hold(answers, size, 600)
        except AnswerUnreadError:
            ended.append((name, trio.current_time()))

    async with trio.open_nursery() as nursery:
        for name in ("first", "second", "third"):
            nursery.start_soon(unread, name, 3 * LONG)
            await trio.sleep(0.25)
        async with answers.room(4 * LONG):
            assert ended == [("first", 1.0)]
        async with answers.room(LONG):
            pass
        assert len(ended) == 1, "nobody is ended while there is room"
        nursery.cancel_scope.cancel()
    assert answers.used == 0


async def test_nobody_is_ended_for_being_slow_while_there_is_room(autojump_clock: MockClock) -> None:
    answers = budget()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold, answers, 5 * LONG, 600)
        for _ in range(100):
            await hold(answers, LONG, 1)
        nursery.cancel_scope.cancel()


async def test_long_answers_never_delay_a_look_up(autojump_clock: MockClock) -> None:
    answers = budget()
    async with trio.open_nursery() as nursery:
        for _ in range(30):
            nursery.start_soon(hold, answers, 10 * LONG, 0.3)
        await wait_all_tasks_blocked()
        async with answers.room(SHORT_BYTES):
            assert trio.current_time() == 0
        nursery.cancel_scope.cancel()


async def test_an_answer_larger_than_the_budget_is_made_alone(autojump_clock: MockClock) -> None:
    answers = budget()
    async with answers.room(1000 * LONG) as room:
        room.keep(2000 * LONG)
        assert answers.used == 2000 * LONG
    assert answers.used == 0


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 12), st.integers(0, 30), st.booleans()), max_size=30))
def test_whatever_clients_do_the_budget_is_kept_and_everything_is_given_back(
    clients: list[tuple[int, int, int, bool]],
) -> None:
    """Each asks for so much, keeps so much (no more than asked), and reads for so long or leaves."""
    answers = budget()

    async def client(asked: int, kept: int, tenths: int, leaves: bool) -> None:
        with trio.move_on_after(tenths / 20 if leaves else 100):
            try:
                async with answers.room(asked * LONG) as room:
                    assert answers.used <= 10 * LONG
                    await trio.sleep(tenths / 10)
                    room.keep(min(kept, asked, 10) * LONG)
                    assert answers.used <= 10 * LONG
                    await trio.sleep(tenths)
            except (AnswerUnreadError, CallRefusedError):
                return

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for one in clients:
                nursery.start_soon(client, *one)
        assert answers.used == 0

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def fill(intake: Intake, jobs: int, **options: Any) -> None:
    for start in range(0, jobs, 100):
        numbers = range(start, min(start + 100, jobs))
        answer = await intake.push([job(f"{number}-" + "k" * 900, **options) for number in numbers])
        assert not answer["rejected"]


async def test_a_page_of_large_jobs_is_short_and_the_pages_together_have_every_job() -> None:
    async with open_world() as world:
        await fill(world.intake, 250, options={"caption": "x" * 16_000})
        keys, after, pages = [], None, 0
        while pages == 0 or after is not None:
            page = await world.intake.list_jobs(parse_list({"limit": 500, "after": after}))
            assert len(json.dumps(page)) < MAX_PAGE_BYTES + 20_000
            keys += [one["r2_key"].partition("-")[0] for one in page["jobs"]]
            after, pages = page["next"], pages + 1
        assert keys == [str(number) for number in reversed(range(250))]
        assert pages == 5


@pytest.mark.parametrize("limit", [1, 99, 100, 101, 250, 300, 500])
async def test_a_page_of_small_jobs_has_as_many_as_were_asked_for(limit: int) -> None:
    async with open_world() as world:
        for start in range(0, 300, 100):
            await world.intake.push([job(f"{number}") for number in range(start, start + 100)])
        page = await world.intake.list_jobs(parse_list({"limit": limit}))
        assert [one["r2_key"] for one in page["jobs"]] == [str(n) for n in range(299, max(-1, 299 - limit), -1)]
        assert (page["next"] is None) == (limit >= 300)


BATCH = json.dumps(
    [{"jsonrpc": "2.0", "id": number, "method": "list", "params": {"limit": 500}} for number in range(50)]
)


async def test_a_batch_of_lists_is_answered_in_full_to_a_client_that_reads() -> None:
    async with open_world() as world, open_websocket_service(world) as url:
        await fill(world.intake, 600)
        async with open_client(url, max_message_size=1 << 30) as client:
            await client.connection.send_message(BATCH)
            with trio.fail_after(60):
                replies = json.loads(await client.connection.get_message())
            assert [(reply["id"], len(reply["result"]["jobs"])) for reply in replies] == [(n, 500) for n in range(50)]
            assert (await client.call("stats")) == {"queue": {"queued": 0}}


async def most_used(world: World, answers: AnswerBudget, seconds: float) -> int:
    most = 0
    with trio.move_on_after(seconds):
        while True:
            most = max(most, answers.used)
            await trio.sleep(0.002)
    return most


async def test_twenty_clients_that_read_nothing_hold_no_more_than_the_budget_and_others_are_served() -> None:
    answers = AnswerBudget(AnswerLimits(long_bytes=6 << 20, unread_s=0.5))
    async with open_world() as world, open_websocket_service(world, answers=answers) as url, AsyncExitStack() as stack:
        await fill(world.intake, 600)
        for _ in range(20):
            deaf = await stack.enter_async_context(await upgraded(url))
            await deaf.send_all(frame(1, BATCH.encode()))
        async with open_client(url, max_message_size=1 << 30) as client:
            assert await most_used(world, answers, 1.0) <= 6 << 20
            with trio.fail_after(30):
                assert len((await client.call("list", limit=500))["jobs"]) == 500
                assert (await client.call("get", id="job-1"))["id"] == "job-1"
        assert not world.saw(UnexpectedError)


async def test_who_leaves_an_answer_unread_while_others_wait_is_disconnected_with_the_reason_in_the_log() -> None:
    answers = AnswerBudget(AnswerLimits(long_bytes=4 << 20, unread_s=0.2))
    limits = quick(send_within_s=60)
    async with open_world() as world, open_websocket_service(world, answers=answers, limits=limits) as url:
        await fill(world.intake, 600)
        async with await upgraded(url) as deaf:
            await deaf.send_all(frame(1, BATCH.encode()))
            async with open_client(url, max_message_size=1 << 30) as client:
                with trio.fail_after(20):
                    while not world.saw(ClientDisconnected):
                        await client.call("list", limit=500)
                assert "did not read" in world.saw(ClientDisconnected)[0].reason
    assert answers.used == 0


async def test_unread_http_pages_hold_no_more_than_the_budget() -> None:
    answers = AnswerBudget(AnswerLimits(long_bytes=6 << 20, wait_s=1.0, unread_s=0.3))
    async with open_world() as world, open_http_service(world, answers=answers) as url, AsyncExitStack() as stack:
        await fill(world.intake, 600)
        for _ in range(60):
            deaf = await stack.enter_async_context(await dial(url))
            await deaf.send_all(b"GET /v1/jobs?limit=500 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5)
        assert await most_used(world, answers, 1.5) <= 6 << 20
        async with api(url) as client:
            assert (await client.get("/healthz")).status_code == 200
            assert (await client.get("/v1/jobs/job-1")).status_code == 200
        assert not world.saw(UnexpectedError)


async def test_an_http_answer_without_room_is_a_429_that_names_the_wait() -> None:
    answers = AnswerBudget(AnswerLimits(long_bytes=1 << 20, wait_s=0.1))
    async with open_world() as world, open_http_service(world, answers=answers) as url, api(url) as client:
        async with answers.room(1 << 20):
            refused = await client.get("/v1/jobs")
            assert (refused.status_code, refused.json()["type"]) == (429, "urn:streamwarm:error:rate_limited")
            assert int(refused.headers["retry-after"]) >= 1
            assert (await client.get("/v1/stats")).status_code == 200
        assert (await client.get("/v1/jobs")).status_code == 200


async def test_a_call_without_room_is_refused_before_it_does_anything() -> None:
    answers = AnswerBudget(AnswerLimits(long_bytes=1 << 20, wait_s=0.1))
    async with open_world() as world, open_websocket_service(world, answers=answers) as url, open_client(url) as client:
        async with answers.room(1 << 20):
            refused = await client.call("push", jobs=[job(f"{number}") for number in range(200)])
            assert (refused["error"]["code"], refused["error"]["data"]["reason"]) == (-32005, "rate_limited")
            assert refused["error"]["data"]["retry_after_s"] > 0
        assert (await client.call("list"))["jobs"] == []
