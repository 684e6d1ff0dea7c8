"""What a user loses if a process dies between a push and its comparison: a job that waits for ever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from streamwarm.cli.client import connect
from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.bucket_gate import bucket_gate
from tests.worlds.processes import serving, write_config
from tests.worlds.service import DEADLINE_S, put, running_emulator, telegram_table

KEYS = [f"survive/{number}.bin" for number in range(5)]
JOBS = [{"destination": "bot", "kind": "document", "r2_key": key} for key in KEYS]


def no_heads(method: str, target: str) -> tuple[int, str] | None:
    """HEADs meet trouble that passes, for as long as the test wants."""
    return (503, "SlowDown") if method == "HEAD" else None


def distrusting(config: Path) -> Path:
    config.write_text(config.read_text() + "\n[records]\ntrust_s = 0\n")
    return config


async def push(websocket: str) -> list[str]:
    async with connect(websocket, None) as client:
        return [item["id"] for item in (await client.call("push", {"jobs": JOBS}))["accepted"]]


async def until(websocket: str, ids: list[str], state: str) -> list[dict[str, Any]]:
    async with connect(websocket, None) as client:
        with trio.fail_after(DEADLINE_S):
            while True:
                jobs = [await client.call("get", {"id": each}) for each in ids]
                if all(job["state"] == state for job in jobs):
                    return jobs
                await trio.sleep(0.1)


Stop = Callable[[trio.Process], None]


@pytest.mark.parametrize("stop", [trio.Process.kill, trio.Process.terminate])
async def test_jobs_that_wait_for_a_comparison_have_it_after_a_restart(
    stop: Stop, object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, dict.fromkeys(KEYS, b"s" * 1000))
    async with bucket_gate(object_store) as (gate, store), running_emulator() as emulator:
        config = distrusting(write_config(tmp_path, store, {"bot": telegram_table(emulator)}))
        async with serving(config, tmp_path / "log") as service:
            await until(service.websocket, await push(service.websocket), "done")
            gate.shut_for = no_heads
            again = await push(service.websocket)
            with trio.fail_after(DEADLINE_S):
                while len(gate.refused) < len(KEYS):
                    await trio.sleep(0.05)
            await until(service.websocket, again, "queued")
            stop(service.process)
            await service.ended()
        gate.shut_for = lambda method, target: None
        async with serving(config, tmp_path / "log") as service:
            ended = await until(service.websocket, again, "done")
    assert [job["result"]["source"] for job in ended] == ["unchanged"] * len(KEYS)
    assert len(emulator.deliveries) == len(KEYS)


async def test_two_processes_warm_what_was_replaced_once(object_store: ObjectStore, tmp_path: Path) -> None:
    await put(object_store, dict.fromkeys(KEYS, b"old" * 1000))
    async with running_emulator() as emulator:
        config = distrusting(write_config(tmp_path, object_store, {"bot": telegram_table(emulator)}))
        async with serving(config, tmp_path / "log", "--processes", "2") as service:
            first = await until(service.websocket, await push(service.websocket), "done")
            await put(object_store, dict.fromkeys(KEYS, b"new" * 1000))
            second = await until(service.websocket, await push(service.websocket), "done")
            third = await until(service.websocket, await push(service.websocket), "done")
    assert {job["result"]["file_id"] for job in first}.isdisjoint({job["result"]["file_id"] for job in second})
    assert [job["result"]["file_id"] for job in third] == [job["result"]["file_id"] for job in second]
    assert {job["result"]["source"] for job in third} == {"unchanged"}
    assert len(emulator.deliveries) == 2 * len(KEYS)
