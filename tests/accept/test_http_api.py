from __future__ import annotations

import json
import struct
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest
import trio

from streamwarm.accept.auth import Auth
from streamwarm.accept.http.server import HttpLimits
from streamwarm.watch.events import ConnectionRefused, UnexpectedError
from tests.worlds.accept import (
    HANDSHAKE,
    RESULT,
    SHA256,
    api,
    dial,
    job,
    open_http_service,
    open_world,
    port_of,
    read_all,
    send_to_the_end,
)


def assert_problem(response: Any, status: int, named: str = "") -> dict[str, Any]:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body.keys() >= {"type", "title", "status", "detail"}
    assert body["status"] == status
    assert named in body["detail"]
    return body


async def test_a_bot_pushes_and_finds_over_http_what_the_websocket_would_tell() -> None:
    async with open_world() as world, open_http_service(world) as url, api(url) as client:
        answer = await client.post("/v1/jobs", json={"jobs": [job(), {}]})
        assert answer.status_code == 200
        assert [item["id"] for item in answer.json()["accepted"]] == ["job-1"]
        assert [item["index"] for item in answer.json()["rejected"]] == [1]
        assert_problem(await client.get("/v1/media/mybot/video/media/a.mp4"), 404, "not warm")
        await world.warm("job-1")
        for reference in ("media/a.mp4", "media%2Fa.mp4", SHA256, SHA256.upper()):
            assert (await client.get(f"/v1/media/mybot/video/{reference}")).json()["result"] == RESULT
        assert (await client.get("/v1/jobs/job-1")).json()["state"] == "done"
        assert (await client.delete("/v1/media/mybot/video/media/a.mp4")).json() == {"forgotten": True}
        assert_problem(await client.delete("/v1/media/mybot/video/media/a.mp4"), 404)


HOSTILE_KEYS = [
    "../secret",
    "a/../b",
    "a//b",
    "/lead",
    "trail/",
    ".",
    "..",
    "%2e%2e",
    "100%",
    "100%2F3",
    "a?b#c",
    "a\nb\r\nX: y",
    'quote"d',
    "ключ/é",
    "\U0001f600",
    "+ &=",
    "\x7f",
    "f" * 1024,
]


@pytest.mark.parametrize("key", HOSTILE_KEYS)
async def test_a_hostile_key_reaches_exactly_the_object_of_that_name(key: str) -> None:
    async with open_world() as world, open_http_service(world) as url:
        await world.intake.push([job(key)])
        await world.warm("job-1")
        for encoded in (quote(key, safe=""), quote(key, safe="/.~")):
            status, body = await raw_get(url, f"/v1/media/mybot/video/{encoded}")
            if status == 404:
                assert encoded.startswith("/")
                continue
            assert (status, json.loads(body)["r2_key"]) == (200, key)
        status, _ = await raw_get(url, f"/v1/media/mybot/video/{quote(key + 'x', safe='')}")
        assert status in {404, 400}


async def raw_get(url: str, path: str) -> tuple[int, bytes]:
    """A GET of exactly this path: clients normalise dots."""
    async with await dial(url) as stream:
        await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("ascii"))
        head, _, body = (await read_all(stream)).partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), body


async def test_sixty_four_hexadecimal_digits_may_be_a_key_as_well() -> None:
    async with open_world() as world, open_http_service(world) as url, api(url) as client:
        await world.intake.push([job("cd" * 32)])
        await world.warm("job-1")
        record = (await client.get("/v1/media/mybot/video/" + "cd" * 32)).json()
        assert record["r2_key"] == "cd" * 32


@pytest.mark.parametrize(
    ("path", "status", "named"),
    [
        ("/v1/media/mybot/film/a", 400, "video_note"),
        ("/v1/media/mybot/video/%ff", 400, "UTF-8"),
        ("/v1/media/mybot/video/%00", 400, "NUL"),
        ("/v1/media/mybot/video/" + "k" * 1025, 400, "1024"),
        ("/v1/media/mybot/video", 404, ""),
        ("/v1/jobs/nobody", 404, "no job"),
        ("/v1/jobs/%0a", 400, "id"),
        ("/v1/jobs?limit=0", 400, "limit"),
        ("/v1/jobs?limit=x", 400, "limit"),
        ("/v1/jobs?state=lost", 400, "state"),
        ("/v1/jobs?sort=up", 400, "sort"),
        ("/v1/jobs?limit=1&limit=2", 400, "twice"),
        ("/v1/jobs/", 404, ""),
        ("/v1/nothing", 404, ""),
    ],
)
async def test_a_wrong_request_is_answered_with_a_problem_that_names_it(path: str, status: int, named: str) -> None:
    async with open_world() as world, open_http_service(world) as url, api(url) as client:
        assert_problem(await client.get(path), status, named)


async def test_jobs_are_listed_page_by_page_and_cancelled_and_retried() -> None:
    async with open_world() as world, open_http_service(world) as url, api(url) as client:
        await world.intake.push([job("a", id="x/é"), job("b")])
        page = (await client.get("/v1/jobs?limit=1&state=queued&destination=mybot")).json()
        rest = (await client.get(f"/v1/jobs?after={page['next']}")).json()
        assert [item["id"] for item in page["jobs"] + rest["jobs"]] == ["job-1", "x/é"]
        one = "/v1/jobs/x%2F%C3%A9"
        assert (await client.get(one)).json()["id"] == "x/é"
        assert (await client.post(f"{one}/cancel")).json()["state"] == "cancelled"
        assert (await client.post(f"{one}/retry")).json()["state"] == "queued"
        assert_problem(await client.get(f"{one}/retry"), 405)


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        (b"", 400, "JSON"),
        (b"\xff", 400, "UTF-8"),
        (b"[]", 400, "object"),
        (b"{}", 400, "jobs"),
        (b'{"jobs": [' + b"[" * 100_000, 400, "deeper"),
        (b'{"jobs": ["' + b"x" * (1 << 20) + b'"]}', 413, "1048576"),
    ],
)
async def test_a_wrong_body_is_answered_with_a_problem_that_names_it(body: bytes, status: int, named: str) -> None:
    async with open_world() as world, open_http_service(world) as url, api(url) as client:
        assert_problem(await client.post("/v1/jobs", content=body), status, named)
        assert (await client.get("/healthz")).status_code == 200


async def test_a_body_that_stops_coming_is_cut_off() -> None:
    async with (
        open_world() as world,
        open_http_service(world, body_within_s=0.1) as url,
        await dial(url) as stream,
    ):
        await stream.send_all(b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
        received = b""
        while b"}" not in received:
            received += await stream.receive_some()
        assert received.startswith(b"HTTP/1.1 408")


async def test_a_full_backlog_and_a_drain_tell_when_to_come_back() -> None:
    async with open_world(max_pending=1) as world, open_http_service(world) as url, api(url) as client:
        await client.post("/v1/jobs", json={"jobs": [job("a")]})
        full = await client.post("/v1/jobs", json={"jobs": [job("b")]})
        body = assert_problem(full, 503)
        assert (body["type"], body["retry_after_s"]) == ("urn:streamwarm:error:queue_full", 5.0)
        assert full.headers["retry-after"] == "5"
        world.intake.drain(30)
        body = assert_problem(await client.post("/v1/jobs", json={"jobs": [job("b")]}), 503)
        assert body["type"] == "urn:streamwarm:error:draining"


async def test_probes_metrics_and_stats_answer() -> None:
    async with open_world() as world, open_http_service(world) as url, api(url) as client:
        assert (await client.get("/healthz")).text == "ok\n"
        assert (await client.get("/readyz")).status_code == 200
        world.not_ready.append("the store is read-only")
        assert_problem(await client.get("/readyz"), 503, "read-only")
        metrics = await client.get("/metrics")
        assert metrics.headers["content-type"] == "text/plain; version=0.0.4"
        assert (await client.get("/v1/stats")).json() == {"queue": {"queued": 0}}


async def test_a_token_guards_everything_but_the_probes() -> None:
    auth = Auth(["canary-token"])
    async with open_world() as world, open_http_service(world, auth=auth) as url:
        async with api(url) as stranger:
            for path in (
                "/metrics",
                "/v1/stats",
                "/v1/jobs",
                "/v1/events",
                "/v1/media/mybot/video/a",
                "/nowhere",
                "/healthz/",
            ):
                refused = await stranger.get(path)
                assert_problem(refused, 401)
                assert refused.headers["www-authenticate"].startswith("Bearer")
            assert_problem(await stranger.post("/v1/jobs", json={"jobs": [job()]}), 401)
            assert (await stranger.get("/healthz")).status_code == 200
            assert (await stranger.get("/readyz")).status_code == 200
        async with api(url, "wrong") as stranger:
            assert_problem(await stranger.get("/v1/stats"), 401)
        async with api(url, "canary-token") as client:
            assert (await client.get("/v1/stats")).status_code == 200


async def test_a_foreign_web_page_cannot_use_its_reader_s_browser() -> None:
    auth = Auth([], ["https://dash.example"])
    async with open_world() as world, open_http_service(world, auth=auth) as url, api(url) as client:
        for origin in ("https://evil.example", "null", f"http://evil.example:{port_of(url)}"):
            answer = await client.post("/v1/jobs", json={"jobs": [job()]}, headers={"origin": origin})
            assert_problem(answer, 403)
        for origin in (url, f"http://localhost:{port_of(url)}", "https://dash.example"):
            answer = await client.post("/v1/jobs", json={"jobs": [job()]}, headers={"origin": origin})
            assert answer.status_code == 200


async def test_a_bug_of_ours_costs_one_request_and_is_observed(capfd: pytest.CaptureFixture[str]) -> None:
    async with open_world() as world, open_http_service(world) as url, api(url) as client:

        async def broken() -> dict[str, object]:
            raise KeyError("canary")

        world.intake._stats = broken
        body = assert_problem(await client.get("/v1/stats"), 500)
        assert "canary" not in json.dumps(body)
        assert (await client.get("/healthz")).status_code == 200
        assert [type(item.exception) for item in world.saw(UnexpectedError)] == [KeyError]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a/v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: zz\r\n\r\n",
        b"GET /v1/jobs?\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /v1/jobs?state=%ff HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: \xff\r\nOrigin: \xff\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100,
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: \xff\xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000,
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\0" * 1000,
    ],
)
async def test_a_malformed_request_ends_that_connection_and_no_other(data: bytes) -> None:
    async with open_world() as world, open_http_service(world) as url, api(url) as client:
        async with await dial(url) as stream:
            await send_to_the_end(stream, data)
            await read_all(stream)
        assert (await client.get("/healthz")).status_code == 200
        assert not world.saw(UnexpectedError)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET /hea",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        HANDSHAKE,
    ],
)
async def test_whatever_a_stranger_asks_for_its_silence_has_an_end(data: bytes) -> None:
    limits = HttpLimits(idle_s=0.1)
    async with (
        open_world() as world,
        open_http_service(world, limits=limits, body_within_s=0.1) as url,
        await dial(url) as stream,
    ):
        await stream.send_all(data)
        await read_all(stream)


async def test_silent_connections_are_closed_and_too_many_are_refused() -> None:
    limits = HttpLimits(max_clients=5, idle_s=1.5)
    async with open_world() as world, open_http_service(world, limits=limits) as url:
        streams = [await dial(url) for _ in range(30)]
        for stream in streams:
            await read_all(stream)
            await stream.aclose()
        assert len(world.saw(ConnectionRefused)) == 25
        async with api(url) as client:
            assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET /hea",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
@pytest.mark.parametrize("is_reset", [False, True])
async def test_who_leaves_makes_room_at_once(data: bytes, is_reset: bool) -> None:
    limits = HttpLimits(max_clients=1, idle_s=1000)
    async with open_world() as world, open_http_service(world, limits=limits) as url:
        with trio.fail_after(20):
            async with await dial(url) as first:
                await first.send_all(data)
                if data.endswith(b"\r\n\r\n"):
                    assert (await first.receive_some()).startswith(b"HTTP/1.1 200")
                if is_reset:
                    first.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, struct.pack("ii", 1, 0))
            while not (await _answer_to_a_probe(url)).startswith(b"HTTP/1.1 200"):
                await trio.sleep(0.01)


async def _answer_to_a_probe(url: str) -> bytes:
    async with await dial(url) as stream:
        with suppress(trio.BrokenResourceError):
            await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return await read_all(stream)
    return b""


async def test_a_client_that_never_reads_does_not_hold_up_the_shutdown() -> None:
    async with open_world() as world:
        await world.intake.push([job(f"{number}" + "k" * 1000) for number in range(500)])
        with trio.fail_after(10):
            async with open_http_service(world, limits=HttpLimits(graceful_s=0.3, send_within_s=1000)) as url:
                deaf = await dial(url)
                deaf.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
                await deaf.send_all(b"GET /v1/jobs?limit=500 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
                await trio.testing.wait_all_tasks_blocked(0.2)
        await deaf.aclose()


async def test_a_request_under_way_at_shutdown_is_answered() -> None:
    async with open_world() as world, open_http_service(world) as url, api(url) as client:
        gate, asked = trio.Event(), trio.Event()

        async def slow() -> dict[str, object]:
            asked.set()
            await gate.wait()
            return {"late": True}

        world.intake._stats = slow
        answers: list[Any] = []

        async def ask() -> None:
            answers.append((await client.get("/v1/stats")).json())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await asked.wait()
            world.shutdown.set()
            await trio.testing.wait_all_tasks_blocked()
            gate.set()
        assert answers == [{"late": True}]


@pytest.mark.parametrize("path", ["/v1/stats", "/v1/jobs"])
async def test_a_large_upload_that_nobody_reads_leaves_no_connection_behind(path: str) -> None:
    async with open_world() as world, open_http_service(world) as url:

        async def slow() -> dict[str, object]:
            await trio.testing.wait_all_tasks_blocked(0.02)
            return {}

        world.intake._stats = slow
        for _ in range(2):
            async with await dial(url) as stream, trio.open_nursery() as nursery:
                nursery.start_soon(upload, stream, path, 8 << 20)
                assert (await read_all(stream)).startswith((b"HTTP/1.1 200", b"HTTP/1.1 413"))
            await trio.testing.wait_all_tasks_blocked(0.02)


async def upload(stream: trio.SocketStream, path: str, size_bytes: int) -> None:
    """Send a body of `size_bytes`, as far as the server lets it."""
    method = "GET" if path == "/v1/stats" else "POST"
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size_bytes}\r\n\r\n"
        await stream.send_all(head.encode())
        await stream.send_all(bytes(size_bytes))
