"""`verify` asks a destination about its references within its rates, and claims nothing that it did not say."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from streamwarm.accept.verifying import PER_S, WITHIN_S
from streamwarm.accept.wire.record_requests import ImportRecords, parse_verify
from streamwarm.accept.wire.refusals import CallRefusedError, Reason
from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.send.verifying import Verified, Works
from tests.worlds.accept import World, open_http_service, open_websocket_service, open_world
from tests.worlds.accept_clients import api, open_client


async def put(world: World, *keys: str, destination: str = "mybot") -> None:
    reference = {"file_id": "id"} if destination == "mybot" else {"result": {"etag": "e"}}
    records = [{"destination": destination, "kind": "video", "r2_key": key} | reference for key in keys]
    for record, key in zip(records, keys, strict=True):
        if "file_id" in record:
            record["file_id"] = f"id-{key}"
    answer = await world.intake.records.import_records(ImportRecords(records))
    assert answer["refused"] == []


def refusal(code: ErrorCode = ErrorCode.RATE_LIMITED, **more: Any) -> DestinationError:
    return DestinationError(code, "said no", counts=False, **more)


async def test_each_reference_is_asked_for_once_and_what_it_did_not_say_is_unproven() -> None:
    async with open_world() as world, open_websocket_service(world) as url, open_http_service(world) as http:
        await put(world, *"abcdef")
        world.bot.answers["id-b"] = Verified(Works.BAD, "wrong file_id")
        world.bot.answers["id-c"] = Verified(Works.UNPROVEN, "over 20 MB")
        async with open_client(url) as client, api(http) as web:
            found = await client.call("verify", destination="mybot")
            over_http = (await web.post("/v1/media/verify", json={"destination": "mybot"})).json()
        assert found == over_http
        assert (found["good"], found["next"]) == (4, None)
        assert [(one["record"]["r2_key"], one["why"]) for one in found["bad"]] == [("b", "wrong file_id")]
        assert [(one["record"]["r2_key"], one["why"]) for one in found["unproven"]] == [("c", "over 20 MB")]
        assert sorted(world.bot.asked) == sorted(2 * [f"id-{key}" for key in "abcdef"])


async def test_pages_ask_for_every_reference_under_a_prefix() -> None:
    async with open_world() as world, open_websocket_service(world) as url, open_client(url) as client:
        await put(world, "a/1", "a/2", "a/3", "a/4", "a/5", "b/1")
        after: dict[str, str] = {}
        for _ in range(3):
            page = await client.call("verify", destination="mybot", prefix="a/", limit=2, **after)
            after = {"after": page["next"]}
        assert page["next"] is None
        assert sorted(world.bot.asked) == [f"id-a/{number}" for number in range(1, 6)]


async def test_a_destination_is_asked_no_faster_than_its_rate(autojump_clock: trio.testing.MockClock) -> None:
    async with open_world() as world:
        await put(world, *(f"{number:02}" for number in range(40)))
        began = trio.current_time()
        await _verify(world)
        assert trio.current_time() - began >= 39 / PER_S


async def _verify(world: World, **params: Any) -> dict[str, Any]:
    return dict(await world.intake.records.verify(parse_verify({"destination": "mybot", **params})))


async def test_a_429_is_waited_out_and_the_reference_asked_for_again(autojump_clock: trio.testing.MockClock) -> None:
    async with open_world() as world:
        await put(world, "a")
        world.bot.answers["id-a"] = refusal(retry_after_s=3.0)
        began = trio.current_time()

        async def relent() -> None:
            await trio.sleep(1)
            del world.bot.answers["id-a"]

        async with trio.open_nursery() as nursery:
            nursery.start_soon(relent)
            found = await _verify(world)
        assert (found["good"], "stopped" in found) == (1, False)
        assert trio.current_time() - began >= 3
        assert len(world.bot.asked) == 2


async def test_a_429_that_lasts_ends_the_page_before_what_was_not_asked_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world() as world:
        await put(world, *"abcdefgh")
        world.bot.answers["id-f"] = refusal(retry_after_s=600.0)
        found = await _verify(world)
        assert found["good"] == 5
        assert found["stopped"]["retry_after_s"] > WITHIN_S
        again = await _verify(world, after=found["next"])
        assert (again["good"], again["next"] is not None) == (0, True)  # it is honoured by the next call, too
        assert world.bot.asked.count("id-f") == 1
        await trio.sleep(600)
        del world.bot.answers["id-f"]
        rest = await _verify(world, after=again["next"])
        assert (rest["good"], rest["next"]) == (3, None)


async def test_a_429_at_the_very_first_reference_does_not_look_like_the_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world() as world:
        await put(world, "a")
        world.bot.answers["id-a"] = refusal(retry_after_s=600.0)
        found = await _verify(world)
        assert found["next"] is not None
        await trio.sleep(600)
        world.bot.answers.clear()
        assert (await _verify(world, after=found["next"]))["good"] == 1


@pytest.mark.parametrize("code", [ErrorCode.UNAUTHORIZED, ErrorCode.DESTINATION_UNAVAILABLE])
async def test_a_destination_that_cannot_be_asked_is_not_asked_a_thousand_times(
    code: ErrorCode, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_world() as world:
        keys = [f"{number:02}" for number in range(40)]
        await put(world, *keys)
        pauses = code is ErrorCode.UNAUTHORIZED
        world.bot.answers = {f"id-{key}": refusal(code, pauses_destination=pauses) for key in keys}
        found = await _verify(world)
        assert "said no" in found["stopped"]["message"]
        assert (found["good"], found["bad"]) == (0, [])
        assert len(world.bot.asked) <= 4


async def test_a_destination_that_never_answers_ends_the_call(autojump_clock: trio.testing.MockClock) -> None:
    async with open_world() as world:
        await put(world, *(f"{number:02}" for number in range(40)))

        async def hang(result: object) -> Verified:
            await trio.sleep_forever()
            raise AssertionError

        world.bot.verify = hang  # type: ignore[method-assign]
        began = trio.current_time()
        found = await _verify(world)
        assert trio.current_time() - began < 60
        assert "did not answer" in found["unproven"][0]["why"]


async def test_two_clients_do_not_double_the_rate(autojump_clock: trio.testing.MockClock) -> None:
    async with open_world() as world:
        await put(world, *"abcdefgh")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_verify, world)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(CallRefusedError) as refused:
                await _verify(world)
        assert (refused.value.reason, refused.value.retry_after_s is not None) == (Reason.RATE_LIMITED, True)
        assert len(world.bot.asked) == 8


async def test_a_reference_of_another_account_and_of_a_type_that_cannot_be_asked_is_unproven() -> None:
    async with open_world() as world, open_websocket_service(world) as url, open_client(url) as client:
        await put(world, "a", destination="bucket")
        found = await client.call("verify", destination="bucket")
        assert (found["good"], "cannot be asked" in found["unproven"][0]["why"]) == (0, True)
        assert (await client.call("verify", destination="nobody"))["error"]["code"] == -32002
        assert (await client.call("verify"))["error"]["code"] == -32602
