from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from streamwarm.accept.auth import Auth
from streamwarm.watch.observations import UnexpectedError
from tests.worlds.accept import RESULT, SHA256, job, open_http_service, open_world
from tests.worlds.accept_clients import api, dial, port_of, read_all


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
    """GET exactly this path; HTTP clients would normalise its dots."""
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
        assert "server" not in (await client.get("/readyz")).headers
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
