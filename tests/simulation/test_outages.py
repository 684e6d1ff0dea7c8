"""An outage of minutes that fails a job for good: somebody has to find that job and retry it by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from streamwarm.retry import PATIENCE_S
from tests.simulation.world import World, simulate

JOB = {"destination": "cdn", "kind": "document", "r2_key": "lone.bin"}
OUTAGE_S = 300.0


@pytest.mark.parametrize("peer", ["bucket", "endpoint"])
def test_a_lone_job_outlasts_an_outage_of_five_minutes(peer: str, tmp_path: Path) -> None:
    states: dict[str, str] = {}

    async def life(world: World) -> None:
        world.source.objects[JOB["r2_key"]] = b"lone"
        _set_down(world, peer, down=True)
        async with world.running(world.settings("memory:", tmp_path)) as client:
            ids = await client.push([JOB])
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_end_outage, world, peer)
                states.update(await client.until_ended(ids))

    world = simulate("6", life)
    assert list(states.values()) == ["done"]
    assert world.cdn.received[-1].body == b"lone"


def test_a_job_whose_destination_stays_down_fails_after_fifteen_minutes_and_not_before(tmp_path: Path) -> None:
    view: dict[str, object] = {}
    failed_at: list[float] = []

    async def life(world: World) -> None:
        world.source.objects[JOB["r2_key"]] = b"lone"
        _set_down(world, "endpoint", down=True)
        async with world.running(world.settings("memory:", tmp_path)) as client:
            (job_id,) = await client.push([JOB])
            assert await client.until_ended([job_id]) == {job_id: "failed"}
            failed_at.append(trio.current_time())
            view.update(await client.look_up(f"/v1/jobs/{job_id}"))

    simulate("7", life)
    longest_wait_s = 300.0
    assert PATIENCE_S <= failed_at[0] < PATIENCE_S + longest_wait_s + 60
    assert isinstance(view["error"], dict)
    assert view["error"]["code"] == "destination_unavailable"
    assert f"(attempt {view['attempt']} of 5)" in view["error"]["message"]


def _set_down(world: World, peer: str, *, down: bool) -> None:
    if peer == "bucket":
        world.source.is_down = down
    else:
        world.cdn.status = 503 if down else 201


async def _end_outage(world: World, peer: str) -> None:
    await trio.sleep(OUTAGE_S)
    _set_down(world, peer, down=False)
