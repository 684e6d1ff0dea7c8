"""The workers that are compared: each takes a workload's jobs and tells when each has ended.

Ours is the whole service: jobs over the websocket, into SQLite on disk, acknowledged after the sync, verified,
recorded, told of. The others are programs that read jobs from standard input and forget them if they die.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import define, field, frozen
from load.processes import usage
from load.service import run_service, write_config

from peers.far_sides import FarSides
from peers.workloads import Job, Workload
from streamwarm.cli.client import Client, connect
from streamwarm.cli.follow import ENDED

HERE = Path(__file__).parent
BATCH_JOBS = 500
READY_S = 60.0
LOOK_EVERY_S = 0.1


class WorkerFailed(Exception):
    """A worker did not do all of its work; the message says what it said."""


@define(eq=False)
class Ends:
    """When each job ended, from the first push. `all_in` once there are as many as jobs."""

    jobs: Sequence[Job]
    started_at: float = field(factory=trio.current_time)
    at_s: dict[int, float] = field(factory=dict)
    failed: list[str] = field(factory=list)
    all_in: trio.Event = field(factory=trio.Event)

    def ended(self, number: int, trouble: str = "") -> None:
        self.at_s[number] = trio.current_time() - self.started_at
        if trouble:
            self.failed.append(trouble)
        if len(self.at_s) == len(self.jobs):
            self.all_in.set()

    async def wait_for(self, job: Job) -> None:
        """Until the job is due."""
        await trio.sleep_until(self.started_at + job.at_s)


@frozen
class Cost:
    """What a worker took for its jobs, and on how many cores at once it can run."""

    cpu_s: float
    peak_rss_bytes: int
    cores: int = 1


@define
class Memory:
    """The most that a worker's processes took together: each by its own peak, as the kernel counts it (VmHWM).

    `ru_maxrss` would not do: it remembers the memory of whoever started the process.
    """

    peak_bytes: int = 0

    def look(self, pid: int) -> None:
        taken = usage(pid)
        self.peak_bytes = max(self.peak_bytes, taken.peak_bytes if taken else 0)

    async def watch(self, pid: int) -> None:
        while True:
            self.look(pid)
            await trio.sleep(LOOK_EVERY_S)


@asynccontextmanager
async def _memory_of(pid: int) -> AsyncIterator[Memory]:
    memory = Memory()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(memory.watch, pid)
        yield memory
        memory.look(pid)
        nursery.cancel_scope.cancel()


RunWorker = Callable[[Workload, FarSides], Any]


async def run_ours(workload: Workload, far: FarSides, *, processes: int = 1) -> tuple[Ends, Cost]:
    """`streamwarm serve`, fresh, with the settings that its users have. Raises `WorkerFailed`, `StartError`."""
    with tempfile.TemporaryDirectory(prefix="streamwarm-bench-") as text:
        folder = Path(text)
        config = write_config(folder / "streamwarm.toml", _settings(folder, far))
        async with trio.open_nursery() as nursery:
            ready = await nursery.start(run_service, config, folder / "ready.json", ["--processes", str(processes)])
            before = usage(ready["pid"])
            async with _memory_of(ready["pid"]) as memory, connect(ready["websocket"], None) as client:
                ends = Ends(workload.jobs)
                await _push_and_follow(client, ends)
            after = usage(ready["pid"])
            nursery.cancel_scope.cancel()
    if before is None or after is None:
        raise WorkerFailed("the service ended before it was measured")
    return ends, Cost(after.cpu_s - before.cpu_s, memory.peak_bytes, processes)


async def _push_and_follow(client: Client, ends: Ends) -> None:
    numbers: dict[str, int] = {}
    early: dict[str, dict[str, Any]] = {}

    def settle(event: dict[str, Any]) -> None:
        error = event.get("error")
        ends.ended(numbers[event["id"]], "" if event["state"] == "done" else f"{event['state']}: {error}")

    async def listen() -> None:
        async for note in client.notifications:
            event = note["params"]
            if note["method"] == "event" and event["state"] in ENDED:
                if event["id"] in numbers:
                    settle(event)
                else:
                    early[event["id"]] = event

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        async for batch in _batches(ends):
            pushed = [{"destination": "bench", "kind": j.kind, "r2_key": j.key, "bytes": j.bytes} for j in batch]
            reply = await client.call("push", {"jobs": pushed, "watch": True})
            for taken in reply["accepted"]:
                numbers[taken["id"]] = batch[taken["index"]].number
                if taken["id"] in early:
                    settle(early.pop(taken["id"]))
            for refused in reply["rejected"]:
                ends.ended(batch[refused["index"]].number, f"rejected: {refused}")
        await ends.all_in.wait()
        nursery.cancel_scope.cancel()


async def _batches(ends: Ends) -> Any:
    """What is due at one time goes into one push."""
    batch: list[Job] = []
    for job in ends.jobs:
        if batch and (job.at_s != batch[0].at_s or len(batch) == BATCH_JOBS):
            await ends.wait_for(batch[0])
            yield batch
            batch = []
        batch.append(job)
    await ends.wait_for(batch[0])
    yield batch


def _settings(folder: Path, far: FarSides) -> dict[str, dict[str, Any]]:
    job = far.as_job()
    return {
        "serve": {"listen": "127.0.0.1:0", "http": "127.0.0.1:0", "ready_file": str(folder / "ready.json")},
        "store": {"url": f"sqlite:///{folder / 'streamwarm.db'}"},
        "r2": {"endpoint_url": job["source"], **{n: job[n] for n in ("bucket", "access_key_id", "secret_access_key")}},
        "pool": {"ca_file": job["ca_file"]} if job["ca_file"] else {},
        "destinations.bench": {
            "type": "telegram",
            "token": job["token"],
            "chats": [job["chat"]],
            "base_url": job["sink"],
            "local_server": True,
            "rates": "none",  # nobody else keeps any
        },
    }


async def run_program(
    workload: Workload, far: FarSides, *, command: Sequence[str], cores: int = 1, **more: Any
) -> tuple[Ends, Cost]:
    """A program that reads jobs as JSON lines and writes a line when each has ended. Raises `WorkerFailed`."""
    process = await trio.lowlevel.open_process(
        [*command, json.dumps({**far.as_job(), **more})], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        lines = _Lines(process.stdout)
        with trio.fail_after(READY_S):
            await lines.next()
        ends = Ends(workload.jobs)
        async with _memory_of(process.pid) as memory, trio.open_nursery() as nursery:
            nursery.start_soon(_feed, process.stdin, ends)
            while "end" not in (said := await lines.next()):
                ends.ended(said["number"], "" if said["ok"] else said["error"])
        await process.wait()
        return ends, Cost(said["cpu_s"], memory.peak_bytes, cores)
    finally:
        if process.poll() is None:
            process.kill()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 10):
            await process.wait()


async def _feed(stdin: trio.abc.SendStream, ends: Ends) -> None:
    async with stdin:
        for job in ends.jobs:
            await ends.wait_for(job)
            await stdin.send_all(json.dumps(job.as_line()).encode() + b"\n")


@define(eq=False)
class _Lines:
    stream: trio.abc.ReceiveStream
    buffered: bytes = b""

    async def next(self) -> dict[str, Any]:
        while b"\n" not in self.buffered:
            piece = await self.stream.receive_some()
            if not piece:
                raise WorkerFailed("a worker ended before its work did; what it said of that is above")
            self.buffered += piece
        line, _, self.buffered = self.buffered.partition(b"\n")
        return dict(json.loads(line))


def python_program(name: str) -> list[str]:
    return [sys.executable, str(HERE / name)]
