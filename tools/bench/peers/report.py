"""The comparison as Markdown tables and SVG plots. Pure, but for the date and the machine's name."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from load.charts import Chart, bar_chart

from peers.measure import Figures, held_by, median
from peers.workloads import WORKERS, Workload

BEGIN, END = "<!-- tools/bench/run writes from here -->", "<!-- to here -->"
AGAINST = "seed-buffered"
SEED_PER_MINUTE, SEED_P95_MS = 150, 500
"""The replaced worker's own headline: media a minute, and P95 in milliseconds."""

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
) -> str:
    """`runs` by workload and worker; `failures` say why a worker has none."""
    parts = [_preamble(command)]
    for name, by_worker in runs.items():
        medians = {worker: median(figures) for worker, figures in by_worker.items() if figures}
        parts.append(_table(workloads[name], medians, {w: why for (n, w), why in failures.items() if n == name}))
    return "\n\n".join(parts)


def plots(runs: Mapping[str, Mapping[str, Sequence[Figures]]], workloads: Mapping[str, Workload]) -> dict[str, str]:
    """SVG files by name: one a workload, jobs a second by worker."""
    drawn = {}
    for name, by_worker in runs.items():
        bars = [(worker, median(figures).jobs_per_s) for worker, figures in by_worker.items() if figures]
        chart = Chart(workloads[name].title, "median of the runs", "jobs a second")
        drawn[f"performance-{name}.svg"] = _on_white(bar_chart(chart, bars))
    return drawn


def written_into(page: str, text: str, images: Sequence[str]) -> str:
    """A page with the text between its marks, or at its end where it has none yet."""
    block = f"{BEGIN}\n\n{text}\n\n{' '.join(f'![]({name})' for name in images)}\n{END}\n"
    before, mark, rest = page.partition(BEGIN)
    if not mark:
        return f"{page.rstrip()}\n\n## Against other workers\n\n{block}"
    return before + block + rest.partition(END)[2].lstrip("\n")


def _preamble(command: str) -> str:
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    return (
        f"`{command}`, {datetime.now(UTC):%Y-%m-%d}, {_processor()}, {os.cpu_count()} cores, Linux, "
        f"Python {platform.python_version()}, Node.js {node}. The machine's load average at the end was "
        f"{os.getloadavg()[0]:.1f}, this included. Medians of the runs; workers take turns. `speed ×` and `memory ×` "
        "are to the seed worker that buffers. Ours is the whole service, every job synced to SQLite and verified "
        "(streamwarm-2: two processes of five workers each); the others store and verify nothing. Latency is from push "
        "to end (of photos, where there are others beside them): where all jobs are pushed at once it is mostly the "
        "queue's length."
    )


def _table(workload: Workload, medians: Mapping[str, Figures], failures: Mapping[str, str]) -> str:
    lines = [f"### ({workload.name}) {workload.title}", "", _HEAD]
    lines += [_row(worker, figures, medians.get(AGAINST), workload) for worker, figures in medians.items()]
    lines += [f"| {worker} | | | | | | | | | | {why} |" for worker, why in failures.items()]
    ours = medians.get("streamwarm")
    if ours is not None and workload.floor_s:
        lines += ["", _against_floor(ours, workload)]
    if ours is not None and workload.name == "a":
        lines += ["", _against_headline(ours)]
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


def _against_floor(ours: Figures, workload: Workload) -> str:
    if workload.paced:
        ratio = ours.p95_s / workload.floor_s
        return f"Ours: p95 of photos {ratio:.2f} × the floor of {workload.floor_s * 1000:.0f} ms (target: at most 1.2)."
    most = WORKERS / workload.floor_s
    return f"Ours: {ours.jobs_per_s / most:.1%} of 5 workers / latency = {most:.2f} jobs a second (target: 95 %)."


def _against_headline(ours: Figures) -> str:
    return (
        f"In the seed's own terms: {ours.jobs_per_s * 60:,.0f} media a minute against its {SEED_PER_MINUTE}. Its P95 "
        f"of {SEED_P95_MS} ms is to be held against the paced run."
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _on_white(svg: str) -> str:
    """A picture of its own has no page whose colours it could take."""
    start = svg.index(">") + 1
    return f'{svg[:start]}<rect width="100%" height="100%" fill="#fff"/>{svg[start:]}\n'
