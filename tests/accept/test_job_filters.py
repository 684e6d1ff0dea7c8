"""Jobs by kind, error code and prefix: an operator who looks for one sort of failure misses none and waits for none."""

from __future__ import annotations

from typing import Any

import pytest

from streamwarm.backlog.settlement import Failed
from streamwarm.errors import ErrorCode, JobError
from tests.worlds.accept import World, job, open_http_service, open_websocket_service, open_world
from tests.worlds.accept_clients import api, open_client


async def fill(world: World) -> None:
    jobs = [job(f"a/{number:02}", kind="photo" if number % 2 else "video") for number in range(30)]
    jobs += [job(f"b/{number:02}") for number in range(30)]
    ids = [one["id"] for one in (await world.intake.push(jobs))["accepted"]]
    claims = await world.store.claim(ids)
    codes = [ErrorCode.TIMEOUT, ErrorCode.TOO_LARGE, ErrorCode.BAD_PHOTO]
    errors = [JobError(codes[number % 3], "no", permanent=True) for number in range(len(claims))]
    assert all(await world.store.settle([Failed(one.lease, why) for one, why in zip(claims, errors, strict=True)]))


def keys(page: dict[str, Any]) -> list[str]:
    return [one["r2_key"] for one in page["jobs"]]


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_every_job_that_fits_is_found_whatever_the_page_size(limit: int) -> None:
    async with open_world() as world, open_websocket_service(world) as url, open_http_service(world) as http:
        await fill(world)
        which = {"kind": "photo", "code": "too_large", "prefix": "a/", "state": "failed"}
        async with open_client(url) as client, api(http) as web:
            found: list[str] = []
            after: dict[str, Any] = {}
            while True:
                page = await client.call("list", **which, limit=limit, **after)
                assert len(page["jobs"]) <= limit
                found += keys(page)
                if page["next"] is None:
                    break
                after = {"after": page["next"]}
            whole = (await client.call("list", limit=500, state="failed"))["jobs"]
            wanted = [
                one["r2_key"]
                for one in whole
                if one["kind"] == "photo" and one["error"]["code"] == "too_large" and one["r2_key"].startswith("a/")
            ]
            assert found == wanted
            assert wanted
            assert keys((await web.get("/v1/jobs", params=which)).json()) == wanted


async def test_a_rare_job_far_behind_others_is_reached_by_short_pages() -> None:
    async with open_world() as world, open_websocket_service(world) as url, open_client(url) as client:
        await world.intake.push([job("rare")])
        await world.intake.push([job(f"other/{number}") for number in range(2_500)])
        first = await client.call("list", prefix="rare")
        assert (first["jobs"], first["next"] is not None) == ([], True)  # it does not read the whole backlog at once
        second = await client.call("list", prefix="rare", after=first["next"])
        assert (keys(second), second["next"]) == (["rare"], None)


@pytest.mark.parametrize("params", [{"code": "nonsense"}, {"kind": "movie"}, {"prefix": ""}, {"prefix": "x" * 1025}])
async def test_a_filter_that_no_job_can_meet_is_refused(params: dict[str, str]) -> None:
    async with open_world() as world, open_http_service(world) as http, api(http) as web:
        assert (await web.get("/v1/jobs", params=params)).status_code == 400
