from __future__ import annotations

import json
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionClosed

from streamwarm.accept.auth import Auth
from streamwarm.accept.clients import open_listeners
from streamwarm.accept.websocket.session import Heartbeat
from streamwarm.backlog.store import Filter
from streamwarm.errors import SettingsError
from streamwarm.model import Progress
from streamwarm.watch.observations import ClientConnected, ClientDisconnected, ConnectionRefused, UnexpectedError
from tests.worlds.accept import RESULT, job, open_websocket_service, open_world, quick
from tests.worlds.accept_clients import HANDSHAKE, dial, open_client, port_of, refused_with


async def states_until_done(client: Any) -> list[tuple[str, str]]:
    seen: list[tuple[str, str]] = []
    while not seen or seen[-1][1] != "done":
        params = (await client.notification())["params"]
        seen.append((params["id"], params["state"]))
    return seen


async def test_a_bot_pushes_and_hears_of_its_job_until_it_is_warm() -> None:
    async with open_world() as world, open_websocket_service(world) as url, open_client(url) as client:
        answer = await client.call("push", jobs=[job()], watch=True)
        assert answer["accepted"] == [{"index": 0, "id": "job-1", "state": "queued", "duplicate": False}]
        await world.warm("job-1")
        assert await states_until_done(client) == [
            ("job-1", "queued"),
            ("job-1", "running"),
            ("job-1", "done"),
        ]
        found = await client.call("find", destination="mybot", kind="video", r2_key="media/a.mp4")
        assert found["result"] == RESULT


async def test_events_carry_what_the_contract_names() -> None:
    async with open_world() as world, open_websocket_service(world) as url, open_client(url) as client:
        await client.call("push", jobs=[job()], watch=True)
        notification = await client.notification()
        assert notification["method"] == "event"
        assert notification["params"].keys() == {
            "seq",
            "id",
            "state",
            "at",
            "attempt",
            "destination",
            "kind",
            "r2_key",
        }
        assert notification["params"]["at"].endswith("Z")


async def test_a_push_that_is_not_watched_brings_no_events() -> None:
    async with open_world() as world, open_websocket_service(world) as url, open_client(url) as client:
        await client.call("push", jobs=[job()], watch=False)
        await world.warm("job-1")
        await client.call("push", jobs=[job("b")], watch=True)
        assert (await client.notification())["params"]["id"] == "job-2"


async def test_the_reply_that_names_a_job_comes_before_any_of_its_events() -> None:
    async with open_world() as world, open_websocket_service(world) as url, open_client(url) as client:
        await client.call("watch", ids=["job-0"])
        for number in range(20):
            await client.call("push", jobs=[job(str(number))], watch=True)
            told = {note["params"]["id"] for note in client.notifications}
            assert f"job-{number + 1}" not in told
        seen = [(await client.notification())["params"] for _ in range(20)]
        assert [event["id"] for event in seen] == [f"job-{number + 1}" for number in range(20)]
        assert [event["seq"] for event in seen] == sorted({event["seq"] for event in seen})


async def test_a_client_that_comes_back_replays_what_it_missed_and_then_follows() -> None:
    async with open_world() as world, open_websocket_service(world) as url:
        async with open_client(url) as client:
            await client.call("push", jobs=[job()], watch=True)
            seen = (await client.notification())["params"]["seq"]
        await world.warm("job-1")
        async with open_client(url) as client:
            assert await client.call("watch", ids=["job-1"], since=seen) == {"seq": seen}
            assert await states_until_done(client) == [("job-1", "running"), ("job-1", "done")]
            await world.intake.push([job("b", id="job-b")])
            await client.call("watch", ids=["job-b"], since=seen)
            replayed = [await client.notification() for _ in range(1)]
            assert replayed[0]["params"]["id"] == "job-b"


async def test_a_dashboard_follows_every_job_until_it_stops_watching() -> None:
    async with open_world() as world, open_websocket_service(world) as url, open_client(url) as client:
        assert "seq" in await client.call("watch")
        await world.intake.push([job("a"), job("b")])
        assert [(await client.notification())["params"]["id"] for _ in range(2)] == ["job-1", "job-2"]
        assert await client.call("unwatch") == {}
        await world.intake.push([job("c")])
        assert (await client.call("get", id="job-3"))["state"] == "queued"
        assert client.notifications == []
        await client.call("watch", since=0)
        assert [(await client.notification())["params"]["id"] for _ in range(3)] == [
            "job-1",
            "job-2",
            "job-3",
        ]


async def test_progress_comes_at_most_once_a_second_and_only_when_it_changed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world() as world, open_websocket_service(world) as url, open_client(url) as client:
        await client.call("push", jobs=[job()], watch=True)
        await client.notification()
        world.progress["other"] = Progress("other", 1, 1, None)
        world.progress["job-1"] = Progress("job-1", 10, 5, 100)
        started = trio.current_time()
        first = await client.notification()
        assert first == {
            "jsonrpc": "2.0",
            "method": "progress",
            "params": {"id": "job-1", "bytes_in": 10, "bytes_out": 5, "total": 100},
        }
        await trio.sleep(10)
        world.progress["job-1"] = Progress("job-1", 20, 15, 100)
        assert (await client.notification())["params"]["bytes_in"] == 20
        assert trio.current_time() - started >= 11


async def test_the_other_methods_answer_and_errors_carry_the_contract_s_codes() -> None:
    async with (
        open_world(max_pending=1) as world,
        open_websocket_service(world) as url,
        open_client(url) as client,
    ):
        await client.call("push", jobs=[job()])
        assert [item["id"] for item in (await client.call("list", state="queued"))["jobs"]] == ["job-1"]
        assert (await client.call("push", jobs=[job("b")]))["error"]["code"] == -32001
        assert (await client.call("get", id="nobody"))["error"]["code"] == -32002
        assert (await client.call("cancel", id="job-1"))["state"] == "cancelled"
        assert (await client.call("retry", id="job-1"))["state"] == "queued"
        forget = await client.call("forget", destination="mybot", kind="video", r2_key="x")
        assert forget == {"forgotten": False}
        assert await client.call("stats") == {"queue": {"queued": 0}}
        assert (await client.call("find", destination="mybot", kind="video", r2_key="x")) is None
        world.intake.drain(30)
        assert (await client.call("push", jobs=[job("b")]))["error"]["code"] == -32004


async def test_a_batch_is_answered_with_a_batch_and_a_notification_is_carried_out_in_silence() -> None:
    async with open_world() as world, open_websocket_service(world) as url, open_client(url) as client:
        push = {"jsonrpc": "2.0", "method": "push", "params": {"jobs": [job()]}}
        get = {"jsonrpc": "2.0", "id": "g", "method": "get", "params": {"id": "job-1"}}
        await client.connection.send_message(json.dumps([push, get]))
        [reply] = json.loads(await client.connection.get_message())
        assert (reply["id"], reply["result"]["state"]) == ("g", "queued")


async def test_a_bug_of_ours_costs_one_request_and_is_observed() -> None:
    async with open_world() as world:

        async def broken() -> dict[str, object]:
            raise KeyError("bug")

        world.intake._stats = broken
        async with open_websocket_service(world) as url, open_client(url) as client:
            assert (await client.call("stats"))["error"]["code"] == -32603
            assert (await client.call("list"))["jobs"] == []
        assert [type(item.exception) for item in world.saw(UnexpectedError)] == [KeyError]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 401),
        ([(b"Authorization", b"Bearer wrong")], 401),
        ([(b"Authorization", b"Basic canary-token")], 401),
        ([(b"Authorization", b"Bearer \xff")], 401),
        ([(b"Authorization", b"Bearer canary-token")] * 2, 401),
        ([(b"Authorization", b"Bearer canary-token"), (b"Origin", b"https://evil.example")], 403),
        ([(b"Authorization", b"Bearer canary-token"), (b"Origin", b"null")], 403),
    ],
)
async def test_strangers_are_turned_away_before_the_upgrade(headers: list[tuple[bytes, bytes]], status: int) -> None:
    auth = Auth(["canary-token"], ["https://dash.example"])
    async with open_world() as world, open_websocket_service(world, auth=auth) as url:
        assert await refused_with(url, *headers) == status
        assert "canary-token" not in repr((world.observed, auth))
        assert world.saw(ConnectionRefused)
        assert not world.saw(ClientConnected)


async def test_a_good_token_from_an_allowed_page_is_let_in() -> None:
    auth = Auth(["first", "second"], ["https://Dash.example/"])
    headers = [(b"Authorization", b"bearer second"), (b"Origin", b"https://dash.example")]
    async with (
        open_world() as world,
        open_websocket_service(world, auth=auth) as url,
        open_client(url, extra_headers=headers) as client,
    ):
        assert (await client.call("list"))["jobs"] == []


async def test_the_subprotocol_is_agreed_to_where_it_is_offered_and_not_missed_where_not() -> None:
    async with open_world() as world, open_websocket_service(world) as url:
        async with open_client(url, subprotocols=["other", "streamwarm.v1"]) as client:
            assert client.connection.subprotocol == "streamwarm.v1"
        async with open_client(url) as client:
            assert client.connection.subprotocol is None


async def test_another_path_is_not_the_websocket() -> None:
    async with open_world() as world, open_websocket_service(world) as url:
        assert await refused_with(f"{url}other") == 404


async def test_one_client_too_many_is_told_to_come_back_and_gets_the_place_of_one_that_leaves() -> None:
    async with open_world() as world, open_websocket_service(world, limits=quick(max_clients=1)) as url:
        async with open_client(url):
            assert await refused_with(url) == 503
        await world.wait_for(ClientDisconnected)
        async with open_client(url) as client:
            assert (await client.call("list"))["jobs"] == []


async def test_at_shutdown_clients_are_told_so_and_nobody_new_is_let_in() -> None:
    async with open_world() as world, open_websocket_service(world) as url, open_client(url) as client:
        await client.call("watch")
        world.shutdown.set()
        with pytest.raises(ConnectionClosed) as caught:
            await client.receive()
        assert caught.value.reason is not None
        assert caught.value.reason.code == 1001
        with pytest.raises(OSError):  # noqa: PT011
            await dial(url)


async def test_a_client_that_ignores_the_farewell_does_not_hold_up_the_shutdown(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world() as world:
        with trio.fail_after(60):
            async with open_websocket_service(world) as url:
                stream = await dial(url)
                await stream.send_all(HANDSHAKE)
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 101")
        assert await world.store.list_jobs(Filter(), limit=1)
        await stream.aclose()


async def test_a_silent_client_is_pinged_and_kept_as_long_as_it_answers(
    autojump_clock: trio.testing.MockClock,
) -> None:
    limits = quick(heartbeat=Heartbeat(every_s=20, pong_within_s=20))
    async with (
        open_world() as world,
        open_websocket_service(world, limits=limits) as url,
        open_client(url) as client,
    ):
        await trio.sleep(300)
        assert (await client.call("list"))["jobs"] == []


async def test_a_client_that_vanished_is_dropped_for_want_of_a_pong(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world() as world, open_websocket_service(world) as url:
        stream = await dial(url)
        await stream.send_all(HANDSHAKE)
        await trio.sleep(60)
        [gone] = world.saw(ClientDisconnected)
        assert "pong" in gone.reason
        await stream.aclose()


async def test_an_address_in_use_is_said_so() -> None:
    async with open_world() as world, open_websocket_service(world) as url:
        with pytest.raises(SettingsError, match="in use"):
            await open_listeners("127.0.0.1", port_of(url))
