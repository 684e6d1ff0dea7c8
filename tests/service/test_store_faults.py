"""The whole service when its store or its process fails: a full disk, kills under load, a long sleep,
a backlog of a hundred thousand."""

from __future__ import annotations

import random
import re
import resource
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
import trio

from streamwarm.backlog.rescuer import RESCUE_EVERY_S
from streamwarm.backlog.sqlite.file import migrate
from streamwarm.cli.client import CallError, Client, connect
from streamwarm.sandbox.bot_api import Fault, FaultKind
from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.processes import ServeProcess, serving, write_config
from tests.worlds.service import DEADLINE_S, put, running_emulator, telegram_table

STORE_UNAVAILABLE = -32006


def documents(*keys: str, **more: Any) -> list[dict[str, Any]]:
    return [{"destination": "mybot", "kind": "document", "r2_key": key, **more} for key in keys]


def query(folder: Path, text: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "streamwarm.db")) as database:
        return database.execute(text).fetchall()


async def until(check: Callable[[], Any]) -> Any:
    """What another process does cannot be awaited, only looked at."""
    with trio.fail_after(DEADLINE_S):
        while not (found := check()):
            await trio.sleep(0.02)
    return found


async def ready_status(service: ServeProcess) -> int:
    return (await trio.to_thread.run_sync(httpx.get, urljoin(service.http, "/readyz"))).status_code


async def state_of(client: Client, job_id: str) -> str:
    return (await client.call("get", {"id": job_id}))["state"]


async def test_a_full_disk_is_told_and_never_acknowledged_and_work_resumes_by_itself(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {"full/a.bin": b"a" * 1000, "full/b.bin": b"b" * 1000})
    async with running_emulator() as emulator:
        config = write_config(tmp_path, object_store, {"mybot": telegram_table(emulator)})
        async with serving(config, tmp_path / "log") as service, connect(service.websocket, None) as client:
            pid, log_end = service.process.pid, (tmp_path / "streamwarm.db-wal").stat().st_size
            assert await ready_status(service) == 200
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (log_end, resource.RLIM_INFINITY))
            with pytest.raises(CallError) as refused:
                await client.call("push", {"jobs": documents("full/a.bin", "full/b.bin"), "watch": False})
            assert refused.value.code == STORE_UNAVAILABLE
            assert await ready_status(service) == 503
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            accepted = (await client.call("push", {"jobs": documents("full/a.bin"), "watch": False}))["accepted"]
            with trio.fail_after(DEADLINE_S):
                while await state_of(client, accepted[0]["id"]) != "done":
                    await trio.sleep(0.05)
            assert await ready_status(service) == 200
    assert query(tmp_path, "SELECT r2_key, attempt FROM jobs") == [("full/a.bin", 1)]


LIVES = 3


async def test_kills_under_load_lose_no_acknowledged_job_and_warm_nothing_twice(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    chance = random.Random(18)
    keys = [f"load/{number}.bin" for number in range(20 * LIVES)]
    await put(object_store, {key: key.encode() for key in keys})
    acknowledged: set[str] = set()
    async with running_emulator(latency_s=0.01) as emulator:
        table = telegram_table(emulator)
        config = write_config(tmp_path, object_store, {"mybot": table}, max_attempts=100)
        for life in range(LIVES):
            async with serving(config, tmp_path / "log") as service, connect(service.websocket, None) as client:
                for first in range(life * 20, life * 20 + 20, 4):
                    jobs = documents(*keys[first : first + 4], *chance.sample(keys[: first + 1], 1))
                    answer = await client.call("push", {"jobs": jobs, "watch": False})
                    acknowledged |= {accepted["id"] for accepted in answer["accepted"]}
                done = len(emulator.deliveries) + chance.randrange(6)
                await until(lambda done=done: len(emulator.deliveries) >= done)
                service.process.kill()
        async with serving(config, tmp_path / "log"):
            await until(lambda: query(tmp_path, "SELECT count(*) FROM jobs WHERE state <> 'done'") == [(0,)])
    assert acknowledged <= {job_id for (job_id,) in query(tmp_path, "SELECT id FROM jobs WHERE state = 'done'")}
    assert query(tmp_path, "SELECT count(*) FROM media_cache WHERE status = 'ready'") == [(len(keys),)]
    # A push that joins an attempt has the object compared afterwards, which sends nothing.
    sent = "SELECT count(*) FROM events WHERE state = 'done' AND json_extract(result, '$.source') <> 'unchanged'"
    assert query(tmp_path, sent) == [(len(keys),)]


async def test_a_service_that_was_suspended_past_its_leases_finishes_what_it_had(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {"sleeper.bin": b"s" * 1000})
    async with running_emulator() as emulator:
        # The answer is still awaited when the rescuer wakes too, and finds a lease that ran out.
        emulator.inject(Fault(FaultKind.SLOW_ANSWER, seconds=2 * RESCUE_EVERY_S))
        config = write_config(tmp_path, object_store, {"mybot": telegram_table(emulator)}, lease_s=1)
        async with serving(config, tmp_path / "log") as service, connect(service.websocket, None) as client:
            await client.call("push", {"jobs": documents("sleeper.bin"), "watch": False})
            await until(lambda: emulator.traffic.upload_bytes)
            service.process.send_signal(signal.SIGSTOP)
            lease = "SELECT lease_expires_at FROM jobs WHERE state = 'running'"
            await until(lambda: query(tmp_path, lease)[0][0] < time.time() - RESCUE_EVERY_S)
            service.process.send_signal(signal.SIGCONT)
            await until(lambda: query(tmp_path, "SELECT 1 FROM jobs WHERE state = 'done'"))
    assert len(emulator.deliveries) == 1
    assert query(tmp_path, "SELECT attempt FROM jobs") == [(1,)]


FULL, ROOM, PUSHED = 100_000, 25, 10_000
GROWTH_LIMIT_KIB = 48 * 1024
"""What a push of ten thousand may cost at its peak, as the kernel counts it; measured: 17 MiB."""

MULTIPLY = """
WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < ?)
INSERT INTO jobs (
    id, destination, kind, r2_key, options, media_reference, base_score, state, attempt, created_at, updated_at,
    queued_at, possible_duplicate
)
SELECT 'old-' || i, 'gone', 'document', 'old/' || i, '{}', 'key:old/' || i, 100, 'queued', 0, ?2, ?2, ?2, 0
FROM numbers
"""


async def test_a_push_of_ten_thousand_into_a_full_backlog_takes_what_fits_in_bounded_memory(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    path = str(tmp_path / "streamwarm.db")
    migrate(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute(MULTIPLY, (FULL - ROOM, time.time()))
        database.commit()
    async with running_emulator() as emulator:
        config = write_config(tmp_path, object_store, {"mybot": telegram_table(emulator)})
        async with serving(config, tmp_path / "log") as service, connect(service.websocket, None) as client:
            await client.call("pause", {})
            before = peak_kib(service)
            jobs = documents(*(f"{number}" for number in range(PUSHED)))
            answer = await client.call("push", {"jobs": jobs, "watch": False})
            assert len(answer["accepted"]) == ROOM
            assert {refused["code"] for refused in answer["rejected"]} == {"queue_full"}
            assert len(answer["rejected"]) == PUSHED - ROOM
            with pytest.raises(CallError, match="full") as full:
                await client.call("push", {"jobs": documents("one more"), "watch": False})
            assert full.value.data["retry_after_s"] > 0
            assert peak_kib(service) - before < GROWTH_LIMIT_KIB


def peak_kib(service: ServeProcess) -> int:
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])
