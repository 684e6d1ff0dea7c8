"""Who pushes and sees nothing move loses an hour to a pause that somebody else ordered, unless the command says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.operator import operating
from tests.worlds.service import DEADLINE_S, put


@pytest.mark.parametrize("destination", [{}, {"destination": "mybot"}], ids=["the service", "the bot"])
async def test_a_push_says_that_a_person_has_paused_what_it_waits_for_and_when_it_goes_on(
    destination: dict[str, str], object_store: ObjectStore, tmp_path: Path, way: str
) -> None:
    await put(object_store, {"push-paused/a.bin": b"a" * 1000})
    async with operating(object_store, tmp_path, way) as op:
        await op.world.client.call("pause", destination)
        command = [sys.executable, "-m", "streamwarm", "push", "--json", "push-paused/a.bin", *op.reach]
        environment = {"PATH": os.environ["PATH"], "NO_COLOR": "1"}
        push = await trio.lowlevel.open_process(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=tmp_path
        )
        assert push.stdout is not None
        assert push.stderr is not None
        with trio.fail_after(DEADLINE_S):
            said = (await push.stderr.receive_some()).decode()
            what = destination.get("destination", "the whole service")
            assert said.startswith(f"streamwarm: waiting: {what} is paused (paused by a user): it goes on at `")
            await op.world.client.call("resume", destination)
            rest = b"".join([part async for part in push.stderr]).decode()
            out = b"".join([part async for part in push.stdout]).decode()
            assert await push.wait() == 0
        assert rest == f"streamwarm: {what} is not paused any more\n"
        assert out.count("\n") == 1
        assert '"state": "done"' in out
