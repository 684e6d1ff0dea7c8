"""What clients and proxies lose without these: HTTP as they expect it, and protection against DNS rebinding, by which a
web page could read a service on its reader's own machine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamwarm.accept.auth import Auth
from streamwarm.accept.http.gate import RequestLimits
from streamwarm.accept.wire.requests import parse_list
from streamwarm.cli.client import CallError, connect
from streamwarm.cli.http_client import open_http_caller
from tests.worlds.accept import job, open_http_service, open_websocket_service, open_world
from tests.worlds.accept_clients import api, dial, port_of, read_all


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/v1/nothing", 404, None),
        ("GET", "/v1/jobs/", 404, None),
        ("GET", "/healthz/", 404, None),
        ("PUT", "/v1/jobs", 405, {"GET", "HEAD", "POST"}),
        ("OPTIONS", "/v1/jobs", 405, {"GET", "HEAD", "POST"}),
        ("GET", "/v1/pause", 405, {"POST"}),
        ("HEAD", "/v1/pause", 405, {"POST"}),
        ("POST", "/v1/media/mybot/video/a", 405, {"DELETE", "GET", "HEAD"}),
        ("DELETE", "/v1/jobs/retry", 405, {"GET", "HEAD", "POST"}),
        ("POST", "/healthz", 405, {"GET", "HEAD"}),
    ],
)
async def test_what_there_is_not_is_a_problem_that_names_what_there_is(
    method: str, path: str, status: int, allow: set[str] | None
) -> None:
    async with open_world() as world, open_http_service(world) as url, api(url) as client:
        answer = await client.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        named = answer.headers["allow"] if allow else "/openapi.json"
        if allow:
            assert set(named.split(", ")) == allow
        assert method == "HEAD" or named in answer.json()["detail"]


async def test_head_is_get_without_its_body() -> None:
    async with open_world() as world, open_http_service(world) as url, api(url) as client:
        for path in ("/healthz", "/metrics", "/v1/stats", "/v1/jobs", "/openapi.json"):
            whole, head = await client.get(path), await client.head(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == str(len(whole.content))


async def test_a_job_may_be_called_like_a_route() -> None:
    async with open_world() as world, open_http_service(world) as url, api(url) as client:
        await client.post("/v1/jobs", json={"jobs": [job(id="retry")]})
        assert (await client.get("/v1/jobs/retry")).json()["id"] == "retry"
        assert (await client.post("/v1/jobs/retry/cancel")).json()["state"] == "cancelled"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:{port}", 200),
        ("127.9.9.9", 200),
        ("localhost:{port}", 200),
        ("LOCALHOST", 200),
        ("[::1]:{port}", 200),
        ("192.168.1.5:80", 200),
        ("media.example.com", 200),
        ("evil.example:{port}", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("evil.example#localhost", 403),
        ("user@evil.example", 403),
        ("localhost@evil.example", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
async def test_a_page_that_was_rebound_to_loopback_reads_nothing(host: str, status: int) -> None:
    auth = Auth(origins=["https://media.example.com"])
    async with open_world() as world, open_http_service(world, auth=auth) as url:
        named = host.format(port=port_of(url))
        assert await status_for(url, f"Host: {named}", "/v1/stats") == status
        assert await status_for(url, f"Host: {named}", "/healthz") == 200


async def test_a_service_with_tokens_is_known_by_any_name() -> None:
    async with open_world() as world, open_http_service(world, auth=Auth(["secret"])) as url:
        named = "Host: media.example.com\r\nAuthorization: Bearer"
        assert await status_for(url, f"{named} secret", "/v1/stats") == 200
        assert await status_for(url, f"{named} wrong", "/v1/stats") == 401


async def status_for(url: str, headers: str, path: str) -> int:
    async with await dial(url) as stream:
        await stream.send_all(f"GET {path} HTTP/1.1\r\n{headers}\r\nConnection: close\r\n\r\n".encode())
        answer: Any = await read_all(stream)
    return int(answer.split(b" ", 2)[1])


async def test_a_target_in_absolute_form_is_answered_as_its_path_and_by_the_name_in_it() -> None:
    """RFC 9112, section 3.2.2: a server must accept it, and use its host instead of the header's."""
    async with open_world() as world, open_http_service(world) as url:
        here = f"http://127.0.0.1:{port_of(url)}"
        assert await status_for(url, "Host: evil.example", f"{here}/v1/jobs?limit=1") == 200
        assert await status_for(url, "Host: localhost", f"{here}/v1/media/mybot/video/http://a") == 404
        assert await status_for(url, "Host: localhost", "HTTP://evil.example/v1/jobs") == 403
        assert await status_for(url, "Host: localhost", here) == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: zz\r\n\r\n", 400),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
        (b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n{", 413),
    ],
)
async def test_what_is_refused_before_it_is_read_is_a_problem_too(request_: bytes, status: int) -> None:
    async with open_world() as world, open_http_service(world) as url, await dial(url) as stream:
        await stream.send_all(request_)
        head, _, body = (await read_all(stream)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d" % status)
    assert b"content-type: application/problem+json" in head.lower()
    assert b"\r\ndate: " in head.lower()
    assert b"\r\nserver: " not in head.lower()
    assert json.loads(body)["status"] == status
    assert len(json.loads(body)["detail"]) > 10


async def test_a_bot_keeps_its_connection_for_as_many_look_ups_as_it_likes() -> None:
    async with open_world() as world, open_http_service(world) as url, await dial(url) as stream:
        asked = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        await stream.send_all(asked * 1100 + asked.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert (await read_all(stream)).count(b"HTTP/1.1 200") == 1101


async def test_a_program_that_asks_without_a_pause_is_told_when_to_come_back_and_others_are_not() -> None:
    requests = RequestLimits(per_s=0.01, burst=10, cost_of_lookup=0.5)
    auth = Auth(("first", "second"))
    async with open_world() as world, open_http_service(world, auth=auth, requests=requests) as url:
        async with api(url, "first") as hasty, api(url, "second") as patient, api(url) as stranger:
            for _ in range(8):
                assert (await hasty.get("/v1/stats")).status_code == 200
            for path in ["/v1/media/mybot/video/a"] * 3 + ["/v1/jobs/nobody"]:
                assert (await hasty.get(path)).status_code == 404
            refused = await hasty.post("/v1/jobs", json={"jobs": [job()]})
            assert (refused.status_code, refused.headers["content-type"]) == (429, "application/problem+json")
            assert refused.json()["type"] == "urn:streamwarm:error:rate_limited"
            # The whole is a hundred seconds; the requests before have used some of it.
            assert 0 < refused.json()["retry_after_s"] <= int(refused.headers["retry-after"]) <= 100
            assert [(await hasty.get(path)).status_code for path in ("/healthz", "/readyz")] == [200, 200]
            assert (await patient.get("/v1/stats")).status_code == 200
            assert [(await stranger.get("/v1/stats")).status_code for _ in range(11)] == [401] * 10 + [429]
        assert (await world.intake.list_jobs(parse_list({})))["jobs"] == []


async def test_a_full_backlog_is_the_same_error_to_the_command_line_over_both_interfaces() -> None:
    async with (
        open_world(max_pending=1) as world,
        open_http_service(world) as http,
        open_websocket_service(world) as ws,
    ):
        await world.intake.push([job("a")])
        async with open_http_caller(http, None) as over_http, connect(ws, None) as over_websocket:
            for caller in (over_http, over_websocket):
                with pytest.raises(CallError) as full:
                    await caller.call("push", {"jobs": [job("b")]})
                assert (full.value.code, full.value.data["retry_after_s"]) == (-32001, 5.0)
