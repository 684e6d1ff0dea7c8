"""Someone who asks why a job took hours gets its attempts over both interfaces, in the same words."""

from __future__ import annotations

from typing import Any

from streamwarm.attempts import LOCAL
from streamwarm.backlog.settlement import Failed, Ran, Retry
from streamwarm.errors import ErrorCode, JobError
from tests.worlds.accept import World, job, open_http_service, open_websocket_service, open_world
from tests.worlds.accept_clients import api, open_client

DOWN = JobError(ErrorCode.SOURCE_UNAVAILABLE, "the bucket answered 503", permanent=False)
NOTHING_KNOWN: dict[str, Any] = {"worker": None, "chat": None, "bytes": None, "error": None}


async def fail_once(world: World) -> None:
    """The job `tried` has one attempt behind it and runs again."""
    [claim] = await world.store.claim(["tried"])
    ran = Ran(worker=2, lane="-1001", bytes=300_000)
    assert await world.store.settle([Retry(claim.lease, DOWN, world.store.now(), ran=ran)]) == [True]
    await world.store.wake_due()
    await world.store.claim(["tried"])


async def test_attempts_tell_who_tried_when_how_far_and_how_it_ended() -> None:
    async with open_world() as world, open_http_service(world) as url, api(url) as client:
        await client.post("/v1/jobs", json={"jobs": [job(id="tried"), job("new", id="new")]})
        await fail_once(world)
        first, second = (await client.get("/v1/jobs/tried/attempts")).json()["attempts"]
        assert {name: first[name] for name in first if not name.endswith("_at")} == {
            "number": 1,
            "host": LOCAL.host,
            "process": LOCAL.process,
            "worker": 2,
            "chat": "-1001",
            "bytes": 300_000,
            "outcome": "retry",
            "error": {"code": "source_unavailable", "message": "the bucket answered 503", "permanent": False},
        }
        assert first["started_at"] <= first["ended_at"] <= second["started_at"]
        assert second == {
            "number": 2,
            "started_at": second["started_at"],
            "ended_at": None,
            "host": LOCAL.host,
            "process": LOCAL.process,
            "outcome": None,
            **NOTHING_KNOWN,
        }
        assert (await client.get("/v1/jobs/new/attempts")).json() == {"attempts": []}


async def test_a_job_that_does_not_exist_is_not_one_without_attempts() -> None:
    async with open_world() as world, open_http_service(world) as url, api(url) as client:
        missing = await client.get("/v1/jobs/nobody/attempts")
        assert (missing.status_code, missing.json()["type"]) == (404, "urn:streamwarm:error:not_found")
        assert (await client.get("/v1/jobs/" + "x" * 129 + "/attempts")).status_code == 400
        assert (await client.post("/v1/jobs/nobody/attempts")).status_code == 405


async def test_a_job_may_be_called_as_an_action_is() -> None:
    async with open_world() as world, open_http_service(world) as url, api(url) as client:
        await client.post("/v1/jobs", json={"jobs": [job(id="retry")]})
        [claim] = await world.store.claim(["retry"])
        await world.store.settle([Failed(claim.lease, DOWN)])
        [attempt] = (await client.get("/v1/jobs/retry/attempts")).json()["attempts"]
        assert attempt["outcome"] == "failed"


async def test_the_websocket_answers_as_http_does() -> None:
    async with (
        open_world() as world,
        open_http_service(world) as http_url,
        api(http_url) as http,
        open_websocket_service(world) as url,
        open_client(url) as client,
    ):
        await client.call("push", jobs=[job(id="tried")])
        await fail_once(world)
        assert await client.call("attempts", id="tried") == (await http.get("/v1/jobs/tried/attempts")).json()
        assert (await client.call("attempts", id="nobody"))["error"]["code"] == -32002
