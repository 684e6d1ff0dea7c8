"""What a page loses without these: its jobs' events over plain HTTP, and the events it missed while disconnected."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from attrs import define, field

from streamwarm.accept.auth import Auth
from streamwarm.accept.http.server import HttpLimits
from streamwarm.accept.http.sse import KEEP_ALIVE_S, EventStream
from streamwarm.model import Progress
from streamwarm.settle.feed import Feed
from streamwarm.settle.publisher import Publisher
from streamwarm.watch.observations import ConnectionRefused, UnexpectedError
from tests.worlds.accept import job, open_http_service, open_websocket_service, open_world
from tests.worlds.accept_clients import api, dial, open_client, read_all
from tests.worlds.failing_store import FailingStore

EVENTS = "/v1/events"


@define
class Follower:
    """Reads messages as a browser does: field by field, until an empty line. Uses HTTP/1.0, whose body is everything
    after the head."""

    stream: trio.SocketStream
    last_id: str | None = None
    _received: bytes = field(default=b"", init=False)

    async def message(self) -> tuple[str, dict[str, Any]]:
        """The next message that a browser would dispatch."""
        while True:
            lines = (await self._until_empty_line()).decode().split("\n")
            fields = dict(line.split(": ", 1) for line in lines)
            self.last_id = fields.get("id", self.last_id)
            if "data" in fields:
                return fields["event"], json.loads(fields["data"])

    async def _until_empty_line(self) -> bytes:
        with trio.fail_after(10):
            while b"\n\n" not in self._received:
                piece = await self.stream.receive_some()
                assert piece, "the stream ended"
                self._received += piece
        block, _, self._received = self._received.partition(b"\n\n")
        return block

    async def head(self) -> str:
        while b"\r\n\r\n" not in self._received:
            self._received += await self.stream.receive_some()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        return head.decode("ascii").lower()

    async def states(self, count: int) -> list[tuple[str, str]]:
        messages = [await self.message() for _ in range(count)]
        return [(params["id"], params["state"]) for _, params in messages]


@asynccontextmanager
async def following(url: str, path: str = EVENTS, **headers: str) -> AsyncIterator[Follower]:
    """A page that follows events; its stream is open."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    async with await dial(url) as stream:
        await stream.send_all(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n{lines}\r\n".encode())
        follower = Follower(stream)
        head = await follower.head()
        assert " 200 " in head
        assert "content-type: text/event-stream; charset=utf-8" in head
        yield follower


async def test_a_page_hears_what_a_websocket_client_hears() -> None:
    async with (
        open_world() as world,
        open_http_service(world) as url,
        open_websocket_service(world) as websocket,
        open_client(websocket) as peer,
        following(url) as follower,
    ):
        await peer.call("watch")
        await world.intake.push([job()])
        world.progress["job-1"] = Progress("job-1", 100, 50, None)
        heard = [await follower.message() for _ in range(2)]
        notes = [await peer.notification() for _ in range(2)]
        assert heard == [(note["method"], note["params"]) for note in notes]
        assert [name for name, _ in heard] == ["event", "progress"]
        assert follower.last_id == str(heard[0][1]["seq"])


async def test_a_page_that_comes_back_hears_what_it_missed_and_nothing_twice() -> None:
    async with open_world() as world, open_http_service(world) as url:
        await world.intake.push([job("a"), job("b"), job("c")])
        while world.feed.last_seq < 3:
            await world.feed.wait(world.feed.last_seq)
        async with following(url, last_event_id="1") as follower:
            assert await follower.states(2) == [("job-2", "queued"), ("job-3", "queued")]
        async with following(url, f"{EVENTS}?last_event_id=2") as follower:
            assert await follower.states(1) == [("job-3", "queued")]
        # A browser keeps the address that it was given; the header is newer.
        async with following(url, f"{EVENTS}?last_event_id=0", last_event_id="2") as follower:
            assert await follower.states(1) == [("job-3", "queued")]


@pytest.mark.parametrize("headers", [{}, {"last_event_id": ""}, {"last_event_id": "999999"}])
async def test_a_page_that_comes_anew_hears_of_what_happens_from_now_on(headers: dict[str, str]) -> None:
    async with open_world() as world, open_http_service(world) as url:
        await world.intake.push([job("old")])
        await world.feed.wait(0)
        async with following(url, **headers) as follower:
            await world.intake.push([job("new")])
            assert await follower.states(1) == [("job-2", "queued")]


@pytest.mark.parametrize("last_event_id", ["x", "-1", "1.5", "9" * 30, "٣"])
async def test_an_id_that_nobody_sent_is_named(last_event_id: str) -> None:
    async with open_world() as world, open_http_service(world) as url, api(url) as client:
        refused = await client.get(EVENTS, params={"last_event_id": last_event_id})
        assert (refused.status_code, "Last-Event-ID" in refused.json()["detail"]) == (400, True)


async def test_a_hostile_key_stays_within_its_message() -> None:
    key = "a\r\n\r\ndata: x\nid: 7\u2028\U0001f600"
    async with (
        open_world() as world,
        open_http_service(world) as url,
        following(url) as follower,
    ):
        await world.intake.push([job(key)])
        _, params = await follower.message()
        assert (params["r2_key"], follower.last_id) == (key, "1")


async def test_only_who_has_the_token_follows() -> None:
    async with open_world() as world, open_http_service(world, auth=Auth(["canary-token"])) as url:
        async with api(url) as stranger:
            assert (await stranger.get(EVENTS)).status_code == 401
            assert (await stranger.get(f"{EVENTS}?token=canary-token")).status_code == 401
        async with following(url, authorization="Bearer canary-token") as follower:
            await world.intake.push([job()])
            assert await follower.states(1) == [("job-1", "queued")]


async def test_following_ends_with_the_service_in_good_order() -> None:
    async with open_world() as world:
        with trio.fail_after(10):
            # Much longer than the test may take: the stream must end by itself, not by being aborted.
            async with open_http_service(world, limits=HttpLimits(graceful_s=60)) as url, await dial(url) as stream:
                await stream.send_all(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
                received = bytes(await stream.receive_some())
                world.shutdown.set()
                received += await read_all(stream)
        assert received.endswith(b"\r\n0\r\n\r\n")


async def test_a_page_that_never_reads_is_dropped_and_its_neighbour_hears_everything() -> None:
    jobs, rounds = 500, 4
    key = "\x01" * 1000  # six characters of JSON each: more than the sockets can buffer
    async with (
        open_world() as world,
        open_http_service(world, limits=HttpLimits(send_within_s=1)) as url,
        following(url) as neighbour,
        await dial(url) as deaf,
    ):
        deaf.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
        await deaf.send_all(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for number in range(rounds):
            await world.intake.push([job(f"{number}/{one}/{key}") for one in range(jobs)])
            assert len(await neighbour.states(jobs)) == jobs
        await world.wait_for(ConnectionRefused)
        assert [refused.reason for refused in world.saw(ConnectionRefused)] == ["did not read for 1 s"]
        assert not world.saw(UnexpectedError)


@pytest.mark.parametrize("body", [b"", b"Content-Length: 5\r\n\r\nhello"], ids=["without a body", "with a body"])
async def test_a_page_that_leaves_makes_room_for_the_next(body: bytes) -> None:
    async with open_world() as world, open_http_service(world, max_followers=1) as url, api(url) as client:
        async with await dial(url) as stream:
            await stream.send_all(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n" + (body or b"\r\n"))
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
            assert (await client.get(EVENTS)).status_code == 503
        with trio.fail_after(10):
            while (await client.head(EVENTS)).status_code != 200:
                await trio.sleep(0.01)


@asynccontextmanager
async def virtual_stream(feed: Feed, since: int | None = None) -> AsyncIterator[trio.MemoryReceiveChannel[bytes]]:
    """The chunks of a stream as the application writes them; without a socket, so that the clock can be virtual."""
    pieces_in, pieces = trio.open_memory_channel[bytes](0)

    stream = EventStream(feed, await feed.cursor(since), trio.Event(), trio.CapacityLimiter(1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.write, pieces_in.send)
        assert (await pieces.receive()).startswith(b"retry: ")
        yield pieces
        nursery.cancel_scope.cancel()


async def test_a_silent_stream_is_kept_alive(autojump_clock: trio.abc.Clock) -> None:
    async with open_world() as world, virtual_stream(world.feed) as pieces:
        started_at = trio.current_time()
        assert [await pieces.receive() for _ in range(2)] == [b": keep-alive\n\n"] * 2
        assert trio.current_time() - started_at == pytest.approx(2 * KEEP_ALIVE_S, abs=2)


async def test_progress_comes_at_most_once_a_second_and_only_when_there_is_some(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with open_world() as world, virtual_stream(world.feed) as pieces:
        started_at = trio.current_time()
        for number in range(1, 4):
            world.progress["job-1"] = Progress("job-1", number, number, 10)
            piece = await pieces.receive()
            assert piece == b'event: progress\ndata: {"id":"job-1","bytes_in":%d,"bytes_out":%d,"total":10}\n\n' % (
                number,
                number,
            )
            assert trio.current_time() - started_at >= number
        assert await pieces.receive() == b": keep-alive\n\n"


async def test_a_store_that_is_away_delays_what_was_missed_and_loses_nothing(autojump_clock: trio.abc.Clock) -> None:
    async with open_world() as world, trio.open_nursery() as nursery:
        await world.intake.push([job("a"), job("b")])
        feed = Publisher(FailingStore(world.store, {"events_after": 3}), dict, world.observe)
        await nursery.start(feed.run)
        async with virtual_stream(feed, since=0) as pieces:
            missed = (await pieces.receive()).decode()
        assert [line for line in missed.splitlines() if line.startswith("id: ")] == ["id: 1", "id: 2"]
        nursery.cancel_scope.cancel()
