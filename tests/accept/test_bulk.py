"""Many jobs at once over both interfaces: what an operator with ten thousand failures relies on."""

from __future__ import annotations

from typing import Any

import pytest

from streamwarm.backlog.settlement import Failed
from streamwarm.errors import ErrorCode, JobError
from streamwarm.model import State
from streamwarm.watch.observations import JobCancelled
from tests.worlds.accept import (
    World,
    job,
    open_http_service,
    open_websocket_service,
    open_world,
)
from tests.worlds.accept_clients import api, open_client

LOST = JobError(ErrorCode.TIMEOUT, "no byte", permanent=False)


async def fail_some(world: World, count: int) -> list[str]:
    answer = await world.intake.push([job(f"{n}.mp4") for n in range(count)])
    ids = [item["id"] for item in answer["accepted"]]
    claims = await world.store.claim(ids)
    assert all(await world.store.settle([Failed(claim.lease, LOST) for claim in claims]))
    return ids


async def test_failed_jobs_are_retried_by_filter_page_after_page() -> None:
    async with open_world() as world, open_websocket_service(world) as url, open_http_service(world) as http:
        ids = await fail_some(world, 3)
        world.wakes.clear()
        async with open_client(url) as client, api(http) as web:
            first = await client.call("retry_jobs", state="failed", limit=2)
            assert (first["matched"], first["changed"]) == (2, 2)
            rest = await web.post("/v1/jobs/retry", json={"state": "failed", "after": first["next"]})
            assert rest.json() == {"matched": 1, "changed": 1, "next": None}
            assert world.wakes
            named = await web.post("/v1/jobs/cancel", json={"ids": [*ids, "nobody"]})
            assert named.json() == {"matched": 3, "changed": 3, "next": None}
            assert [(told.id, told.destination) for told in world.saw(JobCancelled)] == [(i, "mybot") for i in ids]
            await client.call("cancel", id=ids[0])
            assert len(world.saw(JobCancelled)) == 3  # it was cancelled before
            assert {(await client.call("get", id=job_id))["state"] for job_id in ids} == {State.CANCELLED}
            assert (await client.call("forget_jobs", ids=ids))["changed"] == 3
            assert (await client.call("list"))["jobs"] == []


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"limit": 5},
        {"ids": ["a"], "state": "failed"},
        {"ids": "a"},
        {"ids": ["a"] * 501},
        {"state": "odd"},
    ],
)
async def test_nobody_changes_every_job_by_leaving_a_word_out(params: dict[str, Any]) -> None:
    async with open_world() as world, open_websocket_service(world) as url, open_http_service(world) as http:
        await world.intake.push([job()])
        async with open_client(url) as client, api(http) as web:
            assert (await client.call("cancel_jobs", **params))["error"]["code"] == -32602
            assert (await web.post("/v1/jobs/cancel", json=params)).status_code == 400
            assert (await client.call("get", id="job-1"))["state"] == "queued"
