"""A destination bucket that is down, or refuses its key, for five minutes: a job that somebody has to retry by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define

from tests.simulation.world import World, simulate
from tests.worlds.http_sink import Connection

JOB = {"destination": "copies", "kind": "document", "r2_key": "lone.bin"}
OUTAGE_S = 300.0
PAUSE_S = 300.0


@define(eq=False)
class Down:
    """Stands for the bucket: gives one answer to everything while `is_on`, or no answer (status 0)."""

    bucket: Any
    status: int
    word: str
    is_on: bool = True

    async def serve(self, connection: Connection) -> None:
        if not self.is_on:
            await self.bucket.serve(connection)
            return
        if await connection.request() is None:
            return
        while await connection.piece():
            pass
        if self.status:
            body = f"<Error><Code>{self.word}</Code></Error>".encode() if self.word else b""
            await connection.answer(self.status, [("Connection", "close")], body)


@pytest.mark.parametrize(
    ("status", "word", "uses_attempts"),
    [
        (0, "", True),
        (503, "ServiceUnavailable", True),
        (504, "", True),
        (520, "", True),
        (403, "InvalidAccessKeyId", False),
        (403, "AccessDenied", False),
        (403, "", False),
        (404, "NoSuchBucket", False),
        (405, "", False),
    ],
)
def test_a_lone_job_outlasts_five_minutes_of_a_destination_bucket_that_fails_or_refuses_and_needs_nobody(
    status: int, word: str, uses_attempts: bool, tmp_path: Path
) -> None:
    view: dict[str, Any] = {}
    ended_at: list[float] = []

    async def life(world: World) -> None:
        world.source.objects[JOB["r2_key"]] = b"lone"
        bucket: Any = world.copies
        down: Any = Down(bucket, status, word)
        world.copies = down
        async with world.running(world.settings("memory:", tmp_path)) as client:
            (job_id,) = await client.push([JOB])
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_end, down)
                assert await client.until_ended([job_id]) == {job_id: "done"}
            ended_at.append(trio.current_time())
            view.update(await client.look_up(f"/v1/jobs/{job_id}"))
        assert bucket.objects["lone.bin"] == b"lone"

    simulate("8", life)
    assert OUTAGE_S <= ended_at[0] <= OUTAGE_S + PAUSE_S + 60
    assert (view["attempt"] > 1) == uses_attempts


async def _end(down: Down) -> None:
    await trio.sleep(OUTAGE_S)
    down.is_on = False
