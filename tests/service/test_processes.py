"""`serve.processes`: several processes that are one service, as its users see it."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from streamwarm.cli.client import connect
from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.postgres import PostgresServer
from tests.worlds.processes import is_alive, members_of, metric, run_cli, serving, write_config
from tests.worlds.service import DEADLINE_S, put, running_emulator, telegram_table

JOBS = 60
PROCESSES = 2
WORKERS = 2


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'streamwarm.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.new_schema()


async def test_processes_share_the_work_and_each_may_die(
    object_store: ObjectStore, store_url: str, tmp_path: Path
) -> None:
    objects = {f"processes/{n}.bin": random.Random(n).randbytes(2_000) for n in range(JOBS)}
    await put(object_store, objects)
    async with running_emulator(latency_s=0.1) as emulator, httpx.AsyncClient(timeout=DEADLINE_S) as http:
        config = write_config(
            tmp_path,
            object_store,
            {"mybot": telegram_table(emulator)},
            serve={"processes": PROCESSES},
            store_url=store_url,
            workers=WORKERS,
            lease_s=2,
        )
        async with serving(config, tmp_path / "log") as service, connect(service.websocket, None) as client:
            pid = service.process.pid
            jobs = [{"destination": "mybot", "kind": "document", "r2_key": key} for key in objects]
            reply = await client.call("push", {"jobs": jobs, "watch": True})
            job_ids = {item["id"] for item in reply["accepted"]}
            processes: set[int] = set()
            with trio.fail_after(DEADLINE_S):
                while processes != set(range(1, PROCESSES + 1)):
                    workers = (await http.get(f"{service.http}v1/stats")).json()["workers"]
                    processes |= {stream["process"] for stream in workers["streams"]}
            assert workers["size"] == PROCESSES * WORKERS
            for member in members_of(pid):
                os.kill(member, signal.SIGKILL)
                with trio.fail_after(DEADLINE_S):
                    while member in members_of(pid) or len(members_of(pid)) < PROCESSES:
                        await trio.sleep(0.05)
            done: Counter[str] = Counter()
            with trio.fail_after(DEADLINE_S):
                while sum(done.values()) < JOBS:  # the member that serves may have died with its counters
                    stats = await ask(http, f"{service.http}v1/stats")
                    done = Counter({"done": stats["queue"]["done"]})
                    await trio.sleep(0.05)
            async with connect(service.websocket, None) as again:
                seen = [await again.call("get", {"id": job_id}) for job_id in sorted(job_ids)]
            assert {job["state"] for job in seen} == {"done"}
            service.process.terminate()
            assert await service.ended() == 0
        assert len(emulator.deliveries) <= JOBS + PROCESSES * WORKERS
    log = (tmp_path / "log").read_text()
    assert log.count("[SERVICE][PROCESS_LOST]") == PROCESSES
    assert "Traceback" not in log


async def ask(http: httpx.AsyncClient, url: str) -> dict[str, Any]:
    """What the service answers, as soon as it does: clients wait while the member that serves is started again."""
    while True:
        try:
            answer = await http.get(url)
        except httpx.TransportError:
            await trio.sleep(0.05)
            continue
        if answer.status_code == 200:
            found: dict[str, Any] = answer.json()
            return found
        await trio.sleep(0.05)


async def test_metrics_and_events_tell_of_every_process(object_store: ObjectStore, tmp_path: Path) -> None:
    objects = {f"sum/{n}.bin": random.Random(n).randbytes(2_000) for n in range(30)}
    await put(object_store, objects)
    async with running_emulator(latency_s=0.1) as emulator, httpx.AsyncClient(timeout=DEADLINE_S) as http:
        table = telegram_table(emulator)
        config = write_config(tmp_path, object_store, {"mybot": table}, serve={"processes": 2}, workers=2)
        async with serving(config, tmp_path / "log") as service, connect(service.websocket, None) as client:
            jobs = [{"destination": "mybot", "kind": "document", "r2_key": key} for key in objects]
            await client.call("push", {"jobs": jobs, "watch": True})
            done: Counter[str] = Counter()
            with trio.fail_after(DEADLINE_S):
                while sum(done.values()) < len(objects):
                    note = await client.notifications.receive()
                    if note["method"] == "event" and note["params"]["state"] == "done":
                        done[note["params"]["id"]] += 1
                page = ""
                while metric(page, "streamwarm_jobs_total") < len(objects):
                    page = (await http.get(f"{service.http}metrics")).text
                    await trio.sleep(0.05)
            assert set(done.values()) == {1}
            assert metric(page, "streamwarm_jobs_total") == len(objects)
            assert metric(page, "streamwarm_workers ") == 4
            assert metric(page, "streamwarm_workers_busy_peak") > 2
            service.process.send_signal(signal.SIGINT)
            assert await service.ended() == 130


async def test_a_second_sigterm_ends_every_process_at_once_and_gives_their_attempts_back(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {f"slow/{n}.bin": b"s" * 1_000 for n in range(4)})
    async with running_emulator(latency_s=600.0) as emulator, httpx.AsyncClient(timeout=DEADLINE_S) as http:
        table = telegram_table(emulator)
        serve = {"processes": 2, "drain_s": 600}
        config = write_config(tmp_path, object_store, {"mybot": table}, serve=serve, workers=1)
        async with serving(config, tmp_path / "log") as service:
            jobs = [{"destination": "mybot", "kind": "document", "r2_key": f"slow/{n}.bin"} for n in range(4)]
            await http.post(f"{service.http}v1/jobs", json={"jobs": jobs})
            with trio.fail_after(DEADLINE_S):
                while (await ask(http, f"{service.http}v1/stats"))["workers"]["busy"] < 2:
                    await trio.sleep(0.05)
            members = members_of(service.process.pid)
            service.process.terminate()
            with trio.fail_after(DEADLINE_S):
                while "draining" not in (tmp_path / "log").read_text():
                    await trio.sleep(0.02)
            service.process.terminate()
            assert await service.ended() == 0
        assert not any(is_alive(member) for member in members)
        async with serving(config, tmp_path / "log", "--processes", "1") as service:
            queue = (await ask(http, f"{service.http}v1/stats"))["queue"]
            assert queue["running"] + queue["queued"] == 4
            service.process.kill()


async def test_processes_that_lose_their_supervisor_end_by_themselves(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    config = write_config(tmp_path, object_store, {}, serve={"processes": 2})
    async with serving(config, tmp_path / "log") as service:
        members = members_of(service.process.pid)
        assert len(members) == 2
        service.process.kill()
        with trio.fail_after(DEADLINE_S):
            while any(is_alive(member) for member in members):
                await trio.sleep(0.05)


async def test_what_cannot_start_says_why_and_exits_as_one_process_would(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    config = write_config(tmp_path, object_store, {}, serve={"processes": 2}, store_url="memory:")
    refused = await run_cli("serve", "--config", str(config))
    assert (refused.returncode, b"cannot share store.url = memory:" in refused.stderr) == (2, True)
    config = write_config(tmp_path, object_store, {}, serve={"processes": 2}, store_url="postgresql://127.0.0.1:1/no")
    refused = await run_cli("serve", "--config", str(config))
    assert (refused.returncode, b"127.0.0.1:1" in refused.stderr) == (3, True)
