"""How long a bot waits for the answer to "is it warm?": look-ups on a store with a million warm records.

    uv run python tools/bench/lookup.py [--records 1000000] [--lookups 800] [--folder FOLDER]

`streamwarm serve` is a process of its own with SQLite on disk; one client asks one look-up after another over one
connection, by key and by digest, over HTTP and over the websocket, for records all over the table. Prints medians, 99th
percentiles, and the service's own CPU a look-up, which a busy machine does not change; exits 1 if a median is not under
the 2 ms of the target, or an answer is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trio
from attrs import define, frozen

from streamwarm.backlog.sqlite.file import connect as connect_file
from streamwarm.backlog.sqlite.file import migrate
from streamwarm.cli.client import connect

TARGET_MS = 2.0
CONFIG = """
[serve]
listen = "127.0.0.1:0"
http = "127.0.0.1:0"
ready_file = "{folder}/ready.json"
[store]
url = "sqlite:///{folder}/lookup.db"
[r2]
endpoint_url = "http://127.0.0.1:9"
bucket = "none"
access_key_id = "none"
secret_access_key = "nothing-here"
[destinations.mybot]
type = "telegram"
token = "1:nobody"
chats = [1]
base_url = "http://127.0.0.1:9"
"""
RECORDS = """
WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < ?)
INSERT INTO media_cache (
    destination, account, kind, r2_key, version, status, sha256, bytes, result, options, job_id, opened_at, updated_at
)
SELECT 'mybot', '1', 'video', 'media/library/object-' || i || '.mp4', 'sha256:' || printf('%064x', i), 'ready',
    printf('%064x', i), 1000000 + i,
    '{"file_id":"BAACAgIAAxkDAAIB' || i || '","kind":"video","message_id":' || i || '}', '{}',
    printf('%028x', i), 1700000000.0 + i, 1700000000.0 + i
FROM numbers
"""


def fill(path: Path, records: int) -> None:
    migrate(str(path))
    with closing(connect_file(str(path))) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(RECORDS, (records,))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[dict[str, Any]]:
    config, ready = folder / "streamwarm.toml", folder / "ready.json"
    config.write_text(CONFIG.format(folder=folder))
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "streamwarm", "serve", "--config", str(config)]
    process = await trio.lowlevel.open_process(command, stderr=subprocess.DEVNULL)
    try:
        with trio.fail_after(60):
            while not ready.exists():
                await trio.sleep(0.05)
        yield json.loads(ready.read_text())
    finally:
        process.terminate()
        await process.wait()


Ask = Callable[[int], Awaitable[Any]]


@frozen
class Taken:
    """Milliseconds of each look-up, and the service's CPU milliseconds a look-up."""

    each_ms: list[float]
    cpu_ms: float


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(ask: Ask, numbers: Iterator[int], lookups: int, pid: int) -> Taken:
    """Raises `SystemExit` for a wrong answer."""
    each_ms, cpu_before = [], cpu_s(pid)
    for _ in range(lookups):
        number = next(numbers)
        began = time.perf_counter()
        record = await ask(number)
        each_ms.append(1000 * (time.perf_counter() - began))
        if record["file_id"] != f"BAACAgIAAxkDAAIB{number}":
            sys.exit(f"wrong answer for object {number}: {record}")
    return Taken(each_ms, 1000 * (cpu_s(pid) - cpu_before) / lookups)


@define
class HttpClient:
    """As little as speaks HTTP: what is measured is the service."""

    stream: trio.SocketStream
    _buffer: bytes = b""

    async def get(self, path: str) -> Any:
        await self.stream.send_all(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        while b"\r\n\r\n" not in self._buffer:
            await self._read()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(self._buffer) < length:
            await self._read()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return json.loads(body)

    async def _read(self) -> None:
        piece = await self.stream.receive_some()
        if not piece:
            sys.exit("the service closed the connection")
        self._buffer += piece


async def run(folder: Path, records: int, lookups: int) -> dict[str, Taken]:
    chooser = random.Random(1)
    numbers = iter(lambda: chooser.randint(1, records), None)
    about = {"destination": "mybot", "kind": "video"}
    results: dict[str, Taken] = {}
    async with serving(folder) as where, connect(where["websocket"], None) as client:
        port = urlsplit(where["http"]).port
        assert port is not None
        http = HttpClient(await trio.open_tcp_stream("127.0.0.1", port))
        ways: dict[str, Ask] = {
            "HTTP, by key": lambda n: http.get(f"/v1/media/mybot/video/media/library/object-{n}.mp4"),
            "HTTP, by digest": lambda n: http.get(f"/v1/media/mybot/video/{n:064x}"),
            "websocket, by key": lambda n: client.call("find", {**about, "r2_key": f"media/library/object-{n}.mp4"}),
            "websocket, by digest": lambda n: client.call("find", {**about, "sha256": f"{n:064x}"}),
        }
        for name, ask in ways.items():
            with trio.fail_after(60):
                await measure(ask, numbers, lookups // 10, where["pid"])  # the first calls fill caches
                results[name] = await measure(ask, numbers, lookups, where["pid"])
        await http.stream.aclose()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--lookups", type=int, default=800)
    parser.add_argument("--folder", type=Path, help="where the store is made (default: a temporary one)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="streamwarm-lookup-", dir=given.folder) as name:
        folder = Path(name)
        began = time.perf_counter()
        fill(folder / "lookup.db", given.records)
        size_mb = (folder / "lookup.db").stat().st_size / 1e6
        print(f"{given.records} records, {size_mb:.0f} MB, made in {time.perf_counter() - began:.0f} s")
        print(f"Python {platform.python_version()}, {platform.machine()}\n")
        results = trio.run(run, folder, given.records, given.lookups)
    print("| way | median ms | p99 ms | CPU-ms of the service |\n|---|---:|---:|---:|")
    for way, taken in results.items():
        median, p99 = statistics.median(taken.each_ms), statistics.quantiles(taken.each_ms, n=100)[-1]
        print(f"| {way} | {median:.2f} | {p99:.2f} | {taken.cpu_ms:.2f} |")
    if any(statistics.median(taken.each_ms) >= TARGET_MS for taken in results.values()):
        sys.exit(f"a median is not under {TARGET_MS:g} ms")


if __name__ == "__main__":
    main()
