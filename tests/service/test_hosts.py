"""Several services on one PostgreSQL database: what a user sees when one of them dies, and when the database does."""

from __future__ import annotations

import json
import random
import signal
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import trio

from streamwarm.cli.client import Client, connect
from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.postgres import PostgresServer
from tests.worlds.processes import serving, write_config
from tests.worlds.service import DEADLINE_S, put, running_emulator, telegram_table

KINDS = ["document", "audio", "voice", "video"]
WORKERS = 10
LONG_S = 3 * DEADLINE_S
"""For a thousand jobs on a machine that others use too."""


async def follow_to_the_end(client: Client, job_ids: set[str], done: Counter[str]) -> None:
    """Count the `done` events of these jobs until each has one."""
    while len(done) < len(job_ids):
        note = await client.notifications.receive()
        if note["method"] == "event" and note["params"]["state"] == "done":
            done[note["params"]["id"]] += 1


def succeeded(log: Path) -> int:
    return log.read_text().count("[MEDIA][PREWARM][OK]")


def host_config(store: ObjectStore, folder: Path, listen: str, tables: dict[str, Any], url: str) -> Path:
    folder.mkdir()
    serve = {"listen": listen, "http": listen}
    return write_config(folder, store, tables, serve=serve, store_url=url, lease_s=2, workers=WORKERS)


@pytest.mark.parametrize(("fate", "job_count"), [(signal.SIGKILL, 1_000), (signal.SIGSTOP, 400)])
async def test_two_hosts_share_the_work_and_the_fate_of_one_loses_and_doubles_nothing(
    object_store: ObjectStore, postgres_server: PostgresServer, tmp_path: Path, fate: signal.Signals, job_count: int
) -> None:
    """One host dies, or is suspended until the other has done its work too, and then wakes."""
    objects = {f"hosts/{n}.bin": random.Random(n).randbytes(2_000) for n in range(job_count // len(KINDS))}
    await put(object_store, objects)
    url = postgres_server.new_schema()
    folders = [tmp_path / "one", tmp_path / "two"]
    async with running_emulator(latency_s=0.05) as emulator:
        tables = {"mybot": telegram_table(emulator)}
        hosts = [(folder, f"127.0.0.{number}:0") for number, folder in enumerate(folders, 1)]
        configs = [host_config(object_store, folder, listen, tables, url) for folder, listen in hosts]
        logs = [folder / "log" for folder in folders]
        async with serving(configs[0], logs[0]) as one, serving(configs[1], logs[1]) as two:
            async with connect(two.websocket, None) as client:
                jobs = [{"destination": "mybot", "kind": kind, "r2_key": key} for key in objects for kind in KINDS]
                reply = await client.call("push", {"jobs": jobs, "watch": True})
                job_ids = {item["id"] for item in reply["accepted"]}
                assert len(job_ids) == job_count
                with trio.fail_after(LONG_S):
                    while len(emulator.deliveries) < job_count // 2 or not all(map(succeeded, logs)):
                        await trio.sleep(0.01)
                one.process.send_signal(fate)
                done: Counter[str] = Counter()
                with trio.fail_after(LONG_S):
                    await follow_to_the_end(client, job_ids, done)
            if fate is signal.SIGSTOP:
                one.process.send_signal(signal.SIGCONT)
                one.process.terminate()
                assert await one.ended() == 0
            two.process.terminate()
            assert await two.ended() == 0
        assert len(emulator.deliveries) <= job_count + WORKERS  # what it had in hand may be sent
    assert set(done.values()) == {1}
    with closing(psycopg.connect(url)) as database:
        warm = database.execute(
            "SELECT count(*), count(DISTINCT (kind, r2_key)) FROM media_cache WHERE status = 'ready'"
        ).fetchone()
        ended = database.execute("SELECT count(*) FROM events WHERE state = 'done'").fetchone()
    assert (warm, ended) == ((job_count, job_count), (job_count,))


async def test_a_database_that_restarts_turns_the_service_red_and_then_green_and_no_job_is_lost(
    object_store: ObjectStore, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    keys = [f"restart/{n}.bin" for n in range(20)]
    await put(object_store, {key: key.encode() * 100 for key in keys})
    url = postgres_server.new_schema()
    async with running_emulator(latency_s=0.2) as emulator, httpx.AsyncClient(timeout=DEADLINE_S) as http:
        config = write_config(tmp_path, object_store, {"mybot": telegram_table(emulator)}, store_url=url, lease_s=2)
        log = tmp_path / "log"
        async with serving(config, log) as service:
            jobs = [{"destination": "mybot", "kind": "document", "r2_key": key} for key in keys]
            pushed = await http.post(f"{service.http}v1/jobs", json={"jobs": jobs})
            assert len(pushed.json()["accepted"]) == len(keys)
            with trio.fail_after(DEADLINE_S):
                while len(emulator.deliveries) < 3:
                    await trio.sleep(0.01)
                postgres_server.stop()
                try:
                    assert (await http.get(f"{service.http}readyz")).status_code == 503
                    refused = await http.post(f"{service.http}v1/jobs", json={"jobs": jobs[:1]})
                    assert refused.status_code == 503
                finally:
                    postgres_server.start()
                while (await http.get(f"{service.http}readyz")).status_code != 200:
                    await trio.sleep(0.05)
                while (await http.get(f"{service.http}v1/stats")).json()["queue"]["done"] < len(keys):
                    await trio.sleep(0.05)
            service.process.terminate()
            assert await service.ended() == 0
    with closing(psycopg.connect(url)) as database:
        assert database.execute("SELECT count(*) FROM events WHERE state = 'done'").fetchone() == (len(keys),)
    assert "Traceback" not in log.read_text()
    assert all(json.loads(line) for line in log.read_text().splitlines())
