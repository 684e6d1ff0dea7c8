"""`streamwarm serve` as a process of its own, to be killed and started again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import define

from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.service import DEADLINE_S


def write_config(
    folder: Path,
    store: ObjectStore,
    destinations: Mapping[str, Mapping[str, Any]],
    *,
    serve: Mapping[str, Any] | None = None,
    store_url: str | None = None,
    **queue: Any,
) -> Path:
    """A `streamwarm.toml` in `folder`; the service's ready file and database are beside it."""
    tables: dict[str, Mapping[str, Any]] = {
        "serve": {
            "listen": "127.0.0.1:0",
            "http": "127.0.0.1:0",
            "ready_file": str(folder / "ready.json"),
            "drain_s": 20,
            **(serve or {}),
        },
        "store": {"url": store_url or f"sqlite:///{folder / 'streamwarm.db'}"},
        "queue": queue,
        "r2": {
            "endpoint_url": store.endpoint_url,
            "bucket": store.bucket,
            "access_key_id": store.access_key_id,
            "secret_access_key": store.secret_access_key,
        },
        **{f"destinations.{name}": table for name, table in destinations.items()},
    }
    path = folder / "streamwarm.toml"
    lines = [
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        for name, table in tables.items()
    ]
    path.write_text("\n".join(lines))
    return path


@define
class ServeProcess:
    process: trio.Process
    websocket: str
    http: str

    async def ended(self) -> int:
        with trio.fail_after(DEADLINE_S):
            return await self.process.wait()


@asynccontextmanager
async def serving(
    config: Path, log: Path, *flags: str, program: Sequence[str] = ("-m", "streamwarm")
) -> AsyncIterator[ServeProcess]:
    """`streamwarm serve --config … FLAGS` inside this block, killed at its end if it still runs; its log in `log`.

    `program`: what Python runs, if it is another version of the command line.
    """
    ready = config.parent / "ready.json"
    ready.unlink(missing_ok=True)
    environ = {key: value for key, value in os.environ.items() if not key.startswith("STREAMWARM_")}
    with log.open("ab") as stderr:
        process = await trio.lowlevel.open_process(
            [sys.executable, *program, "serve", "--config", str(config), *flags],
            stderr=stderr,
            stdout=subprocess.DEVNULL,
            env=environ,
        )
        try:
            with trio.fail_after(DEADLINE_S):
                while not ready.exists():
                    assert process.poll() is None, log.read_text()
                    await trio.sleep(0.02)
            where = json.loads(ready.read_text())
            yield ServeProcess(process, where["websocket"], where["http"])
        finally:
            if process.poll() is None:
                process.kill()
            await process.wait()


async def run_cli(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """`streamwarm …` to its end, with what it printed."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("STREAMWARM_")}
    with trio.fail_after(DEADLINE_S):
        return await trio.run_process(
            [sys.executable, "-m", "streamwarm", *arguments],
            stdin=stdin,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env=environ,
        )


def members_of(pid: int) -> list[int]:
    """The processes that any of its threads has started."""
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # One that has ended and that nobody has waited for yet still has its number.
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def metric(page: str, name: str) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(name))
