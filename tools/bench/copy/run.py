"""Copy benchmark: one bucket into another, by streamwarm's engine and by rclone, in turn, in one run.

    python tools/bench/copy/run.py [--far minimal|seaweedfs] [--tls] [--set all|mixed|large] [--repeats N] [--json]

The objects: `mixed` are 200 of 1 KB to 20 MB (log-uniform, seeded, the same every time), `large` are 3 × 1 GiB, `all`
is both, 3.6 GB. Each peer is a fresh process, five objects at a time, otherwise as it comes. Elapsed time is the
process's own life, its start included, which weighs on `mixed`: Python takes most of a CPU second to start. CPU and
peak resident memory are what the kernel counted for it. After each run the copy is counted: objects and bytes must be
all there. streamwarm digests every object (SHA-256), rclone what it sends in parts (MD5).

Far sides. `minimal` is two Node.js processes that make up and drop bytes, so that the copier is what is measured; the
table shows how busy they were. `seaweedfs` is a real S3 server, one for both buckets; on a small machine it is itself
what is measured.

Needs `rclone`, `node` for the minimal far sides (and `openssl` for `--tls`), and the `sandbox` extra for SeaweedFS.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio
from attrs import asdict, field, frozen

from streamwarm.fetch.r2 import R2Source
from streamwarm.net.pool import open_client
from streamwarm.s3.sigv4 import SigningKeys
from streamwarm.sandbox.fill import put_object
from streamwarm.sandbox.object_store import ObjectStore, ObjectStoreSettings, serve_object_store

HERE = Path(__file__).parent
PEERS = ("streamwarm", "rclone")
ACCESS_KEY_ID, SECRET = "copy-access-key", "copy-secret-key"
GIB = 1 << 30
BUSY_LIMIT = 0.9

Objects = list[tuple[str, int]]


@frozen
class Run:
    """One process's copy. `far_busy` is the busier far side's share of one core."""

    elapsed_s: float
    mb_per_s: float
    cpu_s: float
    peak_rss_mb: float
    far_busy: float


@frozen
class Side:
    """A bucket, and the processes that serve it."""

    url: str
    bucket: str
    pids: list[int] = field(factory=list)

    def cpu_s(self) -> float:
        return sum(cpu_s(pid) for pid in self.pids)


@frozen
class Far:
    """Both buckets. `check` raises unless the sink holds all that was copied, and makes it empty again."""

    source: Side
    sink: Side
    check: Callable[[Objects], None]


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def objects_of(which: str) -> Objects:
    chance = random.Random(200)
    mixed = [(f"mixed-{number:03}.bin", int(10 ** chance.uniform(3, 7.3))) for number in range(200)]
    large = [(f"large-{number}.bin", GIB) for number in range(3)]
    return {"mixed": mixed, "large": large, "all": large + mixed}[which]


def make_certificate(folder: Path) -> list[str]:
    certificate, key = str(folder / "cert.pem"), str(folder / "key.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-keyout", key, "-out", certificate, "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    return [certificate, key]


@contextmanager
def minimal_side(certificate: list[str]) -> Iterator[Side]:
    """A far side for as long as its standard input is open."""
    command = ["node", str(HERE / "far_side.mjs"), *certificate]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        port = int(process.stdout.readline())
        yield Side(f"{'https' if certificate else 'http'}://localhost:{port}", "b", [process.pid])
        process.stdin.close()


@contextmanager
def minimal_far(objects: Objects, certificate: list[str]) -> Iterator[Far]:
    import ssl

    context = ssl.create_default_context(cafile=certificate[0]) if certificate else None
    ask = partial(urllib.request.urlopen, context=context)
    with minimal_side(certificate) as source, minimal_side(certificate) as sink:
        request = urllib.request.Request(f"{source.url}/.objects", json.dumps(objects).encode(), method="POST")
        ask(request).close()

        def check(expected: Objects) -> None:
            with ask(f"{sink.url}/.counted") as answer:
                counted = json.load(answer)
            assert counted == {"objects": len(expected), "bytes": sum(size for _, size in expected)}, counted

        yield Far(source, sink, check)


@contextmanager
def seaweedfs_far(objects: Objects) -> Iterator[Far]:
    """One server with two buckets, run by trio on a thread of its own."""
    import threading
    from queue import Queue

    started: Queue[Any] = Queue()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            settings = ObjectStoreSettings(ACCESS_KEY_ID, SECRET, bucket="source")
            store = await nursery.start(serve_object_store, settings)
            await fill(store, objects)
            started.put((store, trio.lowlevel.current_trio_token(), nursery.cancel_scope))

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    store, token, scope = started.get()
    try:
        tasks = Path("/proc/self/task").glob("*/children")
        pids = [int(pid) for children in tasks for pid in children.read_text().split()]
        source = Side(store.endpoint_url, "source", pids)
        yield Far(source, Side(store.endpoint_url, "sink"), lambda expected: trio.run(check_sink, store, expected))
    finally:
        trio.from_thread.run_sync(scope.cancel, trio_token=token)
        thread.join()


async def fill(store: ObjectStore, objects: Objects) -> None:
    keys = SigningKeys()
    async with open_client() as client:
        await client.put(f"{store.endpoint_url}/sink")
        for key, size in objects:
            await put_object(
                client, store.as_bucket(), key, zeros(size), length_bytes=size,
                content_type="application/octet-stream", signing_keys=keys, now=time.time,
            )  # fmt: skip


async def zeros(size: int) -> Any:
    piece = bytes(256 * 1024)
    for start in range(0, size, len(piece)):
        yield piece[: size - start]


async def check_sink(store: ObjectStore, expected: Objects) -> None:
    from attrs import evolve

    async with open_client() as client:
        bucket = evolve(store.as_bucket(), bucket="sink")
        source = R2Source(client, bucket, signing_keys=SigningKeys(), now=time.time, uniform=random.random)
        held = sorted([(item.r2_key, item.bytes) async for item in source.list_objects()])
        assert held == sorted(expected), f"{len(held)} of {len(expected)} objects"


def command_of(peer: str, job: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    if peer == "streamwarm":
        return [sys.executable, str(HERE / "ours.py"), json.dumps(job)], dict(os.environ)
    flags = ["--transfers", str(job["transfers"]), "--config", os.devnull, "--retries", "1"]
    # Not asked of ours either: whether the bucket is there, and each object again after its upload.
    flags += ["--s3-no-check-bucket", "--s3-no-head", "--ignore-times"]
    if job["ca_file"]:
        flags += ["--ca-cert", job["ca_file"]]
    if job["part_bytes"]:
        flags += ["--s3-chunk-size", str(job["part_bytes"]), "--s3-upload-cutoff", str(job["part_bytes"])]
    # Not the caller's: an AWS_CA_BUNDLE among it stops rclone.
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    for name in ("source", "sink"):
        prefix = f"RCLONE_CONFIG_{name.upper()}_"
        remote = {"TYPE": "s3", "PROVIDER": "Other", "ENDPOINT": job[name]["url"], "FORCE_PATH_STYLE": "true"}
        remote |= {"ACCESS_KEY_ID": job["access_key_id"], "SECRET_ACCESS_KEY": job["secret"], "REGION": "auto"}
        environment |= {f"{prefix}{key}": value for key, value in remote.items()}
    return ["rclone", "copy", f"source:{job['source']['bucket']}", f"sink:{job['sink']['bucket']}", *flags], environment


def measure(peer: str, job: dict[str, Any], far: Far, objects: Objects) -> Run:
    command, environment = command_of(peer, job)
    before = [far.source.cpu_s(), far.sink.cpu_s()]
    started = time.monotonic()
    process = subprocess.Popen(command, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    elapsed_s = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{peer} failed"
    far_cpu_s = max(far.source.cpu_s() - before[0], far.sink.cpu_s() - before[1])
    far.check(objects)
    return Run(
        elapsed_s=elapsed_s,
        mb_per_s=sum(size for _, size in objects) / 1e6 / elapsed_s,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_rss_mb=usage.ru_maxrss * 1024 / 1e6,
        far_busy=far_cpu_s / elapsed_s,
    )


def benchmark(options: argparse.Namespace) -> dict[str, list[Run]]:
    objects = objects_of(options.set)
    runs: dict[str, list[Run]] = {peer: [] for peer in options.peers}
    with tempfile.TemporaryDirectory() as scratch:
        certificate = make_certificate(Path(scratch)) if options.tls else []
        far_side = minimal_far(objects, certificate) if options.far == "minimal" else seaweedfs_far(objects)
        with far_side as far:
            job = {
                "source": {"url": far.source.url, "bucket": far.source.bucket},
                "sink": {"url": far.sink.url, "bucket": far.sink.bucket},
                "access_key_id": ACCESS_KEY_ID,
                "secret": SECRET,
                "ca_file": certificate[0] if certificate else None,
                "transfers": options.transfers,
                "part_bytes": options.part_bytes,
            }
            for _ in range(options.repeats):
                for peer, peer_runs in runs.items():
                    peer_runs.append(measure(peer, job, far, objects))
    return runs


def median(runs: list[Run]) -> Run:
    rows = [asdict(run) for run in runs]
    return Run(**{name: statistics.median(row[name] for row in rows) for name in rows[0]})


COLUMNS = ["seconds", "MB/s", "CPU-s", "RSS-MB", "far-side", "speed-x", "CPU-x", "RSS-x"]


def show(medians: dict[str, Run]) -> None:
    print(" " * 12 + "".join(f"{column:>10}" for column in COLUMNS))
    against = medians.get("rclone")
    for peer, run in medians.items():
        cells = [f"{run.elapsed_s:.2f}", f"{run.mb_per_s:.0f}", f"{run.cpu_s:.2f}", f"{run.peak_rss_mb:.0f}"]
        cells.append(f"{run.far_busy:.0%}")
        if against:
            cells.append(f"{against.elapsed_s / run.elapsed_s:.2f}")
            cells += [f"{run.cpu_s / against.cpu_s:.2f}", f"{run.peak_rss_mb / against.peak_rss_mb:.2f}"]
        print(f"{peer:12}" + "".join(f"{cell:>10}" for cell in cells))
        if run.far_busy > BUSY_LIMIT:
            print(f"{peer:12}  a far side was too busy: not a measure of the copier")


def main() -> None:
    parser = argparse.ArgumentParser(description="Copy benchmark")
    parser.add_argument("--far", choices=("minimal", "seaweedfs"), default="minimal")
    parser.add_argument("--tls", action="store_true", help="minimal far sides speak TLS")
    parser.add_argument("--set", choices=("all", "mixed", "large"), default="all")
    parser.add_argument("--transfers", type=int, default=5)
    parser.add_argument("--part-bytes", type=int, help="for both; each one's own default otherwise")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    runs = benchmark(options)
    if options.json:
        print(json.dumps({peer: [asdict(run) for run in each] for peer, each in runs.items()}, indent=2))
    else:
        show({peer: median(each) for peer, each in runs.items()})


if __name__ == "__main__":
    main()
