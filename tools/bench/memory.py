"""How much memory `streamwarm serve` takes with five objects in flight, and that their size does not matter.

    uv run --extra sandbox python tools/bench/memory.py [--objects 5] [--bytes 10485760 --bytes 1073741824]

Real parts: SeaweedFS in R2's place, the Bot API emulator and `streamwarm serve`, each a process of its own, SQLite on
disk. What is measured is the service's peak resident memory as the kernel counts it (VmHWM), one fresh service a size.
Prints a table; exits 1 unless every job ended done with the right digest.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import trio
from attrs import frozen

from streamwarm.cli.client import connect
from streamwarm.cli.display import open_display
from streamwarm.cli.follow import Following
from streamwarm.cli.push import follow_to_end, push_batch
from streamwarm.net.pool import open_client
from streamwarm.s3.sigv4 import SigningKeys
from streamwarm.sandbox.fill import put_object
from streamwarm.sandbox.object_store import ObjectStore, ObjectStoreSettings, serve_object_store

TOKEN, CHAT = "4242:memory-bench", -1001
BLOCK_BYTES = 1 << 20
MEBIBYTE = 1 << 20


@frozen
class Run:
    """One service's figures for objects of one size."""

    size_bytes: int
    objects: int
    seconds: float
    idle_rss_bytes: int
    peak_rss_bytes: int
    cpu_s: float
    wrong: int


def content(number: int, size_bytes: int) -> Iterator[bytes]:
    """Random bytes, different in every block and object, cheap to make."""
    block = bytearray(os.urandom(BLOCK_BYTES))
    for index in range(0, size_bytes, BLOCK_BYTES):
        block[:16] = number.to_bytes(8, "big") + index.to_bytes(8, "big")
        yield bytes(block[: min(BLOCK_BYTES, size_bytes - index)])


async def fill(store: ObjectStore, prefix: str, count: int, size_bytes: int) -> dict[str, str]:
    """Put `count` objects; their SHA-256 by key."""
    digests: dict[str, str] = {}
    keys = SigningKeys()
    async with open_client() as client:
        for number in range(count):
            digest = hashlib.sha256()

            async def stream(number: int = number, digest: hashlib._Hash = digest) -> AsyncIterator[bytes]:
                for piece in content(number, size_bytes):
                    digest.update(piece)
                    yield piece

            key = f"{prefix}/{number}.bin"
            await put_object(
                client,
                store.as_bucket(),
                key,
                stream(),
                length_bytes=size_bytes,
                content_type="application/octet-stream",
                signing_keys=keys,
                now=time.time,
            )
            digests[key] = digest.hexdigest()
    return digests


@asynccontextmanager
async def process(*command: str, **kwargs: object) -> AsyncIterator[trio.Process]:
    started = await trio.lowlevel.open_process([sys.executable, "-m", *command], **kwargs)  # type: ignore[arg-type]
    try:
        yield started
    finally:
        started.terminate()
        with trio.move_on_after(40):
            await started.wait()
        if started.poll() is None:
            started.kill()
            await started.wait()


@asynccontextmanager
async def emulator() -> AsyncIterator[str]:
    """The emulator's base URL."""
    arguments = ("streamwarm.sandbox.bot_api", "--token", TOKEN, "--chat", str(CHAT), "--local-server")
    async with process(*arguments, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        yield json.loads(await running.stdout.receive_some())["base_url"]


@asynccontextmanager
async def service(folder: Path, store: ObjectStore, base_url: str) -> AsyncIterator[tuple[int, str]]:
    """The service's pid and websocket."""
    folder.mkdir()
    ready = folder / "ready.json"
    config = folder / "streamwarm.toml"
    config.write_text(
        f'[serve]\nlisten = "127.0.0.1:0"\nhttp = "127.0.0.1:0"\nready_file = "{ready}"\n'
        f'[store]\nurl = "sqlite:///{folder}/streamwarm.db"\n'
        f'[r2]\nendpoint_url = "{store.endpoint_url}"\nbucket = "{store.bucket}"\n'
        f'access_key_id = "{store.access_key_id}"\nsecret_access_key = "{store.secret_access_key}"\n'
        f'[destinations.mybot]\ntype = "telegram"\ntoken = "{TOKEN}"\nchats = [{CHAT}]\n'
        f'base_url = "{base_url}"\nlocal_server = true\nrates = "none"\n'
    )
    with (folder / "log").open("wb") as log:
        async with process("streamwarm", "serve", "--config", str(config), stderr=log) as running:
            with trio.fail_after(60):
                while not ready.exists():
                    await trio.sleep(0.05)
            yield running.pid, json.loads(ready.read_text())["websocket"]


def resident_bytes(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(folder: Path, store: ObjectStore, base_url: str, count: int, size_bytes: int) -> Run:
    digests = await fill(store, f"size-{size_bytes}", count, size_bytes)
    async with service(folder / str(size_bytes), store, base_url) as (pid, websocket):
        idle, cpu, started_at = resident_bytes(pid, "VmHWM"), cpu_seconds(pid), time.monotonic()
        jobs = [
            {"destination": "mybot", "kind": "document", "r2_key": key, "sha256": digest}
            for key, digest in digests.items()
        ]
        with open_display(as_json=False) as display:
            following = Following(display)
            async with connect(websocket, None) as client, follow_to_end(client, following):
                await push_batch(client, jobs, following, watch=True)
        return Run(
            size_bytes,
            count,
            time.monotonic() - started_at,
            idle,
            resident_bytes(pid, "VmHWM"),
            cpu_seconds(pid) - cpu,
            following.failed,
        )


async def main(count: int, sizes: list[int]) -> list[Run]:
    with tempfile.TemporaryDirectory(prefix="streamwarm-memory-") as folder:
        async with trio.open_nursery() as nursery:
            store = await nursery.start(serve_object_store, ObjectStoreSettings("bench-key", "bench-secret"))
            async with emulator() as base_url:
                runs = [await measure(Path(folder), store, base_url, count, size) for size in sizes]
            nursery.cancel_scope.cancel()
    return runs


def report(runs: list[Run]) -> None:
    cores = os.cpu_count()
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {cores} cores, Python {platform.python_version()}")
    print("| objects | each | idle | peak resident | MB/s | CPU-s per GB |")
    print("|---:|---:|---:|---:|---:|---:|")
    for run in runs:
        total = run.objects * run.size_bytes
        print(
            f"| {run.objects} | {run.size_bytes / MEBIBYTE:.0f} MiB | {run.idle_rss_bytes / MEBIBYTE:.0f} MiB "
            f"| {run.peak_rss_bytes / MEBIBYTE:.0f} MiB | {total / 1e6 / run.seconds:.0f} "
            f"| {run.cpu_s / (total / 1e9):.2f} |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--objects", type=int, default=5)
    parser.add_argument("--bytes", type=int, action="append", help="size of each; may be given more than once")
    options = parser.parse_args()
    results = trio.run(main, options.objects, options.bytes or [10 * MEBIBYTE, 1024 * MEBIBYTE])
    report(results)
    sys.exit(1 if any(run.wrong for run in results) else 0)
