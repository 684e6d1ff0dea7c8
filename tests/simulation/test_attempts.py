"""What the whole service writes down of its attempts: an outage is understood afterwards from nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.simulation.world import CHAT, World, simulate

CONTENT = bytes(300_000)


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_an_outage_can_be_read_from_the_attempts_afterwards(store: str, tmp_path: Path) -> None:
    found: dict[str, list[dict[str, Any]]] = {}

    async def life(world: World) -> None:
        world.source.objects["a.bin"] = CONTENT
        world.cdn.status = 503
        url = "memory:" if store == "memory" else f"sqlite:///{tmp_path}/jobs.db"
        jobs = [{"destination": name, "kind": "document", "r2_key": "a.bin"} for name in ("cdn", "mybot")]
        async with world.running(world.settings(url, tmp_path)) as client:
            ids = await client.push(jobs)
            await trio.sleep(30)
            world.cdn.status = 201
            assert set((await client.until_ended(ids)).values()) == {"done"}
            for job, job_id in zip(jobs, ids, strict=True):
                found[job["destination"]] = (await client.look_up(f"/v1/jobs/{job_id}/attempts"))["attempts"]

    simulate("8", life)
    *failed, last = found["cdn"]
    assert [attempt["number"] for attempt in found["cdn"]] == list(range(1, len(failed) + 2))
    assert {(one["outcome"], one["error"]["code"], one["bytes"]) for one in failed} == {
        ("retry", "destination_unavailable", len(CONTENT))
    }
    assert (last["outcome"], last["error"], last["chat"]) == ("done", None, None)
    [warmed] = found["mybot"]
    assert (warmed["outcome"], warmed["bytes"], warmed["chat"]) == ("done", len(CONTENT), str(CHAT))
    every = [*found["cdn"], warmed]
    assert {(one["host"], one["process"]) for one in every} == {("localhost", 1)}
    assert all(1 <= one["worker"] <= 5 and one["started_at"] <= one["ended_at"] for one in every)
