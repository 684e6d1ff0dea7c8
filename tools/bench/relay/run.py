"""Relay benchmark: how fast, at what CPU and memory, objects are streamed from one HTTP server into another.

    python tools/bench/relay/run.py [--plain] [--objects N] [--bytes N] [--digest] [--repeats N] [--json]

Measured: streamwarm's transfer engine (which always digests) and its HTTP client alone, httpx as it comes, and
Node.js with undici, each run in a fresh process, in turn, as often as asked, over loopback with TLS on both sides
(`--plain`: without). CPU is the relay process's alone. Medians are compared; ratios are to undici. Three more roads,
`httpcore2`, `channel` and `thread`, are what could stand in the place of parts of ours (`relay.py`).

The far sides are one Node.js process each. They are not what is measured as long as each is busy for well
under the whole time; the table shows how busy they were, and a run where one exceeds 90 % is marked.

Needs `node`, `npm` (undici goes into a temporary folder, or `--undici DIR`) and `openssl`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

HERE = Path(__file__).parent
PEERS = ("engine", "client", "undici", "httpx", "httpcore2", "channel", "thread")
USUAL_PEERS = PEERS[:4]
BUSY_LIMIT = 0.9


@frozen
class Run:
    """One relay process's run. `far_busy` is the busier far side's share of one core."""

    mb_per_s: float
    objects_per_s: float
    cpu_s_per_gb: float
    cpu_us_per_object: float
    peak_rss_mb: float
    far_busy: float


@frozen
class FarSide:
    process: subprocess.Popen[str]
    port: int

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
def far_side(role: str, certificate: list[str]) -> Iterator[FarSide]:
    """A far side for as long as its standard input is open."""
    command = ["node", str(HERE / "far_side.js"), role, *certificate]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield FarSide(process, int(process.stdout.readline()))


def relay_command(peer: str, undici: Path, job: dict[str, Any]) -> tuple[list[str], Path]:
    text = json.dumps({**job, "road": peer})
    if peer == "undici":
        return ["node", str(undici / "relay.mjs"), text], undici
    return [sys.executable, str(HERE / "relay.py"), text], HERE


def measure(peer: str, undici: Path, job: dict[str, Any], far: list[FarSide]) -> Run:
    command, folder = relay_command(peer, undici, job)
    far_before = [side.cpu_s() for side in far]
    done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    far_cpu_s = max(side.cpu_s() - before for side, before in zip(far, far_before, strict=True))
    measured = json.loads(done.stdout)
    gigabytes = job["objects"] * job["bytes"] / 1e9
    return Run(
        mb_per_s=gigabytes * 1000 / measured["elapsed_s"],
        objects_per_s=job["objects"] / measured["elapsed_s"],
        cpu_s_per_gb=measured["cpu_s"] / gigabytes,
        cpu_us_per_object=measured["cpu_s"] * 1e6 / job["objects"],
        peak_rss_mb=measured["peak_rss_bytes"] / 1e6,
        far_busy=far_cpu_s / measured["elapsed_s"],
    )


def median(runs: list[Run]) -> Run:
    rows = [asdict(run) for run in runs]
    return Run(**{name: statistics.median(row[name] for row in rows) for name in rows[0]})


def install_undici(given: Path | None, scratch: Path) -> Path:
    """A folder with undici and the relay in it: modules are looked up from where the script lies."""
    folder = given or scratch / "undici"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "node_modules" / "undici").exists():
        subprocess.run(["npm", "install", "--silent", "--no-fund", "undici@7"], cwd=folder, check=True)
    (folder / "relay.mjs").write_text((HERE / "relay.mjs").read_text())
    return folder


def benchmark(options: argparse.Namespace) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {peer: [] for peer in options.peers}
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        undici = install_undici(options.undici, scratch) if "undici" in runs else scratch
        certificate = [] if options.plain else make_certificate(scratch)
        far = [stack.enter_context(far_side(role, certificate)) for role in ("source", "sink")]
        scheme = "http" if options.plain else "https"
        job = {
            "source": f"{scheme}://localhost:{far[0].port}",
            "sink": f"{scheme}://localhost:{far[1].port}",
            "ca_file": certificate[0] if certificate else None,
            "objects": options.objects,
            "bytes": options.bytes,
            "concurrency": options.concurrency,
            "digest": options.digest,
        }
        for _ in range(options.repeats):
            for peer, peer_runs in runs.items():
                peer_runs.append(measure(peer, undici, job, far))
        for side in far:
            side.process.stdin.close()
    return runs


COLUMNS = ["MB/s", "objects/s", "CPU-s/GB", "CPU-us/object", "RSS-MB", "far-side", "speed-x", "CPU-x"]


def show(medians: dict[str, Run]) -> None:
    print(" " * 10 + "".join(f"{column:>15}" for column in COLUMNS))
    against = medians.get("undici")
    for peer, run in medians.items():
        cells = [f"{run.mb_per_s:.0f}", f"{run.objects_per_s:.0f}", f"{run.cpu_s_per_gb:.2f}"]
        cells += [f"{run.cpu_us_per_object:.0f}", f"{run.peak_rss_mb:.0f}", f"{run.far_busy:.0%}"]
        if against:
            cells += [
                f"{run.mb_per_s / against.mb_per_s:.2f}",
                f"{run.cpu_s_per_gb / against.cpu_s_per_gb:.2f}",
            ]
        print(f"{peer:10}" + "".join(f"{cell:>15}" for cell in cells))
        if run.far_busy > BUSY_LIMIT:
            print(f"{peer:10}  a far side was too busy: not a measure of the relay")


def main() -> None:
    parser = argparse.ArgumentParser(description="Relay benchmark")
    parser.add_argument("--plain", action="store_true", help="without TLS")
    parser.add_argument("--objects", type=int, default=5)
    parser.add_argument("--bytes", type=int, default=200_000_000, help="size of each object")
    parser.add_argument("--concurrency", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--digest", action="store_true", help="SHA-256 over every object, in every relay")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(USUAL_PEERS))
    parser.add_argument("--undici", type=Path, help="a folder to install undici into, and to keep")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    runs = benchmark(options)
    if options.json:
        print(json.dumps({peer: [asdict(run) for run in each] for peer, each in runs.items()}, indent=2))
    else:
        show({peer: median(each) for peer, each in runs.items()})


if __name__ == "__main__":
    main()
