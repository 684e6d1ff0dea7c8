"""What a user loses if a destination bucket's trouble is charged to its jobs: a library's worth of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from attrs import define

from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.bucket_gate import BucketGate, bucket_gate
from tests.worlds.service import World, put, running_service, settings_for

JOBS = 40
REMEDIES = {
    "SignatureDoesNotMatch": "secret_access_key",
    "InvalidAccessKeyId": "access_key_id",
    "ExpiredToken": "has not expired",
    "RequestTimeTooSkewed": "clock",
    "NoSuchBucket": "check bucket",
    "AccessDenied": "write permission",
    "": "write permission",
}


def keys_of(name: str, *, odd: bool = False) -> dict[str, bytes]:
    separator = " & " if odd else "-"
    return {f"dest{name}/{name}{separator}{n:03}.bin": b"x" * (1000 + n) for n in range(JOBS)}


@define(eq=False)
class Copies:
    """A service that copies a bucket's objects into another bucket, which has a gate."""

    world: World
    gate: BucketGate

    async def push(self, objects: dict[str, bytes]) -> list[str]:
        jobs = [{"destination": "copies", "kind": "document", "r2_key": key} for key in objects]
        return [one["id"] for one in (await self.world.push(*jobs))["accepted"]]

    async def pause(self) -> dict[str, Any]:
        with trio.fail_after(20):
            while not (paused := (await self.stats())["paused"]):
                await trio.sleep(0.05)
        return dict(paused)

    async def stats(self) -> dict[str, Any]:
        return dict((await self.world.client.call("stats", {}))["destinations"]["copies"])


@asynccontextmanager
async def copying(store: ObjectStore, folder: Path) -> AsyncIterator[Copies]:
    async with bucket_gate(store) as (gate, gated):
        table = {
            "type": "s3",
            "endpoint_url": gated.endpoint_url,
            "bucket": store.bucket,
            "access_key_id": store.access_key_id,
            "secret_access_key": store.secret_access_key,
            "key": "copied/{r2_key}",
        }
        async with running_service(settings_for(store, folder / "s.db", {"copies": table})) as world:
            yield Copies(world, gate)


@pytest.mark.parametrize(
    ("status", "code"), [*((403, code) for code in REMEDIES), (400, "ExpiredToken"), (404, "NoSuchBucket"), (404, "")]
)
async def test_a_destination_whose_key_is_rotated_loses_no_job_and_says_what_to_do(
    status: int, code: str, object_store: ObjectStore, tmp_path: Path
) -> None:
    objects = keys_of(f"{status}{code}", odd=code == "SignatureDoesNotMatch")
    await put(object_store, objects)
    async with copying(object_store, tmp_path) as copies:
        copies.gate.shut = status, code
        ids = await copies.push(objects)
        pause = await copies.pause()
        assert REMEDIES[code] in pause["reason"] or (not code and status != 403)
        assert "streamwarm resume" in pause["reason"]
        await trio.sleep(0.3)
        workers = copies.world.settings.queue.workers
        assert len(copies.gate.refused) <= 2 * workers  # each worker's upload, and at most a probe for it
        async with httpx.AsyncClient(base_url=copies.world.endpoints.http, trust_env=False) as http:
            assert (await http.get("/readyz")).status_code == 200
            metrics = (await http.get("/metrics")).text
        assert 'streamwarm_paused{by="destination",name="copies",scope="destination"} 1.0' in metrics

        copies.gate.shut = None
        await copies.world.client.call("resume", {"destination": "copies"})
        ended = await copies.world.outcomes(ids)
        assert {job["state"] for job in ended} == {"done"}
        assert {job["attempt"] for job in ended} == {1}
