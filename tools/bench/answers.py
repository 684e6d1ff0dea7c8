"""How much memory answers take that nobody reads, and how late a probe is meanwhile: batches of lists, unread pages.

    uv run python tools/bench/answers.py [--jobs 5000] [--caption 0] [--folder FOLDER]

`streamwarm serve` is a process of its own with SQLite on disk and a backlog of jobs. Clients come in waves: six that
send a batch of 50 × `list` with `limit` 500 and read the answers, six that read nothing, twenty that read nothing, and
100 unread HTTP pages. Prints, for each wave, the highest resident memory over the base, what is left of it 5 s after
the wave, and the longest wait for `/healthz`. Exits 1 if a wave of six costs 150 MB or more.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import trio
from attrs import frozen
from lookup import serving

MOST_MB = 150
BATCH = json.dumps([{"jsonrpc": "2.0", "id": n, "method": "list", "params": {"limit": 500}} for n in range(50)])
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@frozen
class Wave:
    name: str
    peak_mb: float
    left_mb: float
    latest_ms: float


def resident_mb(pid: int) -> float:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


async def fill(http: str, jobs: int, caption: int) -> None:
    async with httpx.AsyncClient(base_url=http, trust_env=False, timeout=60) as client:
        (await client.post("/v1/pause")).raise_for_status()
        options = {"caption": "x" * caption} if caption else {}
        size = 1 + 900_000 // (caption + 400)
        for start in range(0, jobs, size):
            one = {"destination": "mybot", "kind": "video", "options": options}
            pushed = [
                {**one, "r2_key": f"media/library/season/object-{n}.mp4"} for n in range(start, min(jobs, start + size))
            ]
            (await client.post("/v1/jobs", json={"jobs": pushed})).raise_for_status()


def frame(text: str) -> bytes:
    return b"\x81\xfe" + len(text).to_bytes(2, "big") + bytes(4) + text.encode()


async def ask(url: str, request: bytes, seconds: float, *, reads: bool) -> int:
    """Send a request, and read its answer or nothing for so long. Returns the bytes read."""
    received = 0
    host, port = urlsplit(url).hostname, urlsplit(url).port
    assert host is not None
    assert port is not None
    async with await trio.open_tcp_stream(host, port) as stream:
        if url.startswith("ws"):
            await stream.send_all(HANDSHAKE)
            await stream.receive_some(1000)
        with trio.move_on_after(seconds), suppress(trio.BrokenResourceError):
            await stream.send_all(request)
            if not reads:
                await trio.sleep(seconds)
            async for piece in stream:
                received += len(piece)
    return received


async def wave(name: str, pid: int, http: str, base: float, clients: Callable[[trio.Nursery], Awaitable[None]]) -> Wave:
    peak, latest = 0.0, 0.0
    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            nonlocal peak
            while True:
                peak = max(peak, resident_mb(pid) - base)
                await trio.sleep(0.02)

        async def probe() -> None:
            nonlocal latest
            async with httpx.AsyncClient(base_url=http, trust_env=False, timeout=60) as client:
                while True:
                    start = time.perf_counter()
                    (await client.get("/healthz")).raise_for_status()
                    latest = max(latest, time.perf_counter() - start)
                    await trio.sleep(0.05)

        nursery.start_soon(watch)
        nursery.start_soon(probe)
        async with trio.open_nursery() as asking:
            await clients(asking)
        nursery.cancel_scope.cancel()
    await trio.sleep(5)
    return Wave(name, peak, resident_mb(pid) - base, latest * 1000)


async def main(folder: Path, jobs: int, caption: int) -> list[Wave]:
    batch, page = frame(BATCH), b"GET /v1/jobs?limit=500 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 4
    async with serving(folder) as ready:
        pid, http, websocket = int(ready["pid"]), str(ready["http"]), str(ready["websocket"])
        await fill(http, jobs, caption)
        await trio.sleep(2)
        base = resident_mb(pid)
        print(f"{jobs} jobs, base {base:.0f} MB")
        waves = []
        for name, count, url, request, reads in (
            ("6 batches, read", 6, websocket, batch, True),
            ("6 batches, unread", 6, websocket, batch, False),
            ("20 batches, unread", 20, websocket, batch, False),
            ("100 HTTP pages, unread", 100, http, page, False),
        ):

            async def clients(
                nursery: trio.Nursery,
                count: int = count,
                url: str = url,
                request: bytes = request,
                reads: bool = reads,
            ) -> None:
                async def one() -> None:
                    if (received := await ask(url, request, 20 if reads else 8, reads=reads)) and reads:
                        print(f"a client read {received / 1e6:.0f} MB")

                for _ in range(count):
                    nursery.start_soon(one)

            waves.append(done := await wave(name, pid, http, base, clients))
            memory = f"peak +{done.peak_mb:4.0f} MB, left +{done.left_mb:4.0f} MB"
            print(f"{done.name:24} {memory}, healthz {done.latest_ms:5.0f} ms")
        return waves


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--caption", type=int, default=0, help="bytes of options in each job")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        measured = trio.run(main, options.folder or Path(temporary), options.jobs, options.caption)
    sys.exit(any(one.peak_mb >= MOST_MB for one in measured if one.name.startswith("6")))
