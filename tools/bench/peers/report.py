"""The comparison as Markdown tables. Pure, but for the date and the machine's name."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from peers.measure import Figures, held_by, median
from peers.workloads import Workload

BEGIN, END = "<!-- tools/bench/run writes from here -->", "<!-- to here -->"
AGAINST = "seed-buffered"

_HEAD = (
    "| worker | jobs/s | MB/s | p50 ms | p95 ms | CPU-s | peak MB | speed × | memory × | far side busy | held by |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|"
)


def tables(
    workloads: Mapping[str, Workload],
    runs: Mapping[str, Mapping[str, Sequence[Figures]]],
    failures: Mapping[tuple[str, str], str],
    *,
    command: str,
    targets: str,
    plots: Mapping[str, str],
) -> str:
    """`runs` by workload and worker; `failures` say why a worker has none; `targets` is their table; `plots` are the
    names of picture files by workload, if there are any."""
    parts = [_preamble(command), targets]
    for name, by_worker in runs.items():
        medians = {worker: median(figures) for worker, figures in by_worker.items() if figures}
        parts.append(_table(workloads[name], medians, {w: why for (n, w), why in failures.items() if n == name}))
        if name in plots:
            parts.append(f"![({name}): the workers' figures as bars]({plots[name]})")
    return "\n\n".join(parts)


def written_into(page: str, text: str) -> str:
    """A page with the text between its marks, or at its end where it has none yet."""
    block = f"{BEGIN}\n\n{text}\n\n{END}\n"
    before, mark, rest = page.partition(BEGIN)
    if not mark:
        return f"{page.rstrip()}\n\n## Against other workers\n\n{block}"
    return f"{before}{block}\n{rest.partition(END)[2].lstrip()}".rstrip() + "\n"


def _preamble(command: str) -> str:
    return (
        f"`{command}`, {datetime.now(UTC):%Y-%m-%d}, {_processor()}, {os.cpu_count()} cores, Linux, "
        f"Python {platform.python_version()}, Node.js {_node_version()}. The machine's load average at the end was "
        f"{os.getloadavg()[0]:.1f}, this included. Medians of the runs; workers take turns. `speed ×` and `memory ×` "
        "are to the seed worker that buffers. Ours is the whole service with its default settings (streamwarm-2: two "
        "processes of five workers each), every job synced to SQLite and verified; the others store and verify "
        "nothing. Latency is from push to end (of photos, where there are others beside them): where all jobs are "
        "pushed at once it is mostly the queue's length. `far side busy` is the busier one's share of a core."
    )


def _node_version() -> str:
    if shutil.which("node") is None:
        return "not installed"
    return subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout.strip()


def _table(workload: Workload, medians: Mapping[str, Figures], failures: Mapping[str, str]) -> str:
    lines = [f"### ({workload.name}) {workload.title}", "", _HEAD]
    lines += [_row(worker, figures, medians.get(AGAINST), workload) for worker, figures in medians.items()]
    lines += [f"| {worker} | | | | | | | | | | {why} |" for worker, why in failures.items()]
    return "\n".join(lines)


def _row(worker: str, figures: Figures, against: Figures | None, workload: Workload) -> str:
    speed = f"{figures.jobs_per_s / against.jobs_per_s:.2f}" if against else "–"
    memory = f"{figures.peak_mb / against.peak_mb:.2f}" if against else "–"
    cells = [
        worker,
        f"{figures.jobs_per_s:,.1f}",
        f"{figures.mb_per_s:,.1f}",
        f"{figures.p50_s * 1000:,.0f}",
        f"{figures.p95_s * 1000:,.0f}",
        f"{figures.cpu_s:.2f}",
        f"{figures.peak_mb:,.0f}",
        speed,
        memory,
        f"{figures.far_busy:.0%}",
        held_by(figures, workload),
    ]
    return f"| {' | '.join(cells)} |"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
