"""`streamwarm serve` as a process that does not outlive us."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import trio

from streamwarm.sandbox import tether

START_S = 60.0
STOP_S = 45.0
"""Longer than the service takes to drain by default."""

LOG_TAIL_BYTES = 2_000
PROGRAM = ("-m", "streamwarm")


class StartError(Exception):
    """A part did not start, or ended by itself; the message says which, and the end of what it said."""


class ServiceEnded(StartError):
    """The service ended by itself after it had started."""


def write_config(path: Path, tables: Mapping[str, Mapping[str, Any]]) -> Path:
    """A settings file that only we can read: it holds secrets."""
    path.touch(mode=0o600)
    path.write_text(
        "\n".join(
            f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
            for name, table in tables.items()
        )
    )
    return path


async def run_service(
    config: Path,
    ready: Path,
    flags: Sequence[str],
    program: Sequence[str] = PROGRAM,
    *,
    task_status: trio.TaskStatus[dict[str, Any]],
) -> None:
    """`streamwarm serve` until cancelled; hands back what it writes into `ready`, the ready file of its settings.

    Its log is beside the settings. Raises `StartError` where it does not start, `ServiceEnded` where it ends by itself.
    """
    command = [sys.executable, *program, "serve", "--config", str(config), *flags]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMWARM_")}
    log_path = config.with_name("service.log")
    with log_path.open("wb") as log:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-I", tether.__file__, str(STOP_S), *command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment,
            # Ctrl-C in a terminal reaches us alone; the service is stopped in its turn.
            start_new_session=True,
        )
    try:
        await _until_ready(process, ready, log_path)
        task_status.started(json.loads(ready.read_text()))
        await process.wait()
        raise ServiceEnded(f"the service ended in mid-run; the end of its log:\n{_tail(log_path)}")
    finally:
        await stop(process)


async def _until_ready(process: trio.Process, ready: Path, log_path: Path) -> None:
    with trio.move_on_after(START_S):
        while not ready.exists():
            if process.poll() is not None:
                raise StartError(f"the service did not start; the end of its log:\n{_tail(log_path)}")
            await trio.sleep(0.05)
        return
    raise StartError(f"the service was not ready within {START_S:g} s; the end of its log:\n{_tail(log_path)}")


def _tail(log_path: Path) -> str:
    return log_path.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace").strip()


async def stop(process: trio.Process) -> None:
    """Close its standard input, which ends it; kill it if that takes too long."""
    with trio.CancelScope(shield=True, deadline=trio.current_time() + STOP_S):
        if process.stdin is not None:
            await process.stdin.aclose()
        await process.wait()
    if process.poll() is None:
        process.kill()
