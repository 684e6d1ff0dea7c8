"""What a user loses without these: every job, to an endpoint whose key was changed or whose address is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from streamwarm.sandbox.object_store import ObjectStore
from tests.service.test_other_destinations import http_table
from tests.worlds.http_sink import HttpSink, serving
from tests.worlds.service import DEADLINE_S, World, put, running_service, settings_for

JOBS = 20


async def push(world: World, store: ObjectStore, folder: str) -> list[str]:
    keys = [f"{folder}/{number}" for number in range(JOBS)]
    await put(store, {key: f"the object {key}".encode() for key in keys})
    jobs: list[dict[str, Any]] = [{"destination": "cdn", "kind": "document", "r2_key": key} for key in keys]
    return [item["id"] for item in (await world.push(*jobs))["accepted"]]


async def about(world: World) -> dict[str, Any]:
    return dict((await world.client.call("stats", {}))["destinations"]["cdn"])


@pytest.mark.parametrize("status", [301, 400, 403, 404, 405, 409, 451])
async def test_an_endpoint_that_refuses_everything_is_paused_with_the_reason_and_loses_no_job(
    status: int, object_store: ObjectStore, tmp_path: Path
) -> None:
    sink = HttpSink(status=status)
    async with serving(sink):
        tables = {"cdn": http_table(sink, allow_private=True)}
        async with running_service(settings_for(object_store, tmp_path / "s.db", tables)) as world:
            ids = await push(world, object_store, f"all/{status}")
            with trio.fail_after(DEADLINE_S):
                while not (found := await about(world))["paused"] or found["queue"].get("running"):
                    await trio.sleep(0.05)
            assert f"answered {status}" in found["paused"]["reason"]
            assert "`streamwarm resume` it" in found["paused"]["reason"]
            assert not found["queue"]["failed"]
            assert len(sink.received) <= 10
            sink.status = 201
            await world.client.call("resume", {"destination": "cdn"})
            assert {one["state"] for one in await world.outcomes(ids)} == {"done"}


async def test_objects_that_an_endpoint_does_not_take_fail_alone_while_it_takes_others(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    sink = HttpSink(refused={f"/up/one%2F{number}": 403 for number in (3, 11)})
    async with serving(sink):
        tables = {"cdn": http_table(sink, allow_private=True)}
        async with running_service(settings_for(object_store, tmp_path / "s.db", tables)) as world:
            ended = await world.outcomes(await push(world, object_store, "one"))
    assert [number for number, one in enumerate(ended) if one["state"] == "failed"] == [3, 11]
    assert {one["error"]["code"] for one in ended if one["state"] == "failed"} == {"destination_refused"}
    assert {one["state"] for one in ended} == {"done", "failed"}
