"""What is lost when the supervisor of several processes is killed: no upload that ended, no job of a living member."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import trio

from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.processes import is_alive, members_of, run_cli, serving, write_config
from tests.worlds.service import DEADLINE_S, put, running_emulator, telegram_table

JOBS = 6
ANSWER_S = 10.0


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def query(folder: Path, text: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "streamwarm.db")) as database:
        return database.execute(text).fetchall()


async def test_a_killed_supervisor_costs_no_upload_and_its_successor_takes_no_job_of_a_living_member(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    keys = [f"orphan/{n}.bin" for n in range(JOBS)]
    await put(object_store, {key: key.encode() for key in keys})
    async with running_emulator(latency_s=ANSWER_S) as emulator, httpx.AsyncClient(timeout=DEADLINE_S) as http:
        serve = {"processes": 2, "listen": free_address(), "http": free_address()}
        table = telegram_table(emulator)
        config = write_config(tmp_path, object_store, {"mybot": table}, serve=serve, workers=3, lease_s=5)
        async with serving(config, tmp_path / "log") as service:
            jobs = [{"destination": "mybot", "kind": "document", "r2_key": key} for key in keys]
            await http.post(f"{service.http}v1/jobs", json={"jobs": jobs})
            with trio.fail_after(DEADLINE_S):
                while query(tmp_path, "SELECT count(*) FROM jobs WHERE state = 'running'") != [(6,)]:
                    await trio.sleep(0.02)
            members = members_of(service.process.pid)
            service.process.kill()
            await service.process.wait()
        assert all(is_alive(member) for member in members)
        async with serving(config, tmp_path / "log"):
            with trio.fail_after(DEADLINE_S):
                while query(tmp_path, "SELECT count(*) FROM jobs WHERE state = 'done'") != [(JOBS,)]:
                    await trio.sleep(0.05)
        assert not any(is_alive(member) for member in members)
    assert set(Counter(delivery.sha256 for delivery in emulator.deliveries).values()) == {1}
    assert query(tmp_path, "SELECT DISTINCT attempt FROM jobs") == [(1,)]
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert "[LATE]" not in log


async def test_a_start_that_finds_its_port_in_use_leaves_every_job_as_it_is(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    async with running_emulator() as emulator:
        table = telegram_table(emulator)
        config = write_config(tmp_path, object_store, {"mybot": table})
        assert (await run_cli("migrate", "--store", f"sqlite:///{tmp_path}/streamwarm.db")).returncode == 0
        with closing(sqlite3.connect(tmp_path / "streamwarm.db")) as database:
            database.execute(
                "INSERT INTO jobs (id, destination, kind, r2_key, options, media_reference, base_score, state, attempt,"
                " created_at, updated_at, queued_at, possible_duplicate, lease_token, lease_expires_at)"
                " VALUES ('x', 'mybot', 'document', 'a', '{}', 'key:a', 100, 'running', 1, 0, 0, 0, 0, 't', 9e9)"
            )
            database.commit()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            serve = {"processes": 2, "http": f"127.0.0.1:{taken.getsockname()[1]}"}
            config = write_config(tmp_path, object_store, {"mybot": table}, serve=serve)
            assert (await run_cli("serve", "--config", str(config))).returncode == 2
        assert query(tmp_path, "SELECT state FROM jobs") == [("running",)]


async def test_members_without_a_supervisor_finish_their_transfers_and_end(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {f"left/{n}.bin": b"l" * 1000 for n in range(4)})
    async with running_emulator(latency_s=2.0) as emulator, httpx.AsyncClient(timeout=DEADLINE_S) as http:
        table = telegram_table(emulator)
        config = write_config(tmp_path, object_store, {"mybot": table}, serve={"processes": 2}, workers=2)
        async with serving(config, tmp_path / "log") as service:
            jobs = [{"destination": "mybot", "kind": "document", "r2_key": f"left/{n}.bin"} for n in range(4)]
            await http.post(f"{service.http}v1/jobs", json={"jobs": jobs})
            with trio.fail_after(DEADLINE_S):
                while query(tmp_path, "SELECT count(*) FROM jobs WHERE state = 'running'") != [(4,)]:
                    await trio.sleep(0.02)
            members = members_of(service.process.pid)
            os.kill(service.process.pid, signal.SIGKILL)
            await service.process.wait()
        with trio.fail_after(DEADLINE_S):
            while any(is_alive(member) for member in members):
                await trio.sleep(0.05)
    assert query(tmp_path, "SELECT DISTINCT state FROM jobs") == [("done",)]
    assert len(emulator.deliveries) == 4
