"""The service when its database is taken away: pushes are refused, and a new start has all that was acknowledged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from streamwarm.cli.client import CallError, connect
from streamwarm.sandbox.object_store import ObjectStore
from tests.service.test_store_faults import STORE_UNAVAILABLE, documents, query, ready_status
from tests.worlds.processes import serving, write_config
from tests.worlds.service import DEADLINE_S, running_emulator, telegram_table


@pytest.mark.parametrize(
    ("processes", "ends"), [(1, ["", "-wal", "-shm", ".lock"]), (1, ["-wal"]), (2, [""])], ids=["all", "log", "members"]
)
async def test_a_database_that_is_deleted_under_the_service_loses_no_acknowledged_job(
    ends: list[str], processes: int, object_store: ObjectStore, tmp_path: Path
) -> None:
    database, acknowledged = tmp_path / "streamwarm.db", set()
    async with running_emulator() as emulator:
        serve = {"processes": processes}
        config = write_config(tmp_path, object_store, {"mybot": telegram_table(emulator)}, serve=serve)
        async with serving(config, tmp_path / "log") as service, connect(service.websocket, None) as client:
            await client.call("pause", {})
            answer = await client.call("push", {"jobs": documents("a", "b", "c"), "watch": False})
            acknowledged |= {item["id"] for item in answer["accepted"]}
            for end in ends:
                os.unlink(f"{database}{end}")
            with pytest.raises(CallError, match="store is unavailable") as refused:
                await client.call("push", {"jobs": documents("d"), "watch": False})
            assert refused.value.code == STORE_UNAVAILABLE
            assert await ready_status(service) == 503
            if processes == 1:
                service.process.kill()
            else:
                service.process.terminate()
            await service.ended()
        log = (tmp_path / "log").read_text()
        assert "[STORE][TROUBLE]" in log
        assert "under the service" in log
        assert "start the service again" in log
        assert "Traceback" not in log
        async with serving(config, tmp_path / "log") as service, connect(service.websocket, None) as client:
            with trio.fail_after(DEADLINE_S):
                for job_id in acknowledged:
                    assert (await client.call("get", {"id": job_id}))["id"] == job_id
            await client.call("push", {"jobs": documents("d"), "watch": False})
            assert await ready_status(service) in {200, 503}  # paused by a person, which outlived it too
    assert query(tmp_path, "SELECT count(*) FROM jobs") == [(4,)]
