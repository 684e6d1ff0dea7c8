"""What a process that was killed was at: told as any other ending is, and sent again only where that is wanted."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from streamwarm.cli.client import connect
from streamwarm.sandbox.bot_api import BotApiEmulator, Fault, FaultKind
from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.processes import members_of, metric, serving, write_config
from tests.worlds.service import DEADLINE_S, put, running_emulator, telegram_table

KEY = "lost.bin"
JOB = {"destination": "mybot", "kind": "document", "r2_key": KEY, "id": "lost"}
FOR_EVER = Fault(FaultKind.SLOW_ANSWER, seconds=600.0, times=None)


async def push(url: str) -> None:
    async with connect(url, None) as client:
        await client.call("push", {"jobs": [JOB]})


async def ended(url: str, *states: str) -> dict[str, Any]:
    async with connect(url, None) as client:
        with trio.fail_after(DEADLINE_S):
            while (job := await client.call("get", {"id": "lost"}))["state"] not in states:
                await trio.sleep(0.05)
    return job


async def attempts_of(url: str) -> list[dict[str, Any]]:
    async with connect(url, None) as client:
        return list((await client.call("attempts", {"id": "lost"}))["attempts"])


async def until_delivered(emulator: BotApiEmulator, deliveries: int) -> None:
    with trio.fail_after(DEADLINE_S):
        while len(emulator.deliveries) < deliveries:
            await trio.sleep(0.01)


async def counted(http: str, metric_line: str) -> None:
    """Once `/metrics` shows exactly one of them: with several processes, the one that serves is told of it."""
    async with httpx.AsyncClient() as client:
        with trio.fail_after(DEADLINE_S):
            while metric((await client.get(f"{http}metrics")).text, metric_line) != 1:
                await trio.sleep(0.05)


def kill_all(pid: int) -> None:
    """The service, and then what it has started, before it can end by itself."""
    members = members_of(pid)
    os.kill(pid, signal.SIGKILL)
    for member in members:
        os.kill(member, signal.SIGKILL)


def failures_in(log: Path) -> list[tuple[str, str, str]]:
    """Job, code and outcome of each failure that was logged."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if "[MEDIA][PREWARM][ERR]" in line]
    return [(line["id"], line["code"], line["outcome"]) for line in lines]


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_job_that_kills_its_process_every_time_fails_in_the_log_and_the_metrics_too(
    processes: int, object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {KEY: b"k" * 1_000})
    log = tmp_path / "log"
    async with running_emulator() as emulator:
        emulator.inject(FOR_EVER)
        table = telegram_table(emulator)
        config = write_config(tmp_path, object_store, {"mybot": table}, serve={"processes": processes}, max_attempts=2)
        for attempt in (1, 2):
            async with serving(config, log) as service:
                await push(service.websocket)
                await until_delivered(emulator, attempt)
                kill_all(service.process.pid)
        assert failures_in(log) == []
        async with serving(config, log) as service:
            job = await ended(service.websocket, "failed")
            await counted(service.http, 'streamwarm_jobs_total{destination="mybot",kind="document",outcome="failed"}')
            attempts = await attempts_of(service.websocket)
    assert (job["attempt"], job["error"]["code"]) == (2, "worker_lost")
    assert [(one["number"], one["outcome"], one["host"]) for one in attempts] == [
        (1, "lost", socket.gethostname()),
        (2, "lost", socket.gethostname()),
    ]
    assert {one["process"] for one in attempts} <= set(range(1, processes + 1))
    with closing(sqlite3.connect(tmp_path / "streamwarm.db")) as database:
        assert database.execute("SELECT status FROM media_cache").fetchall() == [("error",)]
    assert failures_in(log) == [("lost", "worker_lost", "failed")]


async def test_a_process_killed_before_the_answer_leaves_its_job_to_a_person_where_the_settings_say_hold(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {KEY: b"k" * 1_000})
    log = tmp_path / "log"
    async with running_emulator() as emulator:
        emulator.inject(FOR_EVER)
        config = write_config(tmp_path, object_store, {"mybot": telegram_table(emulator, on_unknown="hold")})
        async with serving(config, log) as service:
            await push(service.websocket)
            await until_delivered(emulator, 1)
            service.process.kill()
        emulator.clear_faults()
        async with serving(config, log) as service, connect(service.websocket, None) as client:
            job = await ended(service.websocket, "unknown", "done")
            assert (job["state"], job["error"]["code"], len(emulator.deliveries)) == ("unknown", "delivery_unknown", 1)
            await counted(service.http, "streamwarm_unknown_outcomes_total")
            await push(service.websocket)  # a bot that pushes it again decides nothing for that person
            assert (await client.call("retry", {"id": "lost"}))["state"] == "queued"
            job = await ended(service.websocket, "done")
    assert (job["possible_duplicate"], len(emulator.deliveries)) == (True, 2)
    assert failures_in(log) == [("lost", "delivery_unknown", "unknown")]


@pytest.mark.parametrize(
    ("policy", "fault", "delivered_before"),
    [
        ("retry", FOR_EVER, 1),
        ("hold", Fault(FaultKind.STALL_UPLOAD, at_byte=1, seconds=600.0), 0),
    ],
    ids=["sent-again-by-policy", "its-last-bytes-had-not-left"],
)
async def test_a_killed_process_is_no_reason_to_hold_a_job(
    policy: str, fault: Fault, delivered_before: int, object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {KEY: bytes(40_000_000)})  # more than the sockets on the way hold
    async with running_emulator() as emulator:
        emulator.inject(fault)
        config = write_config(tmp_path, object_store, {"mybot": telegram_table(emulator, on_unknown=policy)})
        async with serving(config, tmp_path / "log") as service:
            await push(service.websocket)
            with trio.fail_after(DEADLINE_S):
                while not emulator.traffic.upload_bytes or len(emulator.deliveries) < delivered_before:
                    await trio.sleep(0.01)
            service.process.kill()
        emulator.clear_faults()
        async with serving(config, tmp_path / "log") as service:
            job = await ended(service.websocket, "unknown", "done")
    assert (job["state"], job["possible_duplicate"]) == ("done", True)
    assert len(emulator.deliveries) == delivered_before + 1
