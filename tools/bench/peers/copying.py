"""S3 to S3 against rclone, by `tools/bench/copy`, as one more table of the comparison."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

COPY = Path(__file__).parent.parent / "copy" / "run.py"
FULL = 1.0
"""From this scale on, the huge objects are copied, too: 3.6 GB a run."""

NAMES = ("elapsed_s", "mb_per_s", "cpu_s", "peak_rss_mb", "far_busy")


Runs = dict[str, list[dict[str, Any]]]


def copy_runs(scale: float, repeats: int, *, tls: bool) -> Runs | str:
    """Every run's figures by copier, or why there are none."""
    if shutil.which("rclone") is None:
        return "rclone is not installed: not run (`apt-get install rclone`)."
    command = [sys.executable, str(COPY), "--json", "--set", _which(scale), "--repeats", str(repeats)]
    ran = subprocess.run([*command, *(["--tls"] if tls else [])], capture_output=True, text=True, check=False)
    if ran.returncode:
        return f"failed: {(ran.stderr.strip().splitlines() or ['no reason given'])[-1]}"
    return dict(json.loads(ran.stdout))


def copy_medians(runs: Runs) -> dict[str, dict[str, float]]:
    return {peer: {name: statistics.median(run[name] for run in each) for name in NAMES} for peer, each in runs.items()}


def copy_table(runs: Runs | str, scale: float) -> str:
    """The runs as a table, or why there are none."""
    title = (
        f"### (copy) S3 to S3: {'200 objects up to 20 MB and 3 of 1 GiB' if _which(scale) == 'all' else '200 objects'}"
    )
    return f"{title}\n\n{runs if isinstance(runs, str) else _rows(copy_medians(runs))}"


def _which(scale: float) -> str:
    return "all" if scale >= FULL else "mixed"


def _rows(medians: dict[str, dict[str, float]]) -> str:
    against = medians["rclone"]
    lines = ["| copier | seconds | MB/s | CPU-s | peak MB | speed × | memory × | far side busy |"]
    lines.append("|---|---:|---:|---:|---:|---:|---:|---:|")
    for peer, run in medians.items():
        speed, memory = against["elapsed_s"] / run["elapsed_s"], run["peak_rss_mb"] / against["peak_rss_mb"]
        lines.append(
            f"| {peer} | {run['elapsed_s']:.1f} | {run['mb_per_s']:,.0f} | {run['cpu_s']:.1f} "
            f"| {run['peak_rss_mb']:,.0f} | {speed:.2f} | {memory:.2f} | {run['far_busy']:.0%} |"
        )
    return "\n".join(lines)
