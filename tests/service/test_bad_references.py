"""A bot whose `file_id` did not work says so, and has a good one soon, whatever else senders say at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import trio

from streamwarm.backlog.core.record_operations import MOST_SUSPECTS
from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.command_line import cli
from tests.worlds.service import TOKEN, World, put, running_emulator, running_service, settings_for, telegram_table

ABOUT = {"destination": "mybot", "kind": "document"}


async def warm(world: World, *keys: str) -> None:
    answer = await world.push(*({**ABOUT, "r2_key": key} for key in keys))
    assert {job["state"] for job in await world.outcomes([one["id"] for one in answer["accepted"]])} == {"done"}


async def find(world: World, key: str) -> dict[str, Any] | None:
    record: dict[str, Any] | None = await world.client.call("find", {**ABOUT, "r2_key": key})
    return record


async def test_a_hundred_bots_that_report_one_bad_id_cause_one_upload_and_then_find_a_new_one(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {"bad/a.bin": b"a" * 5000})
    async with running_emulator() as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)})
        async with running_service(settings) as world:
            await warm(world, "bad/a.bin")
            before = await find(world, "bad/a.bin")
            assert before is not None
            path = "/v1/media/mybot/document/bad%2Fa.bin/invalid"
            jobs: set[str] = set()

            async def report(http: httpx.AsyncClient) -> None:
                body = {"file_id": before["file_id"], "error": f"wrong file identifier {TOKEN}"}
                answer = (await http.post(path, json=body, timeout=60)).json()
                jobs.update([answer["job"]["id"]] if answer["requeued"] else [])

            await world.client.call("watch", {})
            async with httpx.AsyncClient(base_url=world.endpoints.http) as http, trio.open_nursery() as nursery:
                for _ in range(100):
                    nursery.start_soon(report, http)
            [job] = jobs
            assert (await world.outcome(job))["state"] == "done"
            after = await find(world, "bad/a.bin")
            assert after is not None
            assert after["file_id"] != before["file_id"] or after["job_id"] == job
            assert len(emulator.deliveries) == 2
            # The old id is no longer what is recorded: a late report changes nothing.
            late = await world.client.call("invalid", {**ABOUT, "r2_key": "bad/a.bin", "file_id": "another"})
            assert (late["requeued"], late["record"]["file_id"]) == (False, after["file_id"])


async def test_the_pause_for_bad_references_is_seen_and_ended_by_a_resume(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    keys = [f"seen/{number}.bin" for number in range(MOST_SUSPECTS + 1)]
    async with running_emulator() as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)})
        async with running_service(settings) as world:
            lines = [{**ABOUT, "r2_key": key, "file_id": f"BAAC-{number}"} for number, key in enumerate(keys)]
            await world.client.call("import", {"records": lines})
            for line in lines:
                await world.client.call("invalid", line)
            paused = (await world.client.call("stats", {}))["destinations"]["mybot"]["paused"]
            assert "were reported invalid" in paused["reason"]
            assert (await find(world, keys[0])) is not None
            assert "were reported invalid" in (await cli("status", "--url", world.endpoints.websocket)).out
            resumed = await cli("resume", "mybot", "--url", world.endpoints.websocket)
            assert (resumed.code, resumed.out) == (0, "nothing is paused\n")
