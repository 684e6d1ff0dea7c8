"""What a library costs that is pushed again though nothing changed: 10,000 warm keys, a bucket 50 ms away.

    uv run python tools/bench/repushed.py [--jobs N] [--latency-ms MS] [--watch]

The service is a real process on SQLite. The bucket is another one, which answers each HEAD after the latency, on
connections that are kept open. The destination is a port where nothing listens, so a message would fail its job. The
records are imported before the start and were never compared.

Prints figures as JSON. `cpu_ms_each` is the service's own processor time from the first push to the last job's end,
per job. Exits 1 unless every job is done as `unchanged`, with one request per key and no attempt.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import trio

sys.path.insert(0, str(Path(__file__).parents[1]))

from load.service import run_service, write_config

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.sqlite.store import open_sqlite_store
from streamwarm.cli.client import connect
from streamwarm.model import Kind
from streamwarm.warm_record import WarmRecord

PUSH = 1_000
"""Jobs in one push."""

WITHIN_S = 300.0


async def serve_bucket(latency_s: float) -> None:
    """A bucket that has every object, in the version `etag-1`. Prints its port; counts requests on standard output at
    the end of standard input."""
    counts: Counter[str] = Counter()
    answer = b'HTTP/1.1 200 OK\r\netag: "etag-1"\r\ncontent-length: 1000\r\ncontent-type: video/mp4\r\n\r\n'

    async def serve(stream: trio.SocketStream) -> None:
        received = b""
        try:
            while data := await stream.receive_some():
                received += data
                while b"\r\n\r\n" in received:
                    request, _, received = received.partition(b"\r\n\r\n")
                    counts[request.partition(b" ")[0].decode()] += 1
                    await trio.sleep(latency_s)
                    await stream.send_all(answer)
        except trio.BrokenResourceError:
            return

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        print(listener.socket.getsockname()[1], flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        print(json.dumps(counts), flush=True)
        nursery.cancel_scope.cancel()


def keys_of(jobs: int) -> list[str]:
    return [f"library/2026/{number:06}/intro.mp4" for number in range(jobs)]


async def fill(path: Path, keys: list[str]) -> None:
    """Import a record for each key."""
    ids = itertools.count()
    names: dict[str, Any] = {"new_id": lambda: f"id-{next(ids)}", "new_token": lambda: f"t-{next(ids)}"}
    accounts = {"bot": "4242"}
    async with open_sqlite_store(
        str(path), now=time.time, run_sync=trio.to_thread.run_sync, limits=StoreBounds(), accounts=accounts, **names
    ) as store:
        at = time.time() - 3600
        for start in range(0, len(keys), PUSH):
            records = [
                WarmRecord(
                    destination="bot",
                    kind=Kind.VIDEO,
                    r2_key=key,
                    sha256=f"{hash(key) & 0xFFFFFFFFFFFF:064x}",
                    bytes=1000,
                    result={"file_id": f"file-{key}", "kind": "video", "source": "stream"},
                    job_id=f"made-{key}",
                    warmed_at=at,
                    account="4242",
                    source_etag="etag-1",
                    opened_at=at,
                )
                for key in keys[start : start + PUSH]
            ]
            refused = await store.import_records(records)
            assert not any(refused), refused


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(folder: Path, options: argparse.Namespace, bucket_port: int) -> dict[str, Any]:
    keys = keys_of(options.jobs)
    await fill(folder / "streamwarm.db", keys)
    tables = {
        "serve": {"listen": "127.0.0.1:0", "http": "127.0.0.1:0", "ready_file": str(folder / "ready.json")},
        "store": {"url": f"sqlite:///{folder / 'streamwarm.db'}"},
        "r2": {
            "endpoint_url": f"http://127.0.0.1:{bucket_port}",
            "bucket": "media",
            "access_key_id": "key",
            "secret_access_key": "secret",
        },
        "log": {"level": "warning"},
        "destinations.bot": {
            "type": "telegram",
            "token": "4242:AA-bench",
            "chats": [-1001],
            "base_url": "http://127.0.0.1:9",
        },
    }
    config = write_config(folder / "streamwarm.toml", tables)
    async with trio.open_nursery() as nursery:
        ready = await nursery.start(run_service, config, folder / "ready.json", [])
        async with connect(ready["websocket"], None) as client:
            cpu_before, began = cpu_s(ready["pid"]), time.perf_counter()
            for start in range(0, len(keys), PUSH):
                jobs = [{"destination": "bot", "kind": "video", "r2_key": key} for key in keys[start : start + PUSH]]
                reply = await client.call("push", {"jobs": jobs, "watch": options.watch})
                assert len(reply["accepted"]) == len(jobs), reply["rejected"][:3]
            pushed_s = time.perf_counter() - began
            with trio.fail_after(WITHIN_S):
                while (stats := await client.call("stats", {}))["queue"]["done"] < len(keys):
                    await trio.sleep(0.1)
            seconds, cpu = time.perf_counter() - began, cpu_s(ready["pid"]) - cpu_before
        nursery.cancel_scope.cancel()
    with closing(sqlite3.connect(folder / "streamwarm.db")) as database:
        sources = Counter(json.loads(row[0])["source"] for row in database.execute("SELECT result FROM jobs"))
        attempts = database.execute("SELECT coalesce(sum(tries), 0) FROM jobs").fetchone()[0]
    return {
        "seconds": round(seconds, 2),
        "pushed_s": round(pushed_s, 2),
        "cpu_ms_each": round(1000 * cpu / len(keys), 3),
        "sources": dict(sources),
        "attempts": attempts,
        "busy_peak": stats["workers"]["busy_peak"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--watch", action="store_true", help="follow the events of every job")
    parser.add_argument("--bucket", action="store_true", help="be the bucket")
    options = parser.parse_args()
    if options.bucket:
        trio.run(serve_bucket, options.latency_ms / 1000)
        return
    command = [sys.executable, __file__, "--bucket", "--latency-ms", str(options.latency_ms)]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as bucket,
        tempfile.TemporaryDirectory(prefix="streamwarm-repushed-") as folder,
    ):
        assert bucket.stdout is not None
        figures = trio.run(measure, Path(folder), options, int(bucket.stdout.readline()))
        out, _ = bucket.communicate()
    figures["requests"] = json.loads(out)
    print(json.dumps({"at": time.strftime("%Y-%m-%d %H:%M:%S"), "python": platform.python_version(), **figures}))
    held = figures["sources"] == {"unchanged": options.jobs} and not figures["attempts"] and not figures["busy_peak"]
    sys.exit(0 if held and figures["requests"] == {"HEAD": options.jobs} else 1)


if __name__ == "__main__":
    main()
